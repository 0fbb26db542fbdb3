"""What the tests that watch virt2 in a real collectd share."""

from __future__ import annotations

import bisect
import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

from tests.lab import Collectd, Guest, Lab, RunningGuest, wait_for
from tests.lab.collectd_daemon import Identifier, Point, python_module
from virt2.sources import admin

INTERVAL = 2.0
"""Seconds between two reads in these tests: the shortest for which recovery is promised."""
GAP = 1.5
"""Intervals between two neighbouring points of a series at the most."""
DISK_TYPES = ("disk_octets", "disk_ops")
NOTIFICATION = re.compile(r"Notification: severity = (\w+)")
SOON = 15.0
"""Seconds within which libvirtd and QEMU do what takes them a tenth of one."""
OCCUPIED = 500
"""Milliseconds in a monitor that no healthy QEMU takes."""
PAUSE = 0.02
"""Seconds between two looks at libvirtd's workers: many in the time that a read takes."""
NIC_TYPES = ("if_octets", "if_packets", "if_errors", "if_dropped")


def collectd(lab: Lab, folder, settings: str = "", interval: float = INTERVAL, **more: str) -> Collectd:
    """A collectd with virt2; `more` are the texts of further drop-ins by name, settings those of `virt2.conf`."""
    folder.mkdir()
    drop_ins = {"virt2.conf": python_module("virt2", settings)}
    drop_ins.update({f"{name}.conf": text for name, text in more.items()})
    return Collectd(lab, folder, drop_ins, interval)


def give_own_etc(lab: Lab) -> None:
    """Give a lab an /etc of its own, which a test may change as an operator would. It ends with the lab."""
    for line in (
        "cp -a /etc /run/etc && mkdir /run/libvirt-etc",
        "mount --bind /etc/libvirt /run/libvirt-etc",
        "mount --bind /run/etc /etc",
        "mount --bind /run/libvirt-etc /etc/libvirt",
    ):
        lab.run(["bash", "-c", line])


def names_of(guest: RunningGuest, monitor: bool = True) -> set[str]:
    """The series (type and type instance) a guest must have by default."""
    names = {"virt_cpu_total", "memory-total", "duration-sample_age", "duration-monitor_blocked"}
    names |= {f"{kind}-{nic}" for kind in NIC_TYPES for nic in guest.nics}
    if monitor:
        names |= {f"{kind}-{disk}" for kind in DISK_TYPES for disk in guest.disks}
    return names


def of_host(series: Mapping[Identifier, list[Point]], host: str, plugin: str = "virt2") -> dict[str, list[Point]]:
    """The series of one domain by name."""
    return {name: points for (there, by, name), points in series.items() if there == host and by == plugin}


def of_reader(series: Mapping[Identifier, list[Point]], reader: str, name: str) -> list[float]:
    """The values of one of a reader's own series, oldest first."""
    return [values[0] for _, values in series.get(("collectd", f"virt2-{reader}", name), [])]


def wait_for_reads(daemon: Collectd, number: int, reader: str = "0", timeout: float = 30.0) -> None:
    """Wait until a reader has ended so many further reads."""
    before = reads(daemon, reader)
    wait_for(lambda: reads(daemon, reader) >= before + number, timeout)


def wait_between_reads(daemon: Collectd, timeout: float = 30.0) -> float:
    """Wait until every reader has ended a further read, and the next one is far: they begin together.

    On a busy machine a look at the files takes its time. A read that is seen late to have ended says nothing about the
    one after it: then the end of that one is waited for. Returns when the next one begins at the earliest, wall time.
    """
    readers = {by.partition("-")[2] for _, by, name in daemon.series("collectd") if name == "duration-read"}
    before = {reader: reads(daemon, reader) for reader in readers}

    def between() -> float:
        series = daemon.series("collectd")
        points = {reader: series["collectd", f"virt2-{reader}", "duration-read"] for reader in readers}
        if not all(len(points[reader]) > before[reader] for reader in readers):
            return 0.0
        ends, took = zip(*((when, values[0]) for (when, values) in (own[-1] for own in points.values())))
        # One whose last read is the one before the others' may be in the middle of a read now.
        begins = min(end - seconds for end, seconds in zip(ends, took)) + INTERVAL
        return begins if begins - time.time() > (INTERVAL - max(took)) / 2 else 0.0

    return wait_for(between, timeout, "between two reads")


def hang_between_reads(farm: Farm, daemon: Collectd, ready: Callable[[], bool] = lambda: True) -> None:
    """Have the farm's storage hang while no read is under way. In the middle of one several guests may be asked.

    Arguments:
        ready: tells whether it may hang now.
    """
    for _ in range(ATTEMPTS):
        begins = wait_between_reads(daemon)
        while time.time() < begins:
            if not ready():
                time.sleep(PAUSE)
                continue
            farm.storage.hang()
            if time.time() < begins:
                return
            # On a busy machine that took too long.
            farm.storage.heal()
            wait_for(lambda: not farm.held() and not farm.occupied(), 2 * SOON, "nobody is stuck any more")
    raise TimeoutError("the storage does not hang between two reads")


def reads(daemon: Collectd, reader: str = "0") -> int:
    """How many reads a reader has ended."""
    return len(of_reader(daemon.series("collectd"), reader, "duration-read"))


def gaps(points: Iterable[Point], longest: float = GAP * INTERVAL) -> list[tuple[float, float]]:
    """The pairs of neighbouring points that are too far apart, or in the wrong order."""
    times = [when for when, _ in points]
    return [(one, two) for one, two in zip(times, times[1:]) if not 0 < two - one <= longest]


def assert_no_gap(
    daemon: Collectd, guests: Iterable[RunningGuest], since: float | None = None, monitor: bool = True
) -> None:
    """Every default series of every guest has a point at least every 1.5 intervals, from its first one until now.

    With `since`, from then on: the first one must come as soon. Without `monitor`, of those series only that need no
    monitor.
    """
    now = time.time()
    series = daemon.series()
    for guest in guests:
        own = of_host(series, guest.name)
        for name in names_of(guest, monitor):
            points = own.get(name, [])
            assert points, (guest.name, name, "has no point")
            if since is not None:
                points = [(since, ()), *(point for point in points if point[0] > since)]
            found = [(one - points[0][0], two - one) for one, two in gaps(points)]
            assert not found, (guest.name, name, "gaps (after, long)", found, *about(daemon, guest.name, series))
            ended = now - points[-1][0]
            assert ended <= GAP * INTERVAL, (guest.name, name, "ended", ended, *about(daemon, guest.name, series))


def kernel_names(guest: RunningGuest) -> set[str]:
    """The series that need libvirt neither for their values nor to go on."""
    return {"virt_cpu_total"} | {f"{kind}-{nic}" for kind in NIC_TYPES for nic in guest.nics}


def assert_kernel_goes_on(daemon: Collectd, guests: Iterable[RunningGuest]) -> None:
    """Every series of the kernel has a point at least every 1.5 intervals, from its first one until now."""
    now = time.time()
    series = daemon.series()
    for guest in guests:
        own = of_host(series, guest.name)
        for name in kernel_names(guest):
            found = own.get(name, [])
            assert found, (guest.name, name)
            assert not gaps(found), (guest.name, name, gaps(found))
            assert now - found[-1][0] <= GAP * INTERVAL, (guest.name, name, "ended")
            values = [values for _, values in found]
            assert all(one <= two for before, after in zip(values, values[1:]) for one, two in zip(before, after))


def assert_away(daemon: Collectd, guests: Iterable[RunningGuest], since: float, until: float) -> None:
    """libvirtd was away: memory and disks were absent meanwhile, and the age of the sample tells."""
    for guest in guests:
        for name in names_of(guest) - kernel_names(guest) - {"duration-sample_age", "duration-monitor_blocked"}:
            assert told(daemon, guest, name, since, until) == [], (guest.name, name)
        ages = told(daemon, guest, "duration-sample_age", since, until)
        assert len(ages) >= (until - since) / INTERVAL - 3
        assert all(age[0] >= after - GAP * INTERVAL for after, age in ages), ages


def told(
    daemon: Collectd, guest: RunningGuest, name: str, since: float, until: float
) -> list[tuple[float, tuple[float, ...]]]:
    """The points of a series between two moments, an interval after the first and none before the last aside."""
    points = of_host(daemon.series(guest.name), guest.name).get(name, [])
    return [(when - since, values) for when, values in points if since + GAP * INTERVAL < when < until]


def about(
    daemon: Collectd, name: str, series: Mapping[Identifier, list[Point]]
) -> tuple[dict[str, list[float]], list[float], list[str]]:
    """What explains a gap: how long each reader's reads took, whether the monitor was blocked, and the log."""
    took = {by: of_reader(series, by[6:], "duration-read")[-5:] for _, by, name in series if name == "duration-read"}
    blocked = [values[0] for _, values in of_host(series, name).get("duration-monitor_blocked", ())][-5:]
    lines = [line for line in daemon.log.splitlines() if "virt2" in line and "Notification" not in line][-30:]
    return took, blocked, lines


def messages(daemon: Collectd, guest: RunningGuest) -> list[str]:
    """What was said of a domain: log lines and notifications, by kind and severity."""
    found = []
    for line in daemon.log.splitlines():
        if f"domain {guest.name}: " in line:
            notification = NOTIFICATION.search(line)
            found.append(notification[1] if notification else line.split("] ")[1].lstrip("["))
    return found


ATTEMPTS = 20
"""To do something between two reads."""
ANSWERED = 0.02
"""Seconds after which a worker of libvirtd's that has answered is free."""


def held_workers(lab: Lab) -> int:
    """Libvirtd's workers in use now, without those that have just answered: they are not free yet."""
    found = []
    for pause in (ANSWERED, 0):
        limits = admin.read_limits(lab.uri)
        found.append(limits.workers - limits.free_workers)
        time.sleep(pause)
    return min(found)


class Farm:
    """Guests of which one in three lies on storage that can be made to hang.

    Arguments:
        lab: without guests yet.
        number: of guests.
    """

    def __init__(self, lab: Lab, number: int) -> None:
        self.lab = lab
        self.storage = lab.storage("nfs")
        specs = [Guest(f"guest-{n}", storage=self.storage if n % 3 == 0 else None) for n in range(number)]
        self.guests = lab.guests(specs)
        self.on_storage = [guest for guest in self.guests if guest.spec.storage]
        self.elsewhere = [guest for guest in self.guests if not guest.spec.storage]

    def freeze(self, guests: Iterable[RunningGuest]) -> None:
        """Stop the processes of all of these."""
        self._signal(guests, signal.SIGSTOP)

    def thaw(self, guests: Iterable[RunningGuest]) -> None:
        """Let them go on."""
        self._signal(guests, signal.SIGCONT)

    def _signal(self, guests: Iterable[RunningGuest], number: int) -> None:
        for pid in [guest.pid for guest in guests]:
            os.kill(pid, number)

    def heal(self) -> None:
        """Undo everything: returns when nobody is inside any guest's monitor, and no worker is held."""
        self.storage.heal()
        self.thaw(self.guests)
        self.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "20")
        wait_for(lambda: not self.held() and not self.occupied(), 2 * SOON, "nobody is stuck any more")

    def held(self) -> int:
        """Libvirtd's workers in use now."""
        return held_workers(self.lab)

    def lost(self) -> int:
        """Libvirtd's workers in use whenever one looks: a read takes a part of its interval only."""
        until = time.monotonic() + INTERVAL
        fewest = self.held()
        while fewest and time.monotonic() < until:
            time.sleep(PAUSE)
            fewest = min(fewest, self.held())
        return fewest

    def visit(self, guests: Iterable[RunningGuest], call: str) -> None:
        """Have another client ask for the first disk of each of these, which do not answer.

        They come one after the other: of many calls at once libvirtd begins some only, because it does not start its
        workers for them.
        """
        for number, guest in enumerate(guests, 1):
            self.lab.popen(["virsh", call, guest.name, "vda"])
            wait_for(lambda number=number: self.held() >= number, SOON, f"{number} calls are in libvirtd")

    def occupied(self) -> list[RunningGuest]:
        """The guests whose monitor somebody has been in for half a second; TimeoutError where a lock is held."""
        found: list[RunningGuest] = []
        asked = threading.Event()

        def ask() -> None:
            states = [(guest, guest.domain.controlInfo()) for guest in self.guests]
            found.extend(guest for guest, (state, _, since) in states if state != 0 and since > OCCUPIED)
            asked.set()

        threading.Thread(target=ask, daemon=True).start()
        if not asked.wait(SOON):
            raise TimeoutError("control info does not come")
        return found


class Witness(threading.Thread):
    """Reads the counters of guests from libvirt all the time, to compare with what collectd wrote of them."""

    def __init__(self, lab: Lab, guests: Iterable[RunningGuest]) -> None:
        super().__init__(daemon=True)
        self._connection = lab.connect()
        self._guests = list(guests)
        self._ended = threading.Event()
        self._readings: dict[tuple[str, str], list[tuple[float, float, tuple[float, ...]]]] = defaultdict(list)
        """By domain and series: the times before and after the call, and what it said."""

    def __enter__(self) -> Witness:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join(30)
        self._connection.close()

    def run(self) -> None:
        domains = [(guest, self._connection.lookupByUUIDString(guest.uuid)) for guest in self._guests]
        while not self._ended.wait(0.05):
            for guest, domain in domains:
                self._note(guest.name, ["virt_cpu_total"], lambda domain=domain: [(domain.info()[4],)])
                for disk in guest.disks:
                    names = [f"{kind}-{disk}" for kind in DISK_TYPES]
                    self._note(guest.name, names, lambda domain=domain, disk=disk: _disk(domain, disk))
                for nic in guest.nics:
                    names = [f"{kind}-{nic}" for kind in NIC_TYPES]
                    self._note(guest.name, names, lambda domain=domain, nic=nic: _nic(domain, nic))

    def _note(self, host: str, names: list[str], ask) -> None:
        before = time.time()
        replies = ask()
        after = time.time()
        for name, values in zip(names, replies):
            self._readings[host, name].append((before, after, values))

    def bounds(
        self, host: str, name: str, when: float, took: float
    ) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """What libvirt said last before `when`, and first `took` seconds after it; None near the ends."""
        # A copy, for they become more meanwhile; and lists of keys, for bisect takes no `key` before Python 3.10.
        readings = list(self._readings[host, name])
        low = bisect.bisect_right([after for _, after, _ in readings], when) - 1
        high = bisect.bisect_left([before for before, _, _ in readings], when + took)
        if low < 0 or high >= len(readings):
            return None
        return readings[low][2], readings[high][2]


def _disk(domain, target: str) -> list[tuple[int, int]]:
    read_ops, read_octets, write_ops, write_octets, _ = domain.blockStats(target)
    return [(read_octets, write_octets), (read_ops, write_ops)]


def _nic(domain, target: str) -> list[tuple[int, int]]:
    stats = domain.interfaceStats(target)
    return list(zip(stats[:4], stats[4:]))
