"""What is known of each domain's health: whether its monitor is blocked, since when, by what.

Some of it must not outlive this run of the domain: which calls the domain cannot answer, and counters to compare with.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

from virt2.model.domain import Description
from virt2.model.events import CHANGED, LIFECYCLE, MEMORY, Event
from virt2.model.replies import Info

ANEW = 0.5
"""Seconds. When two readings of the time at which somebody entered a monitor differ by more, it was not the same call.
Of one call they differ by what a look took, which is milliseconds as a rule."""


class Baseline(Protocol):
    """A sample that the next one is compared with (see `virt2.readers.records.Sample`)."""

    @property
    def taken(self) -> float:
        """The time before the call, monotonic seconds."""

    @property
    def reply(self) -> Any:
        """What libvirt replied, which has another type for each call."""


class Last(Protocol):
    """The newest sample of a call (see `virt2.readers.records.Sample`), where somebody may ask for its value."""

    @property
    def taken(self) -> float:
        """The time before the call, monotonic seconds."""

    @property
    def time(self) -> float:
        """The same moment as wall time."""

    @property
    def reply(self) -> Any:
        """What libvirt or the kernel said."""


class Known(NamedTuple):
    """What libvirt said of a domain last."""

    info: Info
    asked: float
    """When it was asked, monotonic seconds."""


class Health:
    """One domain's health. The read thread of the reader that has the domain writes it, except where a worker does."""

    __slots__ = (
        "answered",
        "asked_outside",
        "baselines",
        "blocked_since",
        "cause",
        "complete",
        "confirmed",
        "description",
        "doubted",
        "first_seen",
        "incoming",
        "known",
        "last",
        "monitored",
        "newest",
        "refused",
        "run",
        "skipped",
        "slow",
        "unsupported",
    )

    def __init__(self, now: float) -> None:
        self.first_seen = now
        self.answered: float | None = None
        """When it last answered all class B calls of a read: the time before the first of them."""
        self.complete: float | None = None
        """When the last read began in which all class A and B calls answered."""
        self.blocked_since: float | None = None
        self.cause = ""
        """Why its monitor is blocked, in words. Empty when it is well."""
        self.newest: dict[tuple[str, str], float] = {}
        """When the newest sample of each call and device that went out was taken."""
        self.incoming: bool | None = None
        """Whether it does not run here, as it is being moved or built; None before it was asked. Workers write it."""
        self.monitored = True
        """Whether there is anything to ask its monitor."""
        self.skipped = False
        """Whether no slot was left for its monitor in the last read."""
        self.slow: set[str] = set()
        """Interfaces whose counters took long. They are asked last in a read, and maybe rarely. A worker writes it."""
        self.asked_outside = 0.0
        """When it was last asked for something that libvirt has to ask another program for."""
        self.description: Description | None = None
        """What the domain was described as in the last read."""
        self.run: int | None = None
        """libvirt's number for the run of the domain that all this belongs to."""
        self.baselines: dict[tuple[str, str], Baseline] = {}
        """The last sample of each call and device, where it takes two samples to make a value."""
        self.last: dict[tuple[str, str], Last] = {}
        """The newest sample of each call and device for a default metric that went out. Whoever asks what virt2 knows
        is told these, so that nobody has to keep what was dispatched."""
        self.unsupported: set[tuple[str, str]] = set()
        """Calls, each with a device, that this driver cannot make for the device. They are not made again. A worker
        writes it."""
        self.refused: set[tuple[str, str]] = set()
        """Those that were called invalid when they were last made. When that happens a second time, they count as
        unsupported. A worker writes it."""
        self.known: Known | None = None
        """What libvirt said when it was asked for the whole domain last. A worker writes it."""
        self.doubted = 0.0
        """When something of it changed last that may have changed its memory, monotonic seconds. libvirt's thread
        writes it."""
        self.confirmed = 0.0
        """When it was seen last that nothing had changed since libvirt was asked for the whole domain."""

    def __repr__(self) -> str:
        return f"<Health blocked_since={self.blocked_since} cause={self.cause!r}>"

    @property
    def blocked(self) -> bool:
        """Whether its monitor could not be used when it was last needed."""
        return self.blocked_since is not None

    def memory(self, told_since: float | None, asked_since: float | None) -> int | None:
        """The size of its memory now, KiB; None where libvirt has to be asked for it.

        Args:
            told_since: since when libvirt tells of every change of it, monotonic seconds; None where it does not.
            asked_since: when libvirt has to have been asked for it at the earliest, or when it has to have been seen
                that nothing has changed since; None for at any time.
        """
        known = self.known
        if known is None or told_since is None or known.asked < max(told_since, self.doubted):
            return None
        return known.info.memory if max(known.asked, self.confirmed) >= (asked_since or 0.0) else None

    def confirm(self, unchanged_since: float | None, now: float) -> None:
        """Take since when at least nothing has changed, monotonic seconds; None where that cannot be seen."""
        if unchanged_since is not None and self.known is not None and self.known.asked >= unchanged_since:
            self.confirmed = now

    def block(self, cause: str, since: float, entered: bool = False) -> None:
        """Note that the monitor could not be used, and why. The earliest time that is known counts.

        With `entered`, somebody else has been in it since then. If that is another call than before, the one before was
        answered.
        """
        if self.blocked_since is None or since < self.blocked_since or (entered and self.is_another(since)):
            self.blocked_since = since
        self.cause = cause

    def is_another(self, entered: float | None) -> bool:
        """Whether somebody who entered the monitor then came after the one that is known to block it."""
        return entered is not None and (self.blocked_since is None or entered > self.blocked_since + ANEW)

    def clear(self) -> None:
        """Note that the monitor answered."""
        self.blocked_since = None
        self.cause = ""

    def blocked_for(self, now: float) -> float:
        """Seconds for which its monitor has been blocked; 0 when it is well."""
        return 0.0 if self.blocked_since is None else max(0.0, now - self.blocked_since)

    def forget_refusals(self) -> None:
        """Have unsupported calls tried again, because libvirtd is another one, or the domain was started again."""
        # New sets: a worker may be writing to the old ones.
        self.unsupported, self.refused = set(), set()

    def begin(self, run: int) -> None:
        """Note that the domain is in another run than the one that is known."""
        # Nobody knows yet whether it is being received from elsewhere, and its monitor has to wait for that.
        self.incoming = None
        if self.run is not None:
            self.forget_refusals()
            self.baselines.clear()
            self.last.clear()
            self.slow = set()
            self.known = None
            self.confirmed = 0.0
        self.run = run

    def describe(self, description: Description) -> None:
        """Take what the domain looks like now.

        A device of the same name may be another one than before. What was unsupported for the old one may be supported
        for the new one.
        """
        before, self.description = self.description, description
        if before is None:
            return
        changed = {disk.target for disk in {*before.disks} ^ {*description.disks}}
        changed |= {nic.target for nic in {*before.nics} ^ {*description.nics}}
        if changed:
            self.forget_refusals()
            self.slow = set(self.slow) - changed
            for samples in (self.baselines, self.last):
                for key in [key for key in tuple(samples) if key[1] in changed]:
                    samples.pop(key, None)

    def age(self, now: float) -> float:
        """Seconds since the last complete sample, or since the domain was first seen."""
        return max(0.0, now - (self.first_seen if self.complete is None else self.complete))


class Healths:
    """The health of every domain, whichever reader has it."""

    def __init__(self) -> None:
        self._healths: dict[str, Health] = {}

    def __repr__(self) -> str:
        return f"<Healths {len(self._healths)} domains>"

    def of(self, uuid: str, now: float, run: int | None = None) -> Health:
        """The domain's health; a domain that is seen for the first time gets a new one.

        `run` is libvirt's number for this run of it, where the caller is its reader.
        """
        health = self._healths.get(uuid)
        if health is None:
            # Two readers may ask at the same time.
            health = self._healths.setdefault(uuid, Health(now))
        if run is not None and run != health.run:
            health.begin(run)
        return health

    def tell(self, event: Event, now: float) -> None:
        """Take an event. It is called on libvirt's thread."""
        health = self._healths.get(event.uuid)
        if health is not None and event.kind in (CHANGED, LIFECYCLE, MEMORY):
            health.doubted = now

    def all(self) -> dict[str, Health]:
        """The health of each domain that is known, by UUID. Any thread may ask."""
        return self._healths.copy()

    def reconnected(self) -> None:
        """Assume that libvirtd is another one."""
        for health in tuple(self._healths.values()):
            health.forget_refusals()

    def retain(self, uuids: Iterable[str]) -> None:
        """Forget every other domain."""
        for uuid in self._healths.keys() - set(uuids):
            self._healths.pop(uuid, None)
