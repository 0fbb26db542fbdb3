"""Asks what touches the storage itself (class C: sizes, disk errors), rarely and apart from everything else.

A call of class C freezes its guest until the storage answers. So at most one is in flight per storage domain, and where
one does not come back no other is made there. A dead storage domain costs one guest, and only where this was asked for.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from virt2.errors import CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.model.domain import Domain
from virt2.readers.connection import DomainCalls
from virt2.readers.context import Domains, Timing, Workers
from virt2.readers.polling import Polling
from virt2.readers.records import Put
from virt2.readers.results import Results
from virt2.readers.sampling import Sampler
from virt2.workers.job import SERVER, Job

LATE = 2.0
"""A size is late after that many times ``StorageInterval``, as a value is missing to collectd itself."""


class StorageReader:
    """Asks all domains, whatever their reader, once per ``StorageInterval``.

    It reads more often than that, since one read may have no time for all. What a read leaves out is asked first by the
    next one; a domain that was asked and did not answer has had its turn.

    Arguments:
        domains: what is known of the domains.
        workers: of its own.
        results: dispatches what comes in.
        sampler: given where records go, makes what makes the jobs.
        timing: when it reads.
    """

    def __init__(
        self,
        *,
        domains: Domains,
        workers: Workers,
        results: Results,
        sampler: Callable[[Put], Sampler],
        timing: Timing,
    ) -> None:
        self._inventory, self._healths = domains.inventory, domains.healths
        self._pool, self._budget = workers.pool, workers.budget
        self._results = results
        self._sampler = sampler(results.put)
        self._timeout, self._interval = timing.timeout, timing.interval
        self._clock = timing.clocks.monotonic
        self._polling = Polling(domains, workers, timing)
        self._asked: dict[str, float] = {}
        """When the read began in which a domain was asked last, or was first there to be asked, by UUID."""
        self._late: frozenset[str] = frozenset()
        """The storage domains whose sizes were said to come late."""
        self._said_suspended: frozenset[str] = frozenset()
        """The storage domains that were said not to answer."""

    def __repr__(self) -> str:
        return f"<StorageReader suspended={sorted(self.suspended)} {self._polling!r}>"

    def read(self) -> None:
        """Ask until the deadline; dispatch what came in."""
        with self._polling.read() as read:
            read.over.callback(self._take)
            began = read.began
            self._inventory.refresh(max_age=self._timeout, timeout=self._timeout / 2)
            self._take()
            if self._polling.connected:
                read.run(self._descriptions(began), deadline=began + self._timeout / 2)
                jobs = self._jobs(began)
                read.run(jobs)
                for job in jobs:
                    if job.begun:
                        self._asked[job.uuid] = began
                    else:
                        self._asked.setdefault(job.uuid, began - self._interval)
                self._report_lag(began)

    def watch(self) -> None:
        """Say which storage domains do not answer, and when they do again."""
        suspended = self.suspended
        for name in suspended | self._said_suspended:
            self._polling.conditions.update(
                name in suspended,
                f"storage domain {name}: what was asked of it does not come back, nothing else is asked there",
                f"storage domain {name} answers again",
            )
        self._said_suspended = suspended
        # What is over is said a while later, when nothing is suspended any more.
        self._polling.conditions.review()

    def _report_lag(self, now: float) -> None:
        """Say where sizes come less often than is promised, because one call at a time is made per storage domain."""
        domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
        self._asked = {uuid: when for uuid, when in self._asked.items() if uuid in domains}
        late: dict[str, list[float]] = {}
        suspended = self.suspended
        for uuid, when in self._asked.items():
            storage = domains[uuid].description.storage
            # A domain that cannot be asked, and storage that does not answer, are said elsewhere.
            if now - when > LATE * self._interval and self._may_be_asked(domains[uuid], now):
                for name in storage if suspended.isdisjoint(storage) else ():
                    late.setdefault(name, []).append(now - when)
        for name in late.keys() | self._late:
            ages = late.get(name, [0.0])
            self._polling.conditions.update(
                name in late,
                f"storage domain {name}: {len(ages)} domains on it have sizes that are up to {max(ages):.0f} s old,"
                f" because one call at a time is made there; set StorageInterval to {max(ages):.0f} or more",
                f"storage domain {name}: sizes come every StorageInterval again",
            )
        self._late = frozenset(late)
        self._polling.conditions.review()

    def _descriptions(self, began: float) -> list[Job]:
        """Describe again the domains that may have changed, whose disks may lie on other storage than described.

        Block jobs and snapshots move disks while a domain runs, and libvirt does not tell of all of them.
        """
        return [
            Job(domain.uuid, SERVER, functools.partial(self._describe, domain), run=domain.id)
            for domain in self._inventory.domains()[1]
            if self._is_due(domain, began) and not self._inventory.is_current(domain)
        ]

    def _describe(self, domain: Domain, connection: DomainCalls, job: Job) -> None:
        job.doing("XMLDesc")
        try:
            self._inventory.adopt(connection, domain)
            job.hear()
        except (CallFailed, DomainBusy, DomainGone, Unsupported):
            # Then it is not asked in this read.
            return

    def _take(self) -> None:
        now = self._clock()
        domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
        healths = {uuid: self._healths.of(uuid, now) for uuid in domains}
        self._results.take(domains, healths, self._inventory.listed_at)

    def _is_due(self, domain: Domain, now: float) -> bool:
        """Whether it is time to ask a domain again, and it may be asked."""
        return self._may_be_asked(domain, now) and self._polling.is_due(self._asked.get(domain.uuid), now)

    def _may_be_asked(self, domain: Domain, now: float) -> bool:
        """Whether there is something to ask of a domain, and its monitor is neither blocked nor charged for a call."""
        health = self._healths.of(domain.uuid, now)
        return self._sampler.asks_storage(domain) and not health.blocked and self._budget.charged(domain.uuid) is None

    def _jobs(self, began: float) -> list[Job]:
        """Make the jobs of the domains that are due.

        None is made for a domain that is blocked, that a call is out for, or whose storage is not known as it is now.
        """
        jobs = []
        for domain in self._inventory.domains()[1]:
            if self._is_due(domain, began) and self._inventory.is_fresh(domain, began):
                jobs.append(self._sampler.storage_job(domain, self._healths.of(domain.uuid, began)))
        return jobs

    @property
    def suspended(self) -> frozenset[str]:
        """The storage domains a call is out for that should have come back."""
        return self._budget.stuck_storage(self._clock() - self._timeout)
