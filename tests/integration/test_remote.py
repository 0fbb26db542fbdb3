"""A libvirt behind ssh, as docs/operations.md tells of it. What stands for ssh runs the command on this very host."""

from __future__ import annotations

import pytest

from tests.integration.support import INTERVAL, collectd, names_of, of_host
from tests.lab import Guest, wait_for

SOON = 30.0
SSH = """\
#!/bin/sh
# As the real one: options, the host, and a command of which the far shell makes words again.
while [ "$1" != -- ]; do shift; done
shift 2
exec sh -c "$*"
"""


@pytest.fixture
def uri(tmp_path):
    """Of a libvirt that is reached through a program like ssh."""
    program = tmp_path / "ssh"
    program.write_text(SSH)
    program.chmod(0o755)
    return f"qemu+ssh://operator@far/system?command={program}"


def test_a_libvirt_behind_ssh_is_read_with_all_that_is_not_of_its_kernel(lab, tmp_path, uri):
    guest = lab.guest(Guest("web-1"))
    with collectd(lab, tmp_path / "collectd", f'Connection "{uri}"') as daemon:
        wait_for(lambda: names_of(guest) <= set(of_host(daemon.series(), "web-1")), SOON, "all series are there")
        wait_for(lambda: "budget 4 of libvirtd's workers" in daemon.log, SOON, "the start is told")
        assert "is served over the network" in daemon.log
        assert "CPU time is asked of libvirt" in daemon.log
        ages = of_host(daemon.series(), "web-1")["duration-sample_age"]
        assert ages[-1][1][0] <= 2 * INTERVAL
        assert daemon.stop() < 2
