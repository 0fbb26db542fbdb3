"""A job: what a worker runs for a domain, in which class, and what became of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

SERVER = "server"
"""Kind of a job whose calls need libvirtd alone (class A)."""
MONITOR = "monitor"
"""Kind of a job whose calls need the QEMU monitor (class B)."""
AGENT = "agent"
"""Kind of a job whose calls wait for the guest's agent: libvirtd has the monitor free meanwhile, but not the worker."""
STALLED_AFTER = 0.1
"""Seconds in one call after which a worker is counted out and another stands in for it. Calls take 1 to 3 ms; a
false alarm costs one idle thread, waiting longer costs that much of every read that meets stuck domains."""

NO_RUN = -1
"""The number of no run of a domain, or of one that is not known: libvirt's id of a domain that is not active."""


class Job:
    """Calls made one after another for one domain.

    Arguments:
        uuid: the domain.
        kind: `SERVER`, `MONITOR` or `AGENT`.
        work: called with the worker's connection and this job; says `doing` before each call.
        answered: when the domain last answered a job of this kind (the pool's clock), None if it never did.
        storage: the storage domains a class C call touches: no other such call is made for any of them meanwhile.
        probe: it is made to find out whether a charged call is over; it may exceed the budget, one at a time.
        detours: it can do without touching the storage, and shall where another call is stuck there: its `storage` is
            empty then.
        run: libvirt's number for the run of the domain.
    """

    __slots__ = (
        "answered",
        "begun",
        "clock",
        "detours",
        "failed",
        "heard",
        "kind",
        "not_before",
        "probe",
        "round",
        "run",
        "since",
        "storage",
        "touched",
        "uuid",
        "what",
        "work",
    )

    def __init__(
        self,
        uuid: str,
        kind: str,
        work: Callable[[Any, Job], None],
        answered: float | None = None,
        probe: bool = False,
        storage: frozenset[str] = frozenset(),
        detours: bool = False,
        run: int = NO_RUN,
    ) -> None:
        self.uuid = uuid
        self.kind = kind
        self.work = work
        self.answered = answered
        self.probe = probe
        self.storage = storage
        self.detours = detours
        self.run = run
        self.begun = False
        """Whether a worker took it, however that ended."""
        self.what = ""
        self.since = 0.0
        self.not_before = 0.0
        self.heard = 0.0
        """When a call of this job was answered that is no priority call: libvirtd has workers then."""
        self.touched = False
        """Whether a call of this job was answered that touches its storage."""
        self.failed = False
        """Whether a call of this job was answered with an error, so that a value is missing."""
        self.round: Any = None
        """The read it belongs to; the pool's."""
        self.clock: Callable[[], float] = time.monotonic

    def __repr__(self) -> str:
        return f"<Job {self.kind} {self.uuid} {self.what or 'queued'}>"

    @property
    def stalled(self) -> bool:
        """Whether its call has been in flight for longer than calls take."""
        return self.clock() - self.since > STALLED_AFTER

    def hear(self) -> None:
        """Note that a call was answered that is no priority call."""
        self.heard = self.clock()

    def doing(self, what: str) -> float:
        """Note the call that is about to be made; returns the time on the pool's clock."""
        self.what = what
        self.since = self.clock()
        return self.since


class Again(Exception):
    """Raised by a job that wants to be run once more, last of its read, after `delay` seconds at the earliest."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.delay = delay
