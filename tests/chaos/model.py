"""Records that the parts of a run hand to each other. All times are wall times, in seconds, unless it is said."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

INTERVAL = 2.0
"""Seconds between two reads: the shortest interval for which recovery is promised."""
GAP = 1.5 * INTERVAL
"""The longest time between two neighbouring points of a series of a healthy domain."""
TIMEOUT = 1.0
"""Seconds that a read takes at most with this interval, whatever hangs."""
RECOVERY = 2 * INTERVAL
"""Seconds within which everything is there again after the end of a fault."""
SLACK = 0.5
"""Seconds for what comes on top of a promise: a read that is delayed on a busy machine, and times that are rounded."""
FOREVER = math.inf

CPU, NIC, MEMORY, DISK, BLOCKED, AGE = "cpu", "nic", "memory", "disk", "blocked", "age"
"""Kinds of series: those that share their fate."""
COUNTERS = (CPU, NIC, DISK)
"""The kinds whose values are counters, which have a truth at each time."""
EVERYTHING = frozenset({CPU, NIC, MEMORY, DISK, BLOCKED, AGE})

TYPES: Mapping[str, str] = {
    "virt_cpu_total": CPU,
    "memory": MEMORY,
    "if_octets": NIC,
    "if_packets": NIC,
    "if_errors": NIC,
    "if_dropped": NIC,
    "disk_octets": DISK,
    "disk_ops": DISK,
}
"""The kind of each type, apart from `duration`."""
NIC_TYPES = ("if_octets", "if_packets", "if_errors", "if_dropped")
DISK_TYPES = ("disk_octets", "disk_ops")
MEMORY_TOTAL, MONITOR_BLOCKED, SAMPLE_AGE = "memory-total", "duration-monitor_blocked", "duration-sample_age"

Point = tuple[float, tuple[float, ...]]
"""Time, and the values in the order of the type's data sources."""
Identifier = tuple[str, str, str]
"""Host, plugin[-plugin instance], type[-type instance]."""
Span = tuple[float, float]
"""Begin and end."""


def kind_of(name: str) -> str:
    """The kind of a series by its type and type instance; empty for one that no domain has by default."""
    if name == MONITOR_BLOCKED:
        return BLOCKED
    if name == SAMPLE_AGE:
        return AGE
    return TYPES.get(name.partition("-")[0], "")


class Action(NamedTuple):
    """One thing of a schedule: a fault, or what an operator may do at any time."""

    begin: float
    """Seconds since the begin of the run."""
    end: float
    """When it is to be undone; the same as `begin` for what is over at once."""
    kind: str
    targets: tuple[str, ...] = ()
    """Names of guests, or of one storage first and guests of it then."""
    detail: str = ""


@dataclass
class Deed:
    """What was really done when, of an action or by the run itself."""

    kind: str
    targets: tuple[str, ...]
    detail: str
    began: float
    """Before anything was done."""
    done: float = FOREVER
    """When it surely was in force; never where that is not known."""
    undoing: float = FOREVER
    """Before anything was undone."""
    ended: float = FOREVER
    """When it surely was over."""
    note: str = ""
    """What was remarkable."""

    @property
    def span(self) -> Span:
        return self.began, self.ended


class Device(NamedTuple):
    """A disk or an interface of a domain."""

    kind: str
    """DISK or NIC."""
    name: str
    """Its target."""
    since: float
    """From when on it is there; `FOREVER` where it only may be there, because nobody knows how plugging it ended."""
    storage: str = ""
    """Of a disk that was plugged in: name of the storage that it lies on."""

    @property
    def series(self) -> tuple[str, ...]:
        """Its series, by type and type instance."""
        return tuple(f"{type_}-{self.name}" for type_ in (NIC_TYPES if self.kind == NIC else DISK_TYPES))


@dataclass
class Life:
    """One run of a domain: from the start of a QEMU to its end."""

    name: str
    uuid: str
    storage: str
    """Name of the storage that its disks lie on; empty for storage that never hangs."""
    began: float
    """Before libvirt was asked to start it."""
    memory: int = 0
    """Bytes."""
    pid: int = 0
    """Of its QEMU, as seen from outside of the lab."""
    up: float = FOREVER
    """When libvirt had answered that it runs."""
    leaving: float = FOREVER
    """When somebody began to end it, or when it was last seen alive."""
    ended: float = FOREVER
    """When its process was first seen to be gone."""
    devices: list[Device] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, float]:
        """What tells it from every other life, also from another one of the same UUID."""
        return self.uuid, self.began

    def series(self) -> dict[str, float]:
        """The default series that it has to have, each with the time from which on."""
        found = dict.fromkeys(("virt_cpu_total", MEMORY_TOTAL, MONITOR_BLOCKED, SAMPLE_AGE), self.up)
        for device in self.devices:
            if device.since < FOREVER:
                found.update((name, max(device.since, self.up)) for name in device.series)
        return found

    def lies_on(self, storage: str, when: float) -> bool:
        """Whether disks of it are on a storage then, or may be."""
        since = [device.since for device in self.devices if device.storage == storage]
        return self.storage == storage or any(begin <= when or begin == FOREVER for begin in since)

    def possible(self) -> set[str]:
        """The default series that it may have."""
        return {*self.series(), *(name for device in self.devices for name in device.series)}


class Run(NamedTuple):
    """One process of collectd."""

    started: float
    """Before it was started."""
    stopping: float
    """Before it was told to end."""
    exit_seconds: float
    """How long it took to end."""
    exit_code: int | None


class Held(NamedTuple):
    """What libvirtd's admin interface said of its workers."""

    time: float
    """When it was asked."""
    answered: float
    held: int
    """Workers in use, at two times between these: the smaller number."""
    most: int
    """max_workers."""


class Usage(NamedTuple):
    """What one process of collectd held."""

    time: float
    pid: int
    descriptors: int
    threads: int
    memory: int
    """Resident KiB."""


class Line(NamedTuple):
    """A line of collectd's log."""

    time: float
    """To the second, rounded down."""
    text: str


class Bounds(NamedTuple):
    """What was seen of a counter before and after some moment."""

    low: tuple[float, ...]
    high: tuple[float, ...]


class Violation(NamedTuple):
    """Something that must not be."""

    rule: str
    time: float
    subject: str
    """The domain or part that it is about."""
    text: str


@dataclass
class Story:
    """All that is known of a run when it is over."""

    began: float
    ended: float
    calms: Sequence[Span] = ()
    """Stretches in which nothing was wrong, and nothing was going on."""
    deeds: Sequence[Deed] = ()
    lives: Sequence[Life] = ()
    runs: Sequence[Run] = ()
    visits: Sequence[Span] = ()
    """When each call of another client was under way."""
    held: Sequence[Held] = ()
    usage: Sequence[Usage] = ()
    log: Sequence[Line] = ()
    series: Mapping[Identifier, Sequence[Point]] = field(default_factory=dict)
    stalls: Sequence[Span] = ()
    """When the run's own threads did not get to run: the machine had something else to do."""

    def stalled(self, begin: float, end: float) -> float:
        """Seconds of a stretch in which the machine stalled."""
        return sum(max(0.0, min(end, stop) - max(begin, start)) for start, stop in self.stalls)

    def later(self, when: float, seconds: float) -> float:
        """When so many seconds are over, without those in which the machine stalled."""
        end = when + seconds
        for start, stop in sorted(self.stalls):
            if start < end and stop > when:
                end += stop - max(start, when)
        return end
