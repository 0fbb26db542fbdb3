"""docs/from-the-c-plugin.md: the series of the C plugin go on under virt2, in the same files, and back."""

from __future__ import annotations

from tests.integration.support import DISK_TYPES, NIC_TYPES
from tests.lab import Collectd, Guest, python_module, wait_for
from tests.lab.collectd_daemon import C_PLUGIN

INTERVAL = 1.0
SOON = 20.0
SETTINGS = 'ExtraStats "disk domain_state pcpu vcpu"'


def last(daemon, identifier):
    """The time of the newest point of a series, 0 where there is none."""
    return max((when for when, _ in daemon.series(identifier[0]).get(identifier, ())), default=0.0)


def run(daemon, folder, drop_in, wanted):
    """Have collectd run with one drop-in alone, until each of the series has a new point; give when it ended."""
    for path in (folder / "conf.d").iterdir():
        path.unlink()
    (folder / "conf.d" / "one.conf").write_text(drop_in)
    before = {identifier: last(daemon, identifier) for identifier in wanted}
    with daemon:
        wait_for(lambda: all(last(daemon, one) > before[one] for one in wanted), SOON, f"each of {wanted} goes on")
    return {identifier for identifier in daemon.series() if identifier[0] == "web-1"}


def test_its_series_go_on_in_the_same_files_and_back(lab, tmp_path):
    guest = lab.guest(Guest("web-1"))
    folder = tmp_path / "collectd"
    folder.mkdir()
    daemon = Collectd(lab, folder, {}, INTERVAL)
    names = {"virt_cpu_total", "memory-total", "domain_state", "ps_cputime", "virt_vcpu-0"}
    names |= {f"{kind}-{nic}" for kind in NIC_TYPES for nic in guest.nics}
    names |= {f"{kind}-{disk}" for kind in (*DISK_TYPES, "disk_time") for disk in guest.disks}
    wanted = {("web-1", "virt", name) for name in names}
    there = run(daemon, folder, C_PLUGIN.format(settings=SETTINGS), wanted)
    assert wanted <= there

    here = run(daemon, folder, python_module("virt2", f'PluginName "virt"\n{SETTINGS}'), there)
    assert {name for _, _, name in here - there} == {"duration-monitor_blocked", "duration-sample_age"}
    # Each file has as many values as before, or collectd would have begun another one.
    assert all(len({len(values) for _, values in daemon.series()[one]}) == 1 for one in there)

    back = run(daemon, folder, C_PLUGIN.format(settings=SETTINGS), there)
    assert back == here
