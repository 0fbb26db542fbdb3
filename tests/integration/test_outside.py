"""vhost-user interfaces, whose counters libvirt asks Open vSwitch for, while Open vSwitch does not answer."""

from __future__ import annotations

import sys
import time

from tests.integration.support import GAP, INTERVAL, SOON, collectd, gaps, of_host, wait_for_reads
from tests.lab import Guest, vhost_user, wait_for

HANG = 5.0
"""Seconds after which the tool that libvirt asks gives up."""


def test_a_switch_that_does_not_answer_costs_its_interfaces_and_nobody_a_list(lab, tmp_path):
    folder = lab.work_dir
    # Before all other folders in the PATH of the lab's libvirtd.
    program = lab.inside("/usr/local/sbin/ovs-vsctl")
    lab.run(["mount", "-t", "tmpfs", "tmpfs", "/usr/local/sbin"])
    program.write_text(vhost_user.tool(folder))
    program.chmod(0o755)
    guests = []
    for number in range(3):
        path = folder / f"vhu{number}"
        lab.popen([sys.executable, "-m", "tests.lab.vhost_user", str(path)])
        wait_for(lab.inside(path).exists, SOON, "the back end listens")
        nic = vhost_user.interface(path, f"52:54:00:00:01:0{number}")
        spec = Guest(f"ovs{number}", disks=1, nics=0, devices=nic, elements=vhost_user.SHARED_MEMORY)
        guests.append(lab.guest(spec))
    plain = lab.guest(Guest("plain", disks=1, nics=1))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for(lambda: all(any(n.startswith("if_") for n in of_host(daemon.series(), g.name)) for g in guests), SOON)
        since = time.time()
        (folder / "hang").touch()
        wait_for(lambda: "libvirt asks another program" in daemon.log, SOON, "it is said")
        # The one call that found out is over: from now on nothing waits.
        wait_for(lambda: time.time() > since + HANG + INTERVAL, 2 * SOON)
        quiet = time.time()
        took = []
        for _ in range(3):
            before = time.monotonic()
            lab.virsh("list")
            took.append(time.monotonic() - before)
            wait_for_reads(daemon, 1)
        assert max(took) < 1.0
        own = of_host(daemon.series(), plain.name)
        assert not gaps([point for point in own["virt_cpu_total"] if point[0] > since])
        for guest in guests:
            own = of_host(daemon.series(), guest.name)
            for name in ("virt_cpu_total", f"disk_ops-{guest.disks[0]}"):
                points = [point for point in own[name] if point[0] > quiet - GAP * INTERVAL]
                assert points
                assert not gaps(points)
            assert own["duration-sample_age"][-1][1][0] > 0
            assert own["duration-monitor_blocked"][-1][1][0] == 0
        assert daemon.log.count("libvirt asks another program") == 1
        assert "list of domains" not in daemon.log
        assert "monitor blocked" not in daemon.log
        (folder / "hang").unlink()
