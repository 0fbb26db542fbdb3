"""CPU time and interfaces are read off the kernel: they agree with libvirt, and go on without it."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.integration.support import (
    GAP,
    INTERVAL,
    NIC_TYPES,
    SOON,
    collectd,
    gaps,
    names_of,
    of_host,
    wait_for_reads,
)
from tests.lab import Guest, wait_for
from virt2.model.events import BALLOON
from virt2.sources.hypervisor import Hypervisor
from virt2.sources.procfs import Processes

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
READINGS = 300
BACK = 2 * INTERVAL + 1


def kernel_names(guest):
    """The series that need libvirt neither for their values nor to go on."""
    return {"virt_cpu_total"} | {f"{kind}-{nic}" for kind in NIC_TYPES for nic in guest.nics}


def assert_kernel_goes_on(daemon, guests, since=0.0):
    """Every series of the kernel has a point at least every 1.5 intervals, until now; returns how many there are."""
    now, points = time.time(), 0
    series = daemon.series()
    for guest in guests:
        own = of_host(series, guest.name)
        for name in kernel_names(guest):
            found = [point for point in own.get(name, []) if point[0] >= since]
            assert found, (guest.name, name)
            assert not gaps(found), (guest.name, name, gaps(found))
            assert now - found[-1][0] <= GAP * INTERVAL, (guest.name, name, "ended")
            values = [values for _, values in found]
            assert all(one <= two for before, after in zip(values, values[1:]) for one, two in zip(before, after))
            points += len(found)
    return points


def has_all(daemon, guests, since):
    series = daemon.series()
    return all(
        any(when >= since for when, _ in of_host(series, guest.name).get(name, []))
        for guest in guests
        for name in names_of(guest)
    )


def told(daemon, guest, name, since, until):
    """The points of a series between two moments, an interval after the first and none before the last aside."""
    points = of_host(daemon.series(guest.name), guest.name).get(name, [])
    return [(when - since, values) for when, values in points if since + GAP * INTERVAL < when < until]


@pytest.mark.parametrize(
    ("dead", "frozen"), [(8, 8), pytest.param(20, 25, marks=[pytest.mark.full, pytest.mark.timeout(300)])]
)
def test_no_point_of_the_kernel_is_lost_while_libvirtd_is_dead_and_while_it_is_frozen(lab, tmp_path, dead, frozen):
    guests = lab.guests(Guest(f"guest-{number}") for number in range(6))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        lab.kill_libvirtd()
        since = time.time()
        wait_for_reads(daemon, round(dead / INTERVAL), timeout=2 * dead + SOON)
        until = time.time()
        lab.start_libvirtd()
        wait_for(lambda: has_all(daemon, guests, until), SOON)
        assert time.time() - until <= BACK
        assert_away(daemon, guests, since, until)

        os.kill(lab.libvirtd_pid, signal.SIGSTOP)
        since = time.time()
        wait_for_reads(daemon, round(frozen / INTERVAL), timeout=2 * frozen + SOON)
        until = time.time()
        os.kill(lab.libvirtd_pid, signal.SIGCONT)
        wait_for(lambda: has_all(daemon, guests, until), SOON)
        assert_away(daemon, guests, since, until)
        assert_kernel_goes_on(daemon, guests)
        assert daemon.stop() < 2


def assert_away(daemon, guests, since, until):
    """Memory and disks were absent meanwhile, and the age of the sample tells."""
    for guest in guests:
        for name in names_of(guest) - kernel_names(guest) - {"duration-sample_age", "duration-monitor_blocked"}:
            assert told(daemon, guest, name, since, until) == [], (guest.name, name)
        ages = told(daemon, guest, "duration-sample_age", since, until)
        assert len(ages) >= (until - since) / INTERVAL - 3
        assert all(age[0] >= after - GAP * INTERVAL for after, age in ages), ages


def test_a_guest_that_ends_while_libvirtd_is_dead_ends_its_series(lab, tmp_path):
    guests = lab.guests(Guest(f"guest-{number}") for number in range(3))
    ending, *others = guests
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        lab.kill_libvirtd()
        wait_for_reads(daemon, 1)
        ending.kill()
        ended = time.time()
        wait_for_reads(daemon, 4)
        assert_kernel_goes_on(daemon, others)
        last = max(points[-1][0] for points in of_host(daemon.series(), ending.name).values())
        assert last <= ended + 0.1
        lab.start_libvirtd()
        since = time.time()
        wait_for(lambda: has_all(daemon, others, since), SOON)
        assert max(points[-1][0] for points in of_host(daemon.series(), ending.name).values()) == last


def test_cpu_time_is_what_libvirt_says_within_a_tick(module_lab):
    module_lab.reset()
    guests = module_lab.guests(Guest(f"guest-{number}") for number in range(3))
    processes = Processes(str(module_lab.inside("/run/libvirt/qemu")), str(module_lab.inside("/proc")))
    connection = Hypervisor(module_lab.uri).connect()
    for guest in guests:
        assert processes.pid(guest.uuid, guest.name)
        for _ in range(READINGS // len(guests)):
            before = processes.account(guest.uuid)
            info = connection.info(guest.uuid)
            after = processes.account(guest.uuid)
            assert before.cpu_time - TICK <= info.cpu_time <= after.cpu_time + TICK
        found = connection.memory(guest.uuid)["balloon.rss"] * 1024
        assert abs(found - processes.account(guest.uuid).rss) <= 1 << 20
    connection.close()


def test_a_counter_goes_on_when_its_source_changes(lab, tmp_path):
    (guest,) = lab.guests([Guest("guest")])
    pid_file = lab.inside("/run/libvirt/qemu/guest.pid")
    hidden = pid_file.rename(pid_file.with_name("hidden"))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for(lambda: "CPU time is asked of libvirt" in daemon.log, SOON)
        wait_for_reads(daemon, 3)
        hidden.rename(pid_file)
        # It is looked for again after ten seconds.
        wait_for_reads(daemon, 7, timeout=60)
        lab.kill_libvirtd()
        wait_for_reads(daemon, 2)
        assert_kernel_goes_on(daemon, [guest])


def test_a_balloon_that_changes_is_told(lab, tmp_path):
    (guest,) = lab.guests([Guest("guest", memory=16)])
    said = lab.virsh("qemu-monitor-command", guest.name, "--hmp", "info pci")
    balloon = re.search(r"PCI device 1af4:1002.*?BAR0: I/O at (0x[0-9a-f]+)", said, re.DOTALL)
    assert balloon, said
    hypervisor = Hypervisor(lab.uri)
    hypervisor.start_events()
    connection = hypervisor.connect()
    events = []
    assert connection.watch(events.append)

    def inflate(mebibytes):
        """What a driver in the guest says: so many pages of 4 KiB are taken from it."""
        port = int(balloon[1], 16) + 24
        lab.virsh("qemu-monitor-command", guest.name, "--hmp", f"o/w {port:#x} {mebibytes << 8:#x}")

    with collectd(lab, tmp_path / "collectd", "RefreshInterval 0") as daemon:
        wait_for_reads(daemon, 2)
        assert of_host(daemon.series(), guest.name)["memory-total"][-1][1] == (16 << 20,)
        for taken in (4, 6):
            inflate(taken)
            size = 16 - taken << 20
            wait_for(lambda size=size: of_host(daemon.series(), guest.name)["memory-total"][-1][1] == (size,), 2 * SOON)
        found = [event for event in events if event.kind == BALLOON]
        assert [(event.uuid, event.detail) for event in found] == [(guest.uuid, 12 << 10), (guest.uuid, 10 << 10)]
    connection.close()
