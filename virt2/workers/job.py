"""A job: what a worker runs for a domain, of which class its calls are, and how they ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

SERVER = "server"
"""The kind of a job whose calls need libvirtd alone (class A)."""
MONITOR = "monitor"
"""The kind of a job whose calls need the QEMU monitor (class B), and maybe the storage (class C)."""
AGENT = "agent"
"""The kind of a job whose calls wait for the guest's agent. They keep libvirtd's worker busy, but not the monitor."""
STALLED_AFTER = 0.1
"""Seconds in one call after which a worker counts as stalled and another one works instead of it. Calls take 1 to 3 ms.
A false alarm costs one idle thread. To wait longer costs that much time of every read that meets stuck domains."""

NO_RUN = -1
"""Stands for a run of a domain that is unknown or does not exist. It is libvirt's id of a domain that is not active."""


class Round:
    """The jobs of one read, and an event that is set when all of them are done."""

    def __init__(self, pending: int, began: float) -> None:
        self.pending = pending
        self.began = began
        self.done = threading.Event()
        self.closed = False
        """Whether the read does not wait any more. Then no further job of this round begins."""
        self.proven: frozenset[str] = frozenset()
        """The storage domains that were touched in this read and answered."""
        if not pending:
            self.done.set()

    def __repr__(self) -> str:
        return f"<Round pending={self.pending} closed={self.closed}>"


class StorageUse(NamedTuple):
    """What a job has to do with the storage."""

    domains: frozenset[str] = frozenset()
    """The storage domains that a class C call touches. No other such call is made for any of them meanwhile."""
    detours: bool = False
    """Whether the job can do without touching the storage. Then it does so where another call is stuck there."""


NO_STORAGE = StorageUse()
"""The job does not touch the storage."""


class Job:
    """Calls that are made one after the other for one domain.

    Arguments:
        uuid: the domain.
        kind: `SERVER`, `MONITOR` or `AGENT`.
        work: a function that is called with the worker's connection and this job. It calls `doing` before each call of
            libvirt. What it needs of the connection is between it and the pool's `connect`.
        answered: when the domain last answered a job of this kind (the pool's clock), None if it never did.
        probe: whether the job finds out if a charged call is over. One such job at a time may exceed the budget.
        storage: what the job has to do with the storage.
        run: libvirt's number for this run of the domain.
    """

    __slots__ = (
        "answered",
        "begun",
        "clock",
        "detours",
        "failed",
        "heard",
        "kind",
        "late",
        "not_before",
        "priority",
        "probe",
        "round",
        "run",
        "server_call",
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
        self.late = False
        """Whether it goes behind the jobs of all other kinds, although it needs libvirtd alone."""
        self.begun = False
        """Whether a worker has taken it, and it does not wait to be run again."""
        self.what = ""
        self.priority = True
        """Whether what it does now needs no normal worker of libvirtd: that says nothing of libvirtd's workers."""
        self.server_call = False
        """Whether what it does now needs a normal worker of libvirtd and nothing else."""
        self.since = 0.0
        self.not_before = 0.0
        self.heard = 0.0
        """When a call of this job was answered that is not a priority call. libvirtd had workers then."""
        self.touched = False
        """Whether a call of this job that touches its storage was answered."""
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

    @property
    def read_began(self) -> float:
        """When the read began that it belongs to."""
        return self.since if self.round is None else self.round.began

    def hear(self) -> None:
        """Note that a call was answered that is not a priority call."""
        self.heard = self.clock()

    def doing(self, what: str, priority: bool = False, server: bool = False) -> float:
        """Note the call that is about to be made. Returns the time by the pool's clock.

        Arguments:
            what: its name, or what is done instead of a call.
            priority: whether it needs no normal worker of libvirtd.
            server: whether it needs libvirtd alone although the job is of another kind.
        """
        self.what = what
        self.priority = priority
        self.server_call = server or (self.kind == SERVER and not priority)
        self.since = self.clock()
        return self.since


class Again(Exception):
    """Raised by a job that must be run again in its read, as soon as `delay` seconds have passed."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.delay = delay
