"""The rpm, on a system that has rpm but whose own packages it does not know. The deb is removed first."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from tests.lab import wait_for
from tests.packages.system import DIST, OWN, ROOT, commit, left_of_virt2, newest, package, run

INCLUDES = Path("/etc/collectd.d")
"""Where Fedora's collectd.conf looks, into every file."""
DROP_IN = INCLUDES / "virt2.conf"
PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
MODULES = Path(f"/usr/lib/python{PYTHON}/site-packages/virt2")
DOMAIN = "test/virt2/virt_cpu_total"

CONFIGURATION = f"""\
FQDNLookup false
Interval 1
PIDFile "/run/fedora.pid"
LoadPlugin load
{OWN}
LoadPlugin python
<Plugin python>
  ModulePath "{MODULES.parent}"
</Plugin>
Include "{INCLUDES}"
"""
"""A collectd.conf that includes what Fedora's does. Debian's Python has to be told of Fedora's folder for modules."""


def collectd_yields(series: str) -> None:
    """Start a collectd, and wait for a new point of a series."""
    path = Path("/etc/fedora.conf")
    path.write_text(CONFIGURATION)
    run("/usr/sbin/collectd", "-C", path)
    try:
        before = newest(series)
        wait_for(lambda: newest(series) > before, 20, f"a point of {series}")
    finally:
        pid = int(Path("/run/fedora.pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 20, "collectd ended")


def an_rpm_for_this_python_yields_metrics() -> None:
    run("service", "collectd", "stop")
    run("apt-get", "purge", "--quiet=2", "--yes", "virt2")
    run("rpm", "--install", "--nodeps", package("rpm", "--python", PYTHON))
    assert len(list(MODULES.rglob("*.pyc"))) == len(list(MODULES.rglob("*.py")))
    assert (Path("/usr/share/virt2/types.db")).read_text() == (MODULES / "types.db").read_text()
    changed = run("rpm", "--verify", "--nodeps", "virt2")
    assert not changed, changed
    DROP_IN.write_text(DROP_IN.read_text().replace("qemu:///system", "test:///default"))
    collectd_yields(DOMAIN)


def an_upgrade_keeps_the_operators_drop_in() -> None:
    changed = DROP_IN.read_text()
    name = "collectd.conf.d/virt2.conf"
    commit("A still newer version", {name: "# Still newer.\n" + (ROOT / name).read_text()})
    run("rpm", "--upgrade", "--nodeps", package("rpm", "--python", PYTHON))
    assert DROP_IN.read_text() == changed
    offered = DROP_IN.with_name(f"{DROP_IN.name}.rpmnew")
    assert offered.read_text().startswith("# Still newer.\n")
    offered.unlink()
    collectd_yields(DOMAIN)


def a_removal_leaves_the_operators_drop_in_and_collectd_starts_without_virt2() -> None:
    run("rpm", "--erase", "virt2")
    left = {path for path in left_of_virt2() if not path.startswith("/var/lib/rpm/")}
    assert left == {f"{DROP_IN}.rpmsave"}, left
    # Fedora's collectd.conf includes this one too.
    collectd_yields("*/load/load")
    Path(f"{DROP_IN}.rpmsave").unlink()
    for rpm in DIST.glob("*.rpm"):
        rpm.unlink()


STEPS = (
    an_rpm_for_this_python_yields_metrics,
    an_upgrade_keeps_the_operators_drop_in,
    a_removal_leaves_the_operators_drop_in_and_collectd_starts_without_virt2,
)
