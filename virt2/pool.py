"""Bounded workers: the threads of one reader, each with a connection of its own.

They share one budget of libvirtd's workers with all other pools (see `virt2.budget`). No lock is held while a job
runs, a thread starts or a line is logged. Nothing here knows libvirt: a job is a callable that is given a connection.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from virt2 import threads
from virt2.budget import SERVER, STALLED_AFTER, Budget, Charge, Job
from virt2.errors import Disconnected, Error

log = logging.getLogger(__name__)

BUSY_WORKERS = 4
"""Workers of one pool that are working, not stalled: more do not make a read shorter (measured on 2 cores)."""
OCCUPIED_PAUSE = 0.02
"""Seconds until a job is looked at again whose domain or storage domain is in another call of ours; calls take 1 to
3 ms."""
TICK = 0.03
"""Seconds between two looks for stalled workers while a read waits; small against STALLED_AFTER."""
IDLE = 60.0
"""Seconds without work after which a worker leaves and gives its connection back; longer than common intervals, so
that steady work keeps its connections."""


class Connection(Protocol):
    """What a pool needs of a connection: the rest is between it and the jobs."""

    @property
    def alive(self) -> bool:
        """Whether it still stands."""

    def close(self) -> None:
        """Give it back; never raises."""


class Again(Exception):
    """Raised by a job that wants to be run once more, last of its read, after `delay` seconds at the earliest."""

    def __init__(self, delay: float) -> None:
        super().__init__(delay)
        self.delay = delay


class Round:
    """The jobs of one read, and an event for when all of them are done."""

    def __init__(self, pending: int, began: float) -> None:
        self.pending = pending
        self.began = began
        self.done = threading.Event()
        self.closed = False
        """Its read has gone on: what is not in a call by now will not be."""
        self.lost: Disconnected | None = None
        """The first loss of a connection among its jobs."""
        self.proven: frozenset[str] = frozenset()
        """The storage domains that were touched in this read, and answered."""
        if not pending:
            self.done.set()


class Worker:
    """One thread of a pool, with a connection of its own."""

    __slots__ = ("connection", "daemon", "job", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.daemon: object = None
        """The libvirtd at the other end of the connection."""
        self.job: Job | None = None
        self.connection: Connection | None = None


class Pool:
    """The workers of one reader.

    Arguments:
        name: the reader's.
        budget: shared by all pools.
        connect: makes a connection; may block, may raise `Disconnected`.
        share: how many class B calls of this pool may be in flight at a time.
        clock: monotonic seconds.
        wait: waits on an event for so many seconds and says whether it is set.
        silent: whether libvirtd seems to answer nobody: then no worker stands in for a stalled one.
        spawn: starts a named daemon thread.
    """

    def __init__(
        self,
        name: str,
        budget: Budget,
        connect: Callable[[], Connection],
        *,
        share: int = 1,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
        silent: Callable[[], bool] = lambda: False,
        spawn: Callable[[str, Callable[[], None]], None] = threads.start,
    ) -> None:
        self.name = name
        self.share = share
        self.monitor_held = 0
        """Slots of class B calls, charged ones included. Under the budget's lock."""
        self.wanted = threading.Condition(budget.lock)
        self._budget = budget
        self._connect = connect
        self._clock = clock
        self._wait = wait
        self._silent = silent
        self._spawn = spawn
        self._server: deque[Job] = deque()
        self._monitor: deque[Job] = deque()
        self._workers: set[Worker] = set()
        self._idle = 0
        self._count = 0
        self._failures: set[str] = set()
        self._stopping = False
        budget.register(self)

    def __repr__(self) -> str:
        queued = len(self._server) + len(self._monitor)
        return f"<Pool {self.name} share={self.share} busy={self.busy} stalled={self.stalled} queued={queued}>"

    @property
    def workers(self) -> int:
        """Threads, idle ones too."""
        return len(self._workers)

    @property
    def busy(self) -> int:
        """Workers that are inside a job."""
        return sum(worker.job is not None for worker in tuple(self._workers))

    @property
    def stalled(self) -> int:
        """Workers whose call has been in flight for longer than calls take."""
        return len(self._stalled_since(self._clock()))

    def stuck(self, age: float) -> int:
        """Workers whose call has been in flight for more than `age` seconds."""
        now = self._clock()
        return sum(1 for since in self._stalled_since(now) if now - since > age)

    def run(self, jobs: Iterable[Job], deadline: float) -> tuple[Round, list[Job]]:
        """Work through the jobs until all are done or the deadline has passed.

        Class A jobs go first. Jobs still in a call at the deadline stay with their workers, to end when they end.

        Returns the round, and the jobs that were never begun or were waiting to be tried again.
        """
        jobs = list(jobs)
        this = Round(len(jobs), self._clock())
        with self._budget.lock:
            for job in jobs:
                job.round = this
                job.clock = self._clock
                (self._server if job.kind is SERVER else self._monitor).append(job)
        while not this.done.is_set():
            self.reinforce()
            remaining = deadline - self._clock()
            if remaining <= 0:
                break
            self._wait(this.done, min(TICK, remaining))
        return this, self._withdraw(this)

    def reinforce(self) -> None:
        """Have as many working threads as the queue can use and the budget admits."""
        silent = self._silent()
        with self._budget.lock:
            queued = len(self._server) + len(self._monitor)
            working = self.busy - (0 if silent else self.stalled)
            missing = min(BUSY_WORKERS, queued) - working
            if missing <= 0 or self._stopping:
                return
            self.wanted.notify(missing)
            room = self._budget.size - self._budget.used
            if self._server and self._budget.has_room_for_server():
                room = max(room, 1)
            missing = min(missing - self._idle, room)
            recruits = []
            for _ in range(missing):
                self._count += 1
                worker = Worker(f"virt2/{self.name[:5]}/{self._count}"[:15])
                self._workers.add(worker)
                recruits.append(worker)
        for worker in recruits:
            self._spawn(worker.name, lambda worker=worker: self._work(worker))  # type: ignore[misc]

    def stop(self) -> None:
        """Let idle workers leave; those inside a call leave when it returns. Does not wait."""
        with self._budget.lock:
            self._stopping = True
            self._server.clear()
            self._monitor.clear()
            self.wanted.notify_all()

    def _withdraw(self, this: Round) -> list[Job]:
        with self._budget.lock:
            this.closed = True
            left = [*self._server, *self._monitor]
            self._server.clear()
            self._monitor.clear()
        return left

    def _work(self, worker: Worker) -> None:
        """The body of a worker's thread."""
        while True:
            job = self._next(worker)
            if job is None:
                break
            failure: Exception | None = None
            again: Again | None = None
            try:
                self._perform(worker, job)
            except Again as wish:
                again = wish
            except Error as error:
                failure = error
            except Exception as error:
                failure = error
                if repr(error) not in self._failures:
                    self._failures.add(repr(error))
                    log.exception("unexpected failure in %s for domain %s, said once", job.what, job.uuid)
            self._settle(worker, job, failure, again)
        if worker.connection is not None:
            worker.connection.close()

    def _perform(self, worker: Worker, job: Job) -> None:
        if worker.connection is not None and not worker.connection.alive:
            worker.connection.close()
            worker.connection = None
        if worker.connection is None:
            job.doing("connect")
            worker.daemon = self._budget.identity()
            worker.connection = self._connect()
            job.doing("")
        job.work(worker.connection, job)

    def _next(self, worker: Worker) -> Job | None:
        """Wait for a job this pool may run; None when the worker is to leave."""
        with self._budget.lock:
            while not self._stopping:
                job, pause = self._admissible()
                if job is not None:
                    self._budget.take(self, job)
                    job.doing("")
                    worker.job = job
                    return job
                self._idle += 1
                told = self.wanted.wait(pause)
                self._idle -= 1
                if not told and pause == IDLE and not self._server and not self._monitor:
                    break
            self._workers.discard(worker)
            return None

    def _admissible(self) -> tuple[Job | None, float]:
        """The next job that may run now, else how long to wait for one. Caller holds the lock."""
        job = self._next_server()
        if job is not None:
            return job, 0.0
        return self._next_monitor()

    def _next_server(self) -> Job | None:
        """Class A takes any free slot."""
        for job in tuple(self._server):
            if not self._budget.has_room_for_server(job.probe):
                self._budget.refuse()
                return None
            if not self._is_occupied(job):
                self._server.remove(job)
                return job
        return None

    def _next_monitor(self) -> tuple[Job | None, float]:
        """Class B keeps to the pool's share, and leaves the slot that is set aside.

        With stuck calls in the pool, domains that answered in the read in which the first of those calls was made, or
        since, may have one more, beyond the share and, where nothing else is left, the one that is set aside.
        """
        budget = self._budget
        soonest = OCCUPIED_PAUSE if self._server else IDLE
        if not self._monitor:
            return None, soonest
        now = self._clock()
        first_stuck = min(self._stuck_reads(now), default=None)
        of_share = self.share - self.monitor_held
        for_all = min(of_share, budget.for_monitor - budget.used)
        for_known = for_all if first_stuck is None else min(of_share + 1, budget.size - budget.used)
        if for_known <= 0:
            budget.refuse()
            return None, soonest
        for job in tuple(self._monitor):
            if job.not_before > now:
                soonest = min(soonest, job.not_before - now)
            elif for_all <= 0 and (job.answered is None or first_stuck is None or job.answered < first_stuck):
                budget.refuse()
            elif self._is_occupied(job):
                soonest = min(soonest, OCCUPIED_PAUSE)
            else:
                self._monitor.remove(job)
                return job, 0.0
        return None, soonest

    def _is_occupied(self, job: Job) -> bool:
        """Whether the job has to wait for another one of ours.

        A domain that changed readers may still be in a call of its former pool, and calls that touch the storage are
        made by another pool than all others.
        """
        if (job.uuid, job.kind) in self._budget.in_flight:
            return True
        if not job.storage or not self._budget.touched(job.storage):
            return False
        if not job.detours:
            return True
        if not job.storage.isdisjoint(self._budget.stuck_storage(self._clock() - STALLED_AFTER)):
            job.storage = frozenset()
            return False
        # The first call of a read finds out alone whether the storage answers; others need not wait for each other.
        return job.round is None or not job.storage <= job.round.proven

    def _settle(self, worker: Worker, job: Job, failure: Exception | None, again: Again | None) -> None:
        charge = None
        if isinstance(failure, Disconnected) and job.what not in ("", "connect"):
            charge = Charge(self, job, worker.daemon, self._began(job))
        with self._budget.lock:
            worker.job = None
            self._budget.give_back(self, job, charge)
            if job.round is not None and isinstance(failure, Disconnected):
                job.round.lost = job.round.lost or failure
            if job.touched and job.round is not None and not job.storage <= job.round.proven:
                job.round.proven |= job.storage
                self.wanted.notify_all()
            if again is not None and job.round is not None and not job.round.closed:
                job.not_before = self._clock() + again.delay
                self._monitor.append(job)
            else:
                self._count_down(job)

    def _count_down(self, job: Job) -> None:
        if job.round is not None:
            job.round.pending -= 1
            if not job.round.pending:
                job.round.done.set()

    def _stuck_reads(self, now: float) -> list[float]:
        """When the reads began in which calls were made that are stalled, or were cut off and may still be."""
        jobs = [worker.job for worker in self._workers]
        stalled = [self._began(job) for job in jobs if job is not None and now - job.since > STALLED_AFTER]
        return stalled + [charge.began for charge in self._budget.charges.values() if charge.pool is self]

    def _began(self, job: Job) -> float:
        """When the read began that a job belongs to."""
        return job.since if job.round is None else job.round.began

    def _stalled_since(self, now: float) -> list[float]:
        """When the call in flight of each stalled worker was made."""
        jobs = [worker.job for worker in tuple(self._workers)]
        return [job.since for job in jobs if job is not None and now - job.since > STALLED_AFTER]
