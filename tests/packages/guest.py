"""A real guest is reported by the virt2 of the package, over the drop-in as it is. This needs the packages of a lab."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

from tests.lab import Guest, Lab, wait_for
from tests.packages.system import OWN, SOON, newest, run

CONFIGURATION = f"""\
FQDNLookup false
Interval 1
PIDFile "/run/guest.pid"
{OWN}
Include "/etc/collectd/collectd.conf.d/virt2.conf"
"""


def a_guest_of_a_real_libvirtd_is_reported() -> None:
    run("bash", "-c", "source scripts/lib.sh && setup_demo")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, Lab(folder) as lab:
        lab.guest(Guest("web"))
        configuration = Path(folder, "collectd.conf")
        configuration.write_text(CONFIGURATION)
        lab.popen(["/usr/sbin/collectd", "-f", "-C", str(configuration)], log=Path(folder, "output"))
        for series in ("virt_cpu_total", "memory-total", "disk_octets-*", "if_octets-*", "duration-monitor_blocked"):
            wait_for(functools.partial(newest, f"web/virt2/{series}"), SOON, series)


STEPS = (a_guest_of_a_real_libvirtd_is_reported,)
