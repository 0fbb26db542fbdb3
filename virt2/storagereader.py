"""What touches the storage itself (class C: sizes, disk errors), in quarantine: rarely, apart from everything else.

A call of class C freezes its guest until the storage answers. So at most one is in flight per storage domain, and where
one does not come back no other is made there: a dead storage domain costs one guest, and only where this was asked for.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

from virt2.budget import SERVER, Budget, Job
from virt2.domain import Domain
from virt2.errors import CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.inventory import Inventory
from virt2.outbox import Outbox
from virt2.pool import Pool
from virt2.sampling import Record, Sampler
from virt2.stuck import Ward
from virt2.turns import Turns


class StorageReader:
    """Asks all domains, whatever their reader, once per ``StorageInterval``.

    What a read has no time for is asked first by the next one; one that was asked and did not answer has had its turn.

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
        self._turns = Turns()

    def read(self) -> None:
        """Ask until the deadline; dispatch what came in."""
        began = self._clock()
        self._inventory.refresh(max_age=self._timeout, timeout=self._timeout / 2)
        self._take()
        link = self._inventory.link
        if link is not None and link.up:
            described = self._turns.order(self._descriptions(began), began)
            if described:
                self._pool.run(described, began + self._timeout / 2)
            jobs = self._turns.order(self._jobs(began), began)
            self._pool.run(jobs, began + self._timeout)
            self._turns.note([*described, *jobs], began)
        self._take()

    def _descriptions(self, began: float) -> list[Job]:
        """Describe anew what may not be what it was: a disk may lie on another storage than when it was described.

        Block jobs and snapshots move disks while the domain runs, and libvirt does not tell of all of them.
        """
        return [
            Job(domain.uuid, SERVER, functools.partial(self._describe, domain), run=domain.id)
            for domain in self._inventory.domains()[1]
            if self._may_be_asked(domain, began) and not self._inventory.is_current(domain)
        ]

    def _describe(self, domain: Domain, connection: Any, job: Job) -> None:
        job.doing("XMLDesc")
        try:
            self._inventory.adopt(connection, domain)
            job.hear()
        except (CallFailed, DomainBusy, DomainGone, Unsupported):
            # It is not asked in this read then.
            return

    def _take(self) -> None:
        now = self._clock()
        domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
        healths = {uuid: self._ward.of(uuid, now) for uuid in domains}
        self._outbox.take(domains, healths, self._inventory.listed_at)

    def _may_be_asked(self, domain: Domain, now: float) -> bool:
        """Whether there is something to ask of a domain, and its monitor is neither blocked nor in a call of ours."""
        health = self._ward.of(domain.uuid, now)
        return (
            self._sampler.asks_storage(domain)
            and not health.blocked
            and self._budget.charged(domain.uuid) is None
            and self._budget.running(domain.uuid, SERVER) is None
        )

    def _jobs(self, began: float) -> list[Job]:
        """None for a domain that is blocked, that a call is out for, or of which is not known on what it lies now."""
        jobs = []
        for domain in self._inventory.domains()[1]:
            if self._may_be_asked(domain, began) and self._inventory.is_fresh(domain, began):
                jobs.append(self._sampler.storage_job(domain, self._ward.of(domain.uuid, began)))
        return jobs

    @property
    def suspended(self) -> frozenset[str]:
        """The storage domains a call is out for that should have come back."""
        return self._budget.stuck_storage(self._clock() - self._timeout)
