"""All faults at random: when they are over, everything is as it was."""

import contextlib
import os
import random
import re
import signal
import time
from pathlib import Path

import pytest

from tests.integration.support import INTERVAL, collectd, names_of, of_host, wait_for_reads
from tests.lab import Guest, wait_for
from tests.lab.guests import TAG_NAMESPACE
from virt2.workers.pool import IDLE

MOST_STAND_INS = 22
"""Half of the 40 workers that libvirtd is given at the most, and the two of the list and of class A."""
DESCRIPTORS = 2
"""Of each connection: libvirt's socket, and what it wakes the connection's own event loop with."""
SETTLED = 60.0
"""Seconds after the last fault: libvirt's own job wait of 30 s, and reads."""


def wait_until_fresh(daemon, guests, since, timeout):
    """Wait until every default series has a point since then; say which have none, and what the log says."""
    try:
        wait_for(lambda: not stale(daemon, guests(), since), timeout)
    except TimeoutError:
        pytest.fail(f"stale: {stale(daemon, guests(), since)}\n" + daemon.log[-4000:])


def stale(daemon, guests, since):
    series = daemon.series()
    return [
        (guest.name, name)
        for guest in guests
        for name in names_of(guest)
        if not any(when >= since for when, _ in of_host(series, guest.name).get(name, []))
    ]


def held(pid):
    """File descriptors, threads and resident KiB of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    threads, memory = (int(re.search(rf"{field}:\s+(\d+)", status).group(1)) for field in ("Threads", "VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), threads, memory


class Faults:
    """What can go wrong, one thing at a time or several; `heal` undoes all of it."""

    def __init__(self, lab, guests, storage, choose):
        self.lab = lab
        self.guests = guests
        self.storage = storage
        self.choose = choose
        self.clients = []
        self.frozen = set()

    def stop_a_guest(self):
        guest = self.choose.choice(self.guests)
        # A libvirtd that is restarted while a guest's monitor is stuck gives that guest up and kills it.
        with contextlib.suppress(ProcessLookupError):
            guest.freeze()
            self.frozen.add(guest)

    def wake_the_guests(self):
        for guest in self.frozen:
            with contextlib.suppress(ProcessLookupError):
                guest.thaw()
        self.frozen.clear()

    def hang_the_storage(self):
        self.storage.hang()

    def heal_the_storage(self):
        self.storage.heal()

    def ask_for_sizes(self):
        guest = self.choose.choice(self.guests)
        self.clients.append(self.lab.popen(["virsh", "domblkinfo", guest.name, guest.disks[0]]))

    def kill_libvirtd(self):
        self.lab.restart_libvirtd()

    def freeze_libvirtd(self):
        os.kill(self.lab.libvirtd_pid, signal.SIGSTOP)
        try:
            time.sleep(self.choose.uniform(0.1, 3))
        finally:
            os.kill(self.lab.libvirtd_pid, signal.SIGCONT)

    def limit_libvirtd(self):
        self.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", str(self.choose.choice([6, 20, 40])))

    def retag_a_guest(self):
        # Not over the lab's own connection: libvirtd may have been restarted, and the guest may be stuck.
        guest = self.choose.choice(self.guests)
        tag = f"<tag>{self.choose.choice('abc')}</tag>"
        command = ["virsh", "metadata", guest.name, TAG_NAMESPACE, "--key", "ovirtmap", "--live", "--set", tag]
        self.clients.append(self.lab.popen(command))

    def heal(self):
        self.storage.heal()
        self.wake_the_guests()
        for client in self.clients:
            client.wait(60)
        self.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "20")


ACTIONS = [name for name in vars(Faults) if not name.startswith("_") and name != "heal"]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seconds", [15, pytest.param(120, marks=pytest.mark.full)])
def test_after_faults_at_random_all_is_as_it_was(lab, tmp_path, seconds):
    seed = int(os.environ.get("VIRT2_SOAK_SEED", time.time()))
    print(f"VIRT2_SOAK_SEED={seed}")
    choose = random.Random(seed)
    storage = lab.storage("shared")
    specs = [Guest(f"local-{number}", tag="abc"[number % 3]) for number in range(6)]
    specs += [Guest(f"shared-{number}", storage=storage) for number in range(4)]
    guests = lab.guests(specs)
    faults = Faults(lab, guests, storage, choose)
    with collectd(lab, tmp_path / "collectd") as daemon:
        try:
            wait_for_reads(daemon, 3)
            before = held(daemon.process.pid)
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                getattr(faults, choose.choice(ACTIONS))()
                # A pause in real time: it is part of the random load, nothing is awaited by it.
                time.sleep(choose.uniform(0, 1.5))
        finally:
            faults.heal()

        def left():
            """The guests that run: with a fault just over, libvirt may still be about to destroy one."""
            running = lab.virsh("list", "--name", timeout=60).split()
            return [guest for guest in guests if guest.name in running]

        since = time.time()
        wait_until_fresh(daemon, left, since, SETTLED)
        assert len(left()) >= 6
        wait_for_reads(daemon, 2)
        after = held(daemon.process.pid)
        # What stood in for stuck workers is still there, at most as many as the greatest budget there was.
        assert after[0] <= before[0] + MOST_STAND_INS * DESCRIPTORS, (before, after)
        assert after[1] <= before[1] + MOST_STAND_INS, (before, after)
        assert after[2] <= before[2] + 8192
        if seconds > IDLE:
            wait_for(lambda: few(before, held(daemon.process.pid)), 2 * IDLE, "stand-ins left")
        assert "Traceback" not in daemon.log
        assert daemon.stop() < 2


def few(before, after):
    """Whether there are no more descriptors and threads than before; which workers stay idle for longer is chance."""
    return after[0] <= before[0] + 4 * DESCRIPTORS and after[1] <= before[1] + 4


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [10, pytest.param(120, marks=pytest.mark.full)])
def test_a_libvirtd_that_flaps_is_back_when_it_stays(lab, tmp_path, seconds):
    guests = lab.guests(Guest(f"g{number}") for number in range(4))
    with collectd(lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        choose = random.Random(1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            lab.kill_libvirtd()
            time.sleep(choose.uniform(0.5, 2))
            lab.start_libvirtd()
            time.sleep(choose.uniform(0.5, 2))
        since = time.time()
        wait_until_fresh(daemon, lambda: guests, since, 3 * INTERVAL)
        assert "Traceback" not in daemon.log
