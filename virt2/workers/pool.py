"""Bounded workers: the threads of one reader, each with a connection of its own.

They share one budget of libvirtd's workers with all other pools (see `virt2.workers.budget`). No lock is held while a
job runs, a thread starts or a line is logged. Nothing here depends on libvirt: a job is a function that is given a
connection.

A worker lives as long as its connection. It connects before it takes a job. So a connection that is not made holds no
job, no domain and no slot, and the workers that have a connection serve all jobs. A worker whose connection is lost
leaves, and another one connects instead.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from virt2 import threads
from virt2.errors import Disconnected, Error
from virt2.once import Once
from virt2.workers.admission import Slots, Verdict, decide, slots_for_others, slots_for_server
from virt2.workers.budget import Budget, Charge
from virt2.workers.connects import Connects
from virt2.workers.job import SERVER, STALLED_AFTER, Again, Job, Round

log = logging.getLogger(__name__)

BUSY_WORKERS = 4
"""Most workers of one pool that work and are not stalled. More do not make a read shorter (measured on 2 cores)."""
OCCUPIED_PAUSE = 0.02
"""Seconds until a job is looked at again that waits for another call of ours to its domain or its storage. Calls take
1 to 3 ms."""
TICK = 0.03
"""Seconds between two looks for stalled workers while a read waits. It is small compared with STALLED_AFTER."""
YIELD = 0.02
"""Seconds for which a worker that gave back a slot leaves it to another pool that waits for one. The other pool takes
it as soon as its thread runs. This is an upper bound, because the wait ends when that pool gives the slot back."""
MOST_SAID = 20
"""Unexpected failures of one pool that are said, each once. After that many, nothing more is said of others."""
IDLE = 60.0
"""Seconds without work after which a worker leaves and closes its connection. They are longer than common intervals, so
that connections stay open between reads."""


class Connection(Protocol):
    """What a pool needs of a connection. Everything else is between the connection and the jobs."""

    @property
    def alive(self) -> bool:
        """Whether the connection is still usable."""

    def close(self) -> None:
        """Close the connection. Never raises."""


def thread_name(pool: str, number: str) -> str:
    """The name of a pool's thread: the kernel keeps 15 characters of it."""
    return f"virt2/{pool[:5]}/{number}"[:15]


class Worker:
    """One thread of a pool, with a connection of its own."""

    __slots__ = ("connection", "daemon", "job", "leaving", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.daemon: object = None
        """The identity of the libvirtd at the other end of the connection."""
        self.job: Job | None = None
        self.connection: Connection | None = None
        """None while the connection is being made."""
        self.leaving = False
        """Whether the worker ends, because there is nothing to do."""

    def __repr__(self) -> str:
        return f"<Worker {self.name} {self.job!r}>"


class Runtime(NamedTuple):
    """The clock and the threads that a pool works with. Tests have their own."""

    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds."""
    wait: Callable[[threading.Event, float], bool] = threading.Event.wait
    """Waits on an event for some seconds, and returns whether it is set."""
    spawn: Callable[[str, Callable[[], None]], bool] = threads.try_start
    """Starts a named daemon thread; returns False where there can be none."""


RUNTIME = Runtime()
"""The clock and the threads of the process."""


class Pool:
    """The workers of one reader.

    Arguments:
        name: the reader's name.
        budget: the budget that all pools share.
        connect: makes a connection. It may block, and may raise `Disconnected`.
        share: how many class B calls of this pool may be in flight at a time.
        connects: the attempts to connect, shared by all pools whose connections succeed or fail together. The budget's
            where none are given.
        silent: whether libvirtd seems to answer nobody: then no worker stands in for a stalled one.
        runtime: the clock and the threads.
    """

    def __init__(
        self,
        name: str,
        budget: Budget,
        connect: Callable[[], Connection],
        *,
        share: int = 1,
        connects: Connects | None = None,
        silent: Callable[[], bool] = lambda: False,
        runtime: Runtime = RUNTIME,
    ) -> None:
        self.name = name
        self.share = share
        self.monitor_held = 0
        """How many slots class B calls hold, charged ones included. Under the budget's lock."""
        self.wanted = threading.Condition(budget.lock)
        self._budget = budget
        self._connect = connect
        self._connects = budget.connects if connects is None else connects
        self._silent = silent
        self._clock, self._wait, self._spawn = runtime
        self._server: deque[Job] = deque()
        self._monitor: deque[Job] = deque()
        self._late: deque[Job] = deque()
        """Jobs of class A that go behind all others."""
        self._workers: set[Worker] = set()
        self._count = 0
        self._refused = False
        """Whether no more workers are added in this read, because one got no connection or no thread."""
        self._failures = Once(MOST_SAID, silent_when_full=True)
        self._stopping = False
        budget.register(self)

    def __repr__(self) -> str:
        queued = self._queued
        return f"<Pool {self.name} share={self.share} busy={self.busy} stalled={self.stalled} queued={queued}>"

    @property
    def _queued(self) -> int:
        return len(self._server) + len(self._monitor) + len(self._late)

    @property
    def workers(self) -> int:
        """How many threads there are, including those that are idle or connect."""
        return len(self._workers)

    @property
    def connecting(self) -> int:
        """How many workers have no connection yet."""
        return sum(worker.connection is None for worker in tuple(self._workers))

    @property
    def busy(self) -> int:
        """How many workers are inside a job."""
        return sum(worker.job is not None for worker in tuple(self._workers))

    @property
    def stalled(self) -> int:
        """How many workers have a call in flight for longer than calls take."""
        return len(self._stalled_since(self._clock()))

    def stuck(self, age: float) -> int:
        """How many workers have a call in flight for more than `age` seconds."""
        now = self._clock()
        return sum(1 for since in self._stalled_since(now) if now - since > age)

    def run(self, jobs: Iterable[Job], deadline: float) -> tuple[Round, list[Job]]:
        """Work through the jobs until all are done or the deadline has passed.

        Class A jobs go first, unless they are late ones. Jobs that are still in a call at the deadline stay with their
        workers until they end. If there is no worker and none can be added, this returns at once. Each read tries that
        once, so that neither a read nor a domain waits for nothing.

        Returns the round, and the jobs that were never begun or were waiting to be tried again.
        """
        jobs = list(jobs)
        this = Round(len(jobs), self._clock())
        with self._budget.lock:
            self._refused = False
            for job in jobs:
                job.round = this
                job.clock = self._clock
                self._queue_of(job).append(job)
        while not this.done.is_set():
            self.reinforce()
            remaining = deadline - self._clock()
            if remaining <= 0 or (self._refused and not self._workers):
                break
            self._wait(this.done, min(TICK, remaining))
        return this, self._withdraw(this)

    def reinforce(self) -> None:
        """Wake as many workers as the queue needs, and add one if they are too few and the budget allows it."""
        silent = self._silent()
        with self._budget.lock:
            recruit = self._recruit(silent)
        self._enlist(recruit)

    def stop(self) -> None:
        """Let idle workers leave. Workers inside a call leave when it returns. This does not wait."""
        with self._budget.lock:
            self._stopping = True
            self._clear()
            self.wanted.notify_all()

    def _queue_of(self, job: Job) -> deque[Job]:
        if job.late:
            return self._late
        return self._server if job.kind == SERVER else self._monitor

    def _clear(self) -> None:
        for queue in (self._server, self._monitor, self._late):
            queue.clear()

    def _recruit(self, silent: bool) -> Worker | None:
        """Wake workers. If one more is needed, return it; the caller starts it. Caller holds the lock.

        Over all pools, one worker is added at a time. A connection takes 5 ms when all is well, and a worker that has
        one adds the next worker. So if connections are not made, at most one thread waits for one, apart from the first
        worker of each pool; and only one thread in all if libvirtd answers nobody. The first worker of a pool is added
        even if no slot is free, because the pool needs somebody who waits for a slot.
        """
        missing = min(BUSY_WORKERS, self._queued) - self.busy + (0 if silent else self.stalled)
        if missing <= 0 or self._stopping:
            return None
        self.wanted.notify(missing)
        # Each of the workers without a job is about to take one, and will hold a slot.
        coming = sum(worker.job is None for worker in self._workers)
        if coming >= missing or self._refused or (self._connects.pending and (self._workers or silent)):
            return None
        room = self._budget.room
        if room <= 0 and any(self._budget.has_room_for_server(job.probe) for job in (*self._server, *self._late)):
            room = 1
        if self._workers and coming >= room:
            return None
        self._count += 1
        worker = Worker(thread_name(self.name, str(self._count)))
        self._workers.add(worker)
        self._connects.begin(worker, self._clock())
        return worker

    def _enlist(self, worker: Worker | None) -> None:
        """Start a worker's thread. If that fails, the worker is removed, and the next read tries again."""
        if worker is not None and not self._spawn(worker.name, lambda: self._work(worker)):
            with self._budget.lock:
                self._workers.discard(worker)
                self._connects.give_up(worker)
                self._refused = True

    def _withdraw(self, this: Round) -> list[Job]:
        with self._budget.lock:
            this.closed = True
            left = [*self._server, *self._monitor, *self._late]
            self._clear()
        return left

    def _work(self, worker: Worker) -> None:
        """Work on jobs until the connection is lost or nothing is left to do. This is the body of a worker's thread."""
        connection = self._open(worker)
        if connection is None:
            return
        # Others may be needed as well. They could not be added while this one connected.
        self.reinforce()
        while connection.alive and not worker.leaving:
            job = self._next(worker)
            if job is not None:
                self._perform(worker, connection, job)
        silent = self._silent()
        with self._budget.lock:
            self._workers.discard(worker)
            # This one takes the place of a worker whose connection was lost.
            recruit = self._recruit(silent)
        self._enlist(recruit)
        connection.close()

    def _open(self, worker: Worker) -> Connection | None:
        """Connect. Without a connection the worker is removed, and this read tries no other one."""
        connection, refusal = None, ""
        worker.daemon = self._budget.identity()
        try:
            connection = self._connect()
        except Error as error:
            refusal = str(error) or repr(error)
        except Exception as error:
            refusal = repr(error)
            self._say_once(error, "unexpected failure of %s to connect, said once", worker.name)
        with self._budget.lock:
            self._connects.end(worker, self._clock(), refusal)
            worker.connection = connection
            if connection is None:
                self._workers.discard(worker)
                self._refused = True
        return connection

    def _perform(self, worker: Worker, connection: Connection, job: Job) -> None:
        failure: Exception | None = None
        again: Again | None = None
        try:
            job.work(connection, job)
        except Again as wish:
            again = wish
        except Error as error:
            failure = error
        except Exception as error:
            failure = error
            self._say_once(error, "unexpected failure in %s for domain %s, said once", job.what, job.uuid)
        self._settle(worker, job, failure, again)

    def _say_once(self, error: Exception, text: str, *arguments: object) -> None:
        if self._failures.first(repr(error)):
            log.exception(text, *arguments)

    def _next(self, worker: Worker) -> Job | None:
        """Take a job that may run. Waits for one, and returns None if the connection has to be checked again first."""
        with self._budget.lock:
            if not self._stopping:
                job, pause = self._take_admissible()
                if job is not None:
                    job.begun = True
                    # Before others see it in the budget, or with the worker: else it would seem stuck for ever.
                    job.doing("", priority=True)
                    self._budget.take(self, job)
                    worker.job = job
                    return job
                told = self.wanted.wait(pause)
                worker.leaving = not told and pause == IDLE and not self._queued
            worker.leaving = worker.leaving or self._stopping
        return None

    def _take_admissible(self) -> tuple[Job | None, float]:
        """Take the next job that may run now, else say how long to wait for one. Caller holds the lock.

        Class A goes before all else, unless it is late. What may run is decided in `virt2.workers.admission.decide`.
        """
        now = self._clock()
        pause = IDLE
        for queue in (self._server, self._monitor, self._late):
            if not queue:
                continue
            if queue is self._monitor:
                slots = slots_for_others(self._budget, self.share - self.monitor_held, self._stuck_reads(now))
            else:
                slots = slots_for_server(self._budget)
            job, soonest = self._take_first(queue, slots, now)
            if job is not None:
                return job, 0.0
            pause = min(pause, soonest if queue is self._monitor else OCCUPIED_PAUSE)
        return None, pause

    def _take_first(self, queue: deque[Job], slots: Slots, now: float) -> tuple[Job | None, float]:
        """Take the first job of a queue that may run now, else say how long to wait for one. Caller holds the lock.

        No job delays the jobs behind it, because jobs that may not run now are passed over.
        """
        pause = IDLE
        if slots.for_all <= 0 and slots.exhausted:
            # A long queue need not be looked through.
            self._budget.refuse(self)
            return None, pause
        for job in tuple(queue):
            verdict = decide(job, slots, self._budget, now)
            if verdict is Verdict.RUN or verdict is Verdict.DETOUR:
                queue.remove(job)
                if verdict is Verdict.DETOUR:
                    job.storage = frozenset()
                return job, 0.0
            if verdict is Verdict.TOO_EARLY:
                pause = min(pause, job.not_before - now)
            elif verdict is Verdict.OCCUPIED:
                pause = min(pause, OCCUPIED_PAUSE)
            else:
                self._budget.refuse(self)
        return None, pause

    def _settle(self, worker: Worker, job: Job, failure: Exception | None, again: Again | None) -> None:
        charge = None
        if isinstance(failure, Disconnected) and job.what:
            charge = Charge(self, job, worker.daemon, job.read_began)
        with self._budget.lock:
            worker.job = None
            others_wait = self._budget.give_back(self, job, charge)
            if job.touched and job.round is not None and not job.storage <= job.round.proven:
                job.round.proven |= job.storage
                self.wanted.notify_all()
            if again is not None and job.round is not None and not job.round.closed:
                job.not_before = self._clock() + again.delay
                # Before those that wait for their first turn: behind them it might have no second one in this read.
                job.begun = False
                self._monitor.appendleft(job)
            else:
                self._count_down(job)
            if others_wait and self._queued:
                # Otherwise this worker would have the slot again before the thread that was told runs.
                self._budget.refuse(self)
                self.wanted.wait(YIELD)

    def _count_down(self, job: Job) -> None:
        if job.round is not None:
            job.round.pending -= 1
            if not job.round.pending:
                job.round.done.set()

    def _stuck_reads(self, now: float) -> list[float]:
        """Give when those reads began in which calls were made that are stalled, or that were cut off."""
        jobs = [worker.job for worker in self._workers]
        stalled = [job.read_began for job in jobs if job is not None and now - job.since > STALLED_AFTER]
        return stalled + [charge.began for charge in self._budget.charges.values() if charge.pool is self]

    def _stalled_since(self, now: float) -> list[float]:
        """Give when the call in flight of each stalled worker was made."""
        jobs = [worker.job for worker in tuple(self._workers)]
        return [job.since for job in jobs if job is not None and now - job.since > STALLED_AFTER]
