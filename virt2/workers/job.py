"""A job: what a worker runs for a domain, in which class, and what became of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

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


class Round:
    """The jobs of one read, and an event for when all of them are done."""

    def __init__(self, pending: int, began: float) -> None:
        self.pending = pending
        self.began = began
        self.done = threading.Event()
        self.closed = False
        """Its read has gone on: what is not in a call by now will not be."""
        self.proven: frozenset[str] = frozenset()
        """The storage domains that were touched in this read, and answered."""
        if not pending:
            self.done.set()


class StorageUse(NamedTuple):
    """What a job has to do with the storage."""

    domains: frozenset[str] = frozenset()
    """The storage domains that a class C call touches. No other such call is made for any of them meanwhile."""
    detours: bool = False
    """Whether the job can do without touching the storage. Then it does so where another call is stuck there."""


NO_STORAGE = StorageUse()
"""It touches none."""


class Job:
    """Calls made one after another for one domain.

    Arguments:
        uuid: the domain.
        kind: `SERVER`, `MONITOR` or `AGENT`.
        work: called with the worker's connection and this job; says `doing` before each call.
        answered: when the domain last answered a job of this kind (the pool's clock), None if it never did.
        probe: it is made to find out whether a charged call is over; it may exceed the budget, one at a time.
        storage: what it has to do with the storage.
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
        storage: StorageUse = NO_STORAGE,
        run: int = NO_RUN,
    ) -> None:
        self.uuid = uuid
        self.kind = kind
        self.work = work
        self.answered = answered
        self.probe = probe
        self.storage, self.detours = storage
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
        self.round: Round | None = None
        """The read it belongs to. The pool sets it."""
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
