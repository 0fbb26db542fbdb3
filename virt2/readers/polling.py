"""The skeleton of a read, which all readers share.

A read has a deadline. Those that waited longest are asked first in it, and what came in goes out when it is over,
whatever came of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

from virt2.once import Conditions
from virt2.readers.context import Domains, Timing, Workers
from virt2.readers.turns import Turns
from virt2.workers.job import Job
from virt2.workers.pool import Pool

HELD_TICKS = 1.5
"""Ticks for which something is right again before a line says so, because what changes with every read is not over."""


class Read:
    """One read of a reader.

    Attributes:
        began: when it began, monotonic seconds.
        deadline: when it has to be over.
        jobs: those that were run in it, begun or not; None before any were to be run.
        over: takes what is to be done when the read is over, whatever came of it; what it was given last is done first.
    """

    def __init__(self, began: float, deadline: float, pool: Pool, turns: Turns, over: contextlib.ExitStack) -> None:
        self.began = began
        self.deadline = deadline
        self.jobs: list[Job] | None = None
        self.over = over
        self._pool = pool
        self._turns = turns

    def __repr__(self) -> str:
        return f"<Read jobs={len(self.jobs or ())}>"

    def run(
        self,
        jobs: Iterable[Job],
        deadline: float | None = None,
        handicap: Callable[[Job], float] | None = None,
    ) -> list[Job]:
        """Run jobs until all are done, or until the deadline; returns those that there was no time for.

        Arguments:
            deadline: where it is earlier than the read's.
            handicap: as for `Turns.order`.
        """
        ordered = self._turns.order(jobs, self.began, handicap)
        self.jobs = [*(self.jobs or ()), *ordered]
        if not ordered:
            return []
        return self._pool.run(ordered, self.deadline if deadline is None else deadline)[1]


class Polling:
    """The reads of one reader: it remembers from read to read who waits.

    Arguments:
        domains: what is known of the domains.
        workers: the reader's.
        timing: when it reads.

    Attributes:
        conditions: what is wrong for more than a read, said once.
    """

    def __init__(self, domains: Domains, workers: Workers, timing: Timing) -> None:
        self._inventory = domains.inventory
        self._pool = workers.pool
        self._timing = timing
        self._turns = Turns()
        self.conditions = Conditions(HELD_TICKS * timing.tick, timing.clocks.monotonic)

    def __repr__(self) -> str:
        return f"<Polling connected={self.connected} {self._pool!r}>"

    @property
    def connected(self) -> bool:
        """Whether libvirt can be reached."""
        link = self._inventory.link
        return link is not None and link.up

    def is_due(self, asked: float | None, now: float, pause: float | None = None) -> bool:
        """Whether it is time to ask again, to the nearest tick; it always is for who was not asked yet.

        Arguments:
            asked: when the read began in which it was asked last.
            now: when this read began.
            pause: seconds between two questions; the interval by default.
        """
        interval = self._timing.interval if pause is None else pause
        return asked is None or now - asked >= interval - self._timing.tick / 2

    @contextlib.contextmanager
    def read(self) -> Iterator[Read]:
        """Begin a read, which is over when the caller leaves the context."""
        began = self._timing.clocks.monotonic()
        with contextlib.ExitStack() as over:
            read = Read(began, began + self._timing.timeout, self._pool, self._turns, over)
            try:
                yield read
            finally:
                if read.jobs is not None:
                    # Only now: who waited before this read is to be known until its last jobs were put in order.
                    self._turns.note(read.jobs, began)
