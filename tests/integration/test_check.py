"""``virt2 check`` with the real collectd's files, the real Python, and the real libvirt, but without a lab."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.machine import ROOT
from virt2.cli.findings import status_of
from virt2.version import VERSION

PYTHON = "/usr/bin/python3"
"""The one that collectd embeds, with libvirt's binding."""
PROMISED = 3.0
"""Seconds within which the command answers, whatever hangs."""
SLOWER = 3.0
"""By how many seconds a machine that does other things may be late."""
DEBIANS = Path("/usr/share/doc/collectd-core/examples/collectd.conf")

CONFIGURATION = """\
Hostname "host1"
LoadPlugin csv
LoadPlugin python
<Plugin python>
  ModulePath "{root}"
  Import "virt2"
  <Module virt2>
    {options}
  </Module>
</Plugin>
"""


def run(*words):
    """The exit status, what was printed, and how many seconds it took."""
    began = time.monotonic()
    done = subprocess.run(
        [PYTHON, "-m", "virt2.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return done.returncode, done.stdout, time.monotonic() - began


@pytest.fixture
def check(tmp_path):
    """Checks a configuration with these options; gives the exit status and the findings."""

    def check(options, root=ROOT):
        path = tmp_path / "collectd.conf"
        path.write_text(CONFIGURATION.format(root=root, options=options))
        status, out, seconds = run("check", "--json", path)
        told = json.loads(out)
        assert told["status"] == status
        return status, told["findings"], seconds

    return check


def worse_than_notes(findings):
    return [finding["what"] for finding in findings if finding["severity"] != "note"]


def test_with_the_real_collectd_python_and_libvirt_nothing_is_wrong(check):
    status, findings, seconds = check('Connection "test:///default"\nDomain "test"')
    assert worse_than_notes(findings) == []
    assert status == 0
    assert seconds < PROMISED + SLOWER


def test_what_the_real_libvirt_has_not_is_told(check):
    status, findings, _ = check('Connection "test:///default"\nDomain "tset"\nBlockDevice "test:sdz"')
    assert status == 1
    assert [what.split(":")[0] for what in worse_than_notes(findings)] == [
        "Domain 'tset' matches no domain of this host",
        "BlockDevice 'test",
    ]


def test_a_module_path_without_virt2_is_an_error_of_the_real_python(check, tmp_path):
    _, findings, _ = check('Connection "test:///default"', root=tmp_path)
    assert any("which collectd embeds, finds no virt2" in what for what in worse_than_notes(findings))


def test_a_libvirt_that_is_not_there_is_told(check, tmp_path):
    status, findings, _ = check(f'Connection "qemu:///system?socket={tmp_path}/libvirt-sock-ro"')
    assert status == 1
    assert any("cannot be reached: Failed to connect socket" in what for what in worse_than_notes(findings))


def test_a_libvirt_that_does_not_answer_is_told_within_three_seconds(check, tmp_path):
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "libvirt-sock-ro"))
        silent.listen(8)
        status, findings, seconds = check(f'Connection "qemu:///system?socket={tmp_path}/libvirt-sock-ro"')
    assert status == 1
    assert any("did not answer in time while it was being connected to" in what for what in worse_than_notes(findings))
    assert seconds < PROMISED + SLOWER


def test_debians_own_configuration_has_no_mistake_but_that_virt2_is_missing():
    status, out, _ = run("check", "--json", DEBIANS)
    told = json.loads(out)["findings"]
    assert status == 1
    assert "nothing in this configuration imports virt2" in told[0]["what"]
    # The folder that it includes is there where collectd's configuration is installed.
    assert [one["what"] for one in told[1:] if "/etc/collectd/collectd.conf.d" not in one["what"]] == []


def test_the_samples_of_this_project_have_no_mistake():
    samples = sorted((ROOT / "collectd.conf.d").rglob("*.conf"))
    status, out, _ = run("check", "--show-config", "--json", *samples)
    assert status == 0
    told = json.loads(out)
    assert told["files"] == [str(path) for path in samples]
    assert {"Tag", "Connection"} <= {one["option"] for one in told["options"] if one["file"] is not None}


def test_the_version_is_that_of_the_package():
    assert run("--version")[:2] == (0, f"virt2 {VERSION}\n")
    assert status_of([]) == 0
