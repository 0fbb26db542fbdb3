"""What the tests of pools work with: pools over one budget, and jobs whose calls can be stuck."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from tests.unit.fake_time import Clock, Stage
from virt2.errors import Disconnected
from virt2.workers.budget import Budget
from virt2.workers.job import MONITOR, SERVER, Again, Job, StorageUse
from virt2.workers.pool import Pool, Runtime

READ = 1.0
"""Seconds a read may take."""


class Wire:
    """A connection."""

    def __init__(self) -> None:
        self.alive = True
        self.closed = threading.Event()

    def close(self) -> None:
        self.alive = False
        self.closed.set()


class Bench:
    """Pools over one budget, and jobs whose calls can be stuck; no real time passes."""

    def __init__(self, size: int, daemon: object = None) -> None:
        self.stage = Stage()
        self.clock = Clock(self.stage)
        self.daemon = daemon
        self.budget = Budget(size, lambda: self.daemon)
        self.pools: list[Pool] = []
        self.wires: list[Wire] = []
        self.stuck: set[str] = set()
        self.calls: list[str] = []
        """Domains, in the order of the calls made for them."""
        self.violations: list[str] = []
        self.most_used = 0
        self.most_monitor = 0
        self._lock = threading.Lock()
        self.inside: list[tuple[str, str]] = []

    def pool(
        self, name: str = "0", share: int = 1, wait: Callable[[threading.Event, float], bool] | None = None
    ) -> Pool:
        pool = Pool(name, self.budget, self.connect, share=share, runtime=Runtime(self.clock, wait or self.clock.wait))
        self.clock.watch(self.budget, pool)
        self.pools.append(pool)
        return pool

    def connect(self) -> Wire:
        self.stage.hold(lambda: "connect" in self.stuck)
        wire = Wire()
        self.wires.append(wire)
        return wire

    def job(
        self,
        uuid: str,
        kind: str = MONITOR,
        *,
        answered: float | None = None,
        probe: bool = False,
        again: float = 0.0,
        storage: Iterable[str] = (),
    ) -> Job:
        wishes = [again] if again else []

        def work(connection: Wire, job: Job) -> None:
            job.doing("blockStats")
            with self._lock:
                self.calls.append(uuid)
                self.inside.append((uuid, kind))
                self._look()
            try:
                self.stage.hold(lambda: uuid in self.stuck and connection.alive)
            finally:
                with self._lock:
                    self.inside.remove((uuid, kind))
            if not connection.alive:
                raise Disconnected("connection reset")
            if wishes:
                raise Again(wishes.pop())

        return Job(uuid, kind, work, answered=answered, probe=probe, storage=StorageUse(frozenset(storage)))

    def jobs(self, uuids: str, kind: str = MONITOR) -> list[Job]:
        return [self.job(uuid, kind) for uuid in uuids.split()]

    def _look(self) -> None:
        """From inside a call: is every promise kept at this moment?"""
        self.most_used = max(self.most_used, self.budget.used)
        monitor = sum(kind == MONITOR for _, kind in self.inside)
        self.most_monitor = max(self.most_monitor, monitor)
        if len(self.inside) > self.budget.used:
            self.violations.append(f"{len(self.inside)} calls with {self.budget.used} slots")
        if len(set(self.inside)) != len(self.inside):
            self.violations.append(f"two calls at once for a domain: {self.inside}")

    def run(self, pool: Pool, jobs: list[Job], seconds: float = READ) -> list[str]:
        """Run jobs; returns the domains of those that were not begun."""
        _, left = pool.run(jobs, self.clock() + seconds)
        return [job.uuid for job in left]

    def release(self, *uuids: str) -> None:
        """Let stuck calls answer; all of them when none is named."""
        self.stuck -= set(uuids or self.stuck)
        self.stage.review()
        self.clock.settle()

    def release_and_wait(self, event: threading.Event, seconds: float) -> bool:
        """To be a pool's ``wait``: lets stuck calls answer when its read has come to a halt."""
        self.clock.settle(event)
        self.stuck.clear()
        self.stage.review()
        return self.clock.wait(event, seconds)

    def cut(self) -> None:
        """Lose all connections."""
        for wire in self.wires:
            wire.alive = False
        self.stage.review()
        self.clock.settle()

    def end(self) -> None:
        self.stuck.clear()
        self.stage.review()
        for pool in self.pools:
            pool.stop()


def late_jobs(bench, uuids):
    jobs = bench.jobs(uuids, SERVER)
    for job in jobs:
        job.late = True
    return jobs


def probe(b: Bench, uuid: str, still: bool = False) -> Job:
    """What finds out whether a call of the domain that was cut off is over; it is, or still is not."""

    def work(connection: Wire, job: Job) -> None:
        job.doing("controlInfo")
        b.stage.hold(lambda: uuid in b.stuck and connection.alive)
        if not connection.alive:
            raise Disconnected("connection reset")
        if not still:
            b.budget.discharge(uuid)

    return Job(uuid, SERVER, work, probe=True)
