"""What touches the storage itself (class C: sizes, disk errors), in quarantine: rarely, apart from everything else.

A call of class C freezes its guest until the storage answers. So at most one is in flight per storage domain, and where
one does not come back no other is made there: a dead storage domain costs one guest, and only where this was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from virt2.budget import Budget, Job
from virt2.inventory import Inventory
from virt2.outbox import Outbox
from virt2.pool import Pool
from virt2.sampling import Record, Sampler
from virt2.stuck import Ward


class StorageReader:
    """Asks all domains, whatever their reader, once per ``StorageInterval``.

    What a read has no time for is asked first by the next one.

    Arguments:
        inventory: the active domains.
        budget: knows which calls are in flight, over all readers.
        pool: workers of its own.
        ward: the health of all domains.
        outbox: dispatches what comes in.
        sampler: given where records go, makes what makes the jobs.
        timeout: seconds a read may take.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        *,
        inventory: Inventory,
        budget: Budget,
        pool: Pool,
        ward: Ward,
        outbox: Outbox,
        sampler: Callable[[Callable[[Record], None]], Sampler],
        timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._budget = budget
        self._pool = pool
        self._ward = ward
        self._outbox = outbox
        self._sampler = sampler(outbox.put)
        self._timeout = timeout
        self._clock = clock
        self._answered: dict[str, float] = {}

    def read(self) -> None:
        """Ask until the deadline; dispatch what came in."""
        began = self._clock()
        self._inventory.refresh(max_age=self._timeout, timeout=self._timeout / 2)
        domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
        self._answered = {uuid: when for uuid, when in self._answered.items() if uuid in domains}
        self._take()
        link = self._inventory.link
        if link is not None and link.up:
            self._pool.run(self._jobs(), began + self._timeout)
        self._take()

    def _take(self) -> None:
        now = self._clock()
        domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
        healths = {uuid: self._ward.of(uuid, now) for uuid in domains}
        for outcome in self._outbox.take(domains, healths, self._inventory.listed_at):
            self._answered[outcome.uuid] = outcome.taken

    def _jobs(self) -> list[Job]:
        """Those that waited longest first; none for a domain that is blocked, or that a call is out for."""
        now = self._clock()
        jobs = []
        for domain in self._inventory.domains()[1]:
            health = self._ward.of(domain.uuid, now)
            asked = self._sampler.asks_storage(domain)
            if asked and not health.blocked and self._budget.charged(domain.uuid) is None:
                jobs.append(self._sampler.storage_job(domain, health))
        return sorted(jobs, key=lambda job: self._answered.get(job.uuid, 0.0))

    @property
    def suspended(self) -> frozenset[str]:
        """The storage domains a call is out for that should have come back."""
        return self._budget.stuck_storage(self._clock() - self._timeout)
