"""CPU time and interfaces are read off the kernel: they agree with libvirt, and go on without it."""

from __future__ import annotations

import os
import re
import signal
import time

import pytest

from tests.integration.support import (
    INTERVAL,
    SOON,
    assert_away,
    assert_kernel_goes_on,
    collectd,
    names_of,
    of_host,
    wait_for_reads,
)
from tests.lab import Guest, wait_for
from virt2.model.events import MEMORY
from virt2.sources.hypervisor import Hypervisor
from virt2.sources.procfs import Processes

TICK = 10**9 // os.sysconf("SC_CLK_TCK")
READINGS = 300
BACK = 2 * INTERVAL + 1


def has_all(daemon, guests, since):
    series = daemon.series()
    return all(
        any(when >= since for when, _ in of_host(series, guest.name).get(name, []))
        for guest in guests
        for name in names_of(guest)
    )


@pytest.mark.full
@pytest.mark.timeout(300)
def test_no_point_of_the_kernel_is_lost_while_libvirtd_is_dead_for_long_and_frozen_for_long(lab, tmp_path):
    """What `test_libvirtd.py` has for a few reads."""
    dead, frozen = 20, 25
    guests = lab.guests(Guest(f"guest-{number}") for number in range(12))
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


@pytest.mark.full
def test_a_counter_goes_on_when_its_source_changes(lab, tmp_path):
    (guest,) = lab.guests([Guest("guest")])
    pid_file = lab.inside("/run/libvirt/qemu/guest.pid")
    hidden = pid_file.rename(pid_file.with_name("hidden"))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 3)
        assert "CPU time is asked of libvirt" in daemon.log
        hidden.rename(pid_file)
        # It is looked for again after ten seconds.
        wait_for_reads(daemon, 7, timeout=60)
        lab.kill_libvirtd()
        wait_for_reads(daemon, 2)
        assert_kernel_goes_on(daemon, [guest])


def test_a_balloon_that_changes_is_told(lab, tmp_path):
    (guest,) = lab.guests([Guest("guest", memory=16)])

    def ports():
        """Where the firmware has put the balloon's ports."""
        said = lab.virsh("qemu-monitor-command", guest.name, "--hmp", "info pci")
        return re.search(r"PCI device 1af4:1002.*?BAR0: I/O at (0x[0-9a-f]{4}) ", said, re.DOTALL)

    balloon = wait_for(ports, SOON)
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
        assert [event.uuid for event in events if event.kind == MEMORY] == [guest.uuid] * 2
    connection.close()
