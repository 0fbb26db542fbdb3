"""One polling cycle of one group of domains, on collectd's read thread.

No libvirt call is made here. Jobs go to the reader's pool and records come back; what is not back by the deadline is
left to its worker. A record that comes late is taken by the next read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from virt2.domains.health import Health
from virt2.domains.inventory import HUNG_AFTER
from virt2.metrics import defaults
from virt2.metrics.metric import Metric, gauge, monitor_blocked, sample_age
from virt2.model.domain import Domain
from virt2.model.replies import NicStats
from virt2.output.batch import Batch
from virt2.output.naming import Identity
from virt2.readers.context import Domains, Outputs, Timing, Workers
from virt2.readers.polling import Polling, Read
from virt2.readers.records import Outcome, Sample
from virt2.readers.results import Results
from virt2.readers.sampling import ASK_OUTSIDE, OUTSIDE, Sampler
from virt2.readers.taps import Taps
from virt2.readers.unsupported import CONTROL_INFO
from virt2.workers.job import MONITOR, SERVER, STALLED_AFTER, Job

FIRST_LIST = 0.6
"""Part of a read's time for which the very first read waits for a list, because it has nothing to do without one."""
LEAST_LOOK = 0.25
"""Part of a read's time for which running domains are looked for, also where the wait for the first list took long."""
LIST_PATIENCE = 0.2
"""Seconds that any other read waits for a fresh list (a list takes 1 ms) before it takes the last good one."""


class Reader:
    """Reads its group once per interval.

    Arguments:
        name: the reader's, as configured or ``0``, ``1``, ...
        domains: what is known of the domains.
        workers: this reader's.
        sampler: given where records go, makes what makes the jobs.
        outputs: where metrics, texts that libvirt has among numbers, and troubles go.
        timing: when it reads; each read asks every domain.
        interfaces: reads the counters of the host's own network devices that may stand in for libvirt's.
    """

    def __init__(
        self,
        name: str,
        *,
        domains: Domains,
        workers: Workers,
        sampler: Callable[..., Sampler],
        outputs: Outputs,
        timing: Timing,
        interfaces: Callable[[], Mapping[str, NicStats]] = dict,
    ) -> None:
        self.name = name
        self.domains = 0
        """How many it had in the last read."""
        self.skipped: Sequence[str] = ()
        """The names of those of them that there was no time for."""
        self.stuck = 0
        """Workers whose call was out before that read."""
        self._inventory, self._discovery, self._groups = domains.inventory, domains.discovery, domains.groups
        self._healths, self._names, self._alarms = domains.healths, domains.names, domains.alarms
        self._pool, self._budget, self._silent = workers.pool, workers.budget, workers.silent
        self._timeout = timing.timeout
        self._clock, self._wall = timing.clocks
        self._polling = Polling(domains, workers, timing)
        self._sink = Batch(outputs.sink)
        self._results = Results(domains.names, self._sink, outputs.notify, outputs.troubles)
        self._interfaces = interfaces
        self._taps = Taps(domains.inventory)
        self._counters: Mapping[str, NicStats] = {}
        self._took_all_its_time = False
        """Whether the last read ended at its deadline."""
        self._sampler = sampler(self._results.put, host_interfaces=lambda: self._counters.keys())

    def __repr__(self) -> str:
        return f"<Reader {self.name} {self._pool!r}>"

    def read(self) -> None:
        """Ask every domain of the group, dispatch what is known by the deadline. Never blocks beyond it."""
        with self._polling.read() as read:
            began = read.began
            # Before the list, because a domain in a later one had the device of that name when the counters were read.
            counters, wall = self._interfaces(), self._wall()
            self._wait_for_list(began)
            domains = self._groups.begin(self.name)
            read.over.callback(self._groups.end, self.name)
            read.over.callback(self._sink.flush)
            healths = {domain.uuid: self._healths.of(domain.uuid, began, domain.id) for domain in domains}
            for domain in domains:
                health = healths[domain.uuid]
                if health.description is not domain.description:
                    health.describe(domain.description)
            self._put_interfaces(domains, counters, began, wall)
            # What came back since the last read goes first, because a series must not run backwards.
            self._take(domains, healths, began)
            if self._took_all_its_time:
                # What is there already does not wait for calls that may not come back either.
                self._sink.flush()
            skipped = self._ask(domains, healths, read)
            self._took_all_its_time = self._clock() >= read.deadline
            answered = self._take(domains, healths, began)
            waiting = self._ask_outside(domains, healths, answered, read)
            self._judge(domains, healths, answered, waiting, began)
            self._report(domains, healths, wall)
            self._sink.flush()
            self._count(domains, skipped, began)
            self._report_itself(domains, healths, len(skipped), began)

    def _wait_for_list(self, began: float) -> None:
        patience = LIST_PATIENCE if self._inventory.listed else FIRST_LIST * self._timeout
        self._inventory.refresh(max_age=self._timeout, timeout=min(patience, self._timeout))
        if self._inventory.hung_for() > HUNG_AFTER:
            self._discovery.look(max(began + self._timeout / 2, self._clock() + LEAST_LOOK * self._timeout))

    def _put_interfaces(
        self, domains: Sequence[Domain], counters: Mapping[str, NicStats], taken: float, wall: float
    ) -> None:
        """Put the counters that were read off the host before the list of domains, where they are the domains' own."""
        listed = self._inventory.listed_at
        self._counters = self._taps.sure(counters, domains, current=listed is not None and listed >= taken)
        for domain in domains:
            for nic in domain.description.nics:
                stats = self._counters.get(nic.target) if nic.tap else None
                if stats is not None:
                    self._results.put(Sample(domain.uuid, defaults.NIC, nic.target, taken, wall, stats))

    def _ask(self, domains: Sequence[Domain], healths: Mapping[str, Health], read: Read) -> Collection[str]:
        """Run the jobs of this read; returns the domains that there was no slot for."""
        if not self._polling.connected:
            return ()
        charged = [domain for domain in domains if self._budget.charged(domain.uuid) is not None]
        left = read.run([*self._server_jobs(domains, healths), *self._monitor_jobs(domains, healths)])
        freed = [domain for domain in charged if self._budget.charged(domain.uuid) is None]
        if freed:
            # The first look at them showed that what was cut off is over, so they need not wait for the next read.
            left += read.run(self._monitor_jobs(freed, healths))
        skipped = {job.uuid for job in left if job.kind == MONITOR}
        for uuid, health in healths.items():
            health.skipped = uuid in skipped
        return {job.uuid for job in left}

    def _ask_outside(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        outcomes: dict[tuple[str, str], Outcome],
        read: Read,
    ) -> Collection[str]:
        """Ask for what libvirt asks another program for, one domain after the other, the longest unasked first.

        Such a call holds the domain's lock. So it comes when everything else of the domain is answered, and what is
        known of all the others goes out before. Returns the domains that need such a call.
        """
        self._sampler.outside.review()
        waiting = []
        for domain in domains:
            slow = healths[domain.uuid].slow
            for nic in domain.description.nics:
                if nic.outside or nic.target in slow:
                    waiting.append(domain)
                    break
        if not waiting:
            return ()
        self._sink.flush()
        waiting.sort(key=lambda domain: healths[domain.uuid].asked_outside)
        for domain in waiting:
            uuid, health = domain.uuid, healths[domain.uuid]
            server = outcomes.get((uuid, SERVER))
            free = self._budget.running(uuid, SERVER) is None and self._budget.running(uuid, MONITOR) is None
            if (
                server is not None
                and server.answered
                and free
                and self._budget.charged(uuid) is None
                and not health.blocked
                and not self._sampler.outside.resting
            ):
                health.asked_outside = read.began
                self._pool.run([self._sampler.outside_job(domain, health)], read.deadline)
            if self._clock() >= read.deadline:
                break
        outcomes.update(self._take(domains, healths, read.began))
        return {domain.uuid for domain in waiting}

    def _server_jobs(self, domains: Sequence[Domain], healths: Mapping[str, Health]) -> Iterable[Job]:
        for domain in domains:
            if self._budget.running(domain.uuid, SERVER) is None:
                charged = self._budget.charged(domain.uuid) is not None
                yield self._sampler.server_job(domain, healths[domain.uuid], charged, self._budget.discharge)

    def _monitor_jobs(self, domains: Sequence[Domain], healths: Mapping[str, Health]) -> Iterable[Job]:
        """Make no second job for a domain while a call for it is stuck or charged, or waits for the domain's lock.

        A call that is well and in flight now (a size is being asked for) is waited for.
        """
        for domain in domains:
            uuid = domain.uuid
            monitor = self._budget.running(uuid, MONITOR)
            health = healths[uuid]
            health.monitored = self._sampler.asks_monitor(domain)
            if (
                health.monitored
                and (monitor is None or not monitor.stalled)
                and self._budget.running(uuid, SERVER) is None
                and self._budget.charged(uuid) is None
            ):
                yield self._sampler.monitor_job(domain, health)

    def _take(
        self, domains: Sequence[Domain], healths: Mapping[str, Health], began: float
    ) -> dict[tuple[str, str], Outcome]:
        """Dispatch the samples that came in; returns how the jobs of this read ended, by domain and kind."""
        outcomes: dict[tuple[str, str], Outcome] = {}
        by_uuid = {domain.uuid: domain for domain in domains}
        for outcome in self._results.take(by_uuid, healths, self._inventory.listed_at):
            health = healths[outcome.uuid]
            if outcome.kind == MONITOR and outcome.answered:
                health.answered = outcome.taken
                health.clear()
            key = (outcome.uuid, outcome.kind)
            # Of two looks at one domain, the one that found something counts.
            if outcome.taken >= began and not (key in outcomes and outcomes[key].cause):
                outcomes[key] = outcome
        return outcomes

    def _judge(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        outcomes: Mapping[tuple[str, str], Outcome],
        waiting: Collection[str],
        began: float,
    ) -> None:
        """Say of each domain whether it is well, or what it is blocked by and since when."""
        now, silent = self._clock(), self._silent()
        for domain in domains:
            uuid, health = domain.uuid, healths[domain.uuid]
            server, monitor = outcomes.get((uuid, SERVER)), outcomes.get((uuid, MONITOR))
            ours = self._budget.running(uuid, MONITOR)
            if monitor is not None and not monitor.answered and ours is not None and ours.stalled:
                # The look has found our own call inside, which asks for sizes, say, and not another client.
                monitor = None
            if monitor is not None and not monitor.answered and monitor.cause:
                since = next(when for when in (monitor.entered, monitor.since, monitor.taken) if when is not None)
                health.block(monitor.cause, since, entered=monitor.entered is not None)
            elif monitor is None and not silent:
                self._judge_by_calls(uuid, health, now)
            well = monitor.answered if monitor is not None else not health.monitored
            if server is not None and server.answered and well:
                health.clear()
                outside = outcomes.get((uuid, OUTSIDE)) if waiting and uuid in waiting else server
                if (
                    domain.description.complete
                    and server.complete
                    and (monitor is None or monitor.complete)
                    and outside is not None
                    and outside.complete
                ):
                    health.complete = began
            self._alarms.review(domain, self._names.of(domain), health)

    def _judge_by_calls(self, uuid: str, health: Health, now: float) -> None:
        """Judge a domain whose monitor was not asked in this read, or has not answered, by what is in flight for it."""
        monitor, server = self._budget.running(uuid, MONITOR), self._budget.running(uuid, SERVER)
        charge = self._budget.charged(uuid)
        stuck_by = now - STALLED_AFTER
        if self._inventory.out_of_workers or self._budget.calls_wait:
            # What was asked since libvirtd last had a worker waits for one, which says nothing of the domain. What was
            # asked in the same read before says nothing either, because libvirtd takes calls in turn and answers them
            # out of turn.
            stuck_by = min(stuck_by, self._budget.answered_at - self._timeout)
            if health.blocked_since is not None and health.blocked_since > stuck_by:
                health.clear()
        if monitor is not None and monitor.since < stuck_by:
            health.block("lock held" if monitor.what == CONTROL_INFO else monitor.what, monitor.since)
        elif server is not None and server.since < stuck_by and server.what != ASK_OUTSIDE:
            health.block("lock held", server.since)
        elif charge is not None:
            health.block(f"{charge.what}, cut off with its connection", charge.since)

    def _report(self, domains: Sequence[Domain], healths: Mapping[str, Health], wall: float) -> None:
        """Dispatch what is always said of a domain, with the time when the read began, since reads differ in length."""
        now = self._clock()
        up = self._polling.connected
        can_look = self._sampler.gate.can_look
        for domain in domains:
            health = healths[domain.uuid]
            values = [sample_age(health.age(now))]
            if up and (can_look or health.monitored or health.blocked):
                values.append(monitor_blocked(health.blocked_for(now)))
            meta = {"virt2_reader": self.name, "virt2_tag": domain.description.tag}
            self._sink.dispatch(self._names.of(domain), values, wall, meta)

    def _count(self, domains: Sequence[Domain], skipped: Collection[str], began: float) -> None:
        self.domains = len(domains)
        self.skipped = [domain.name for domain in domains if domain.uuid in skipped] if skipped else ()
        # Only those that were out before this read are stuck, because a machine may be slow for a moment.
        self.stuck = self._pool.stuck(self._clock() - began) if skipped else 0

    def _report_itself(
        self, domains: Sequence[Domain], healths: Mapping[str, Health], skipped: int, began: float
    ) -> None:
        blocked = sum(1 for domain in domains if healths[domain.uuid].blocked)
        values = [
            gauge("domains", len(domains)),
            gauge("domains_stuck", blocked),
            gauge("domains_skipped", skipped),
            gauge("workers", self._pool.workers),
            gauge("workers_busy", self._pool.busy),
            gauge("workers_stuck", self._pool.stalled),
            Metric("duration", "read", (self._clock() - began,)),
        ]
        self._sink.dispatch(Identity("", self.name), values, self._wall())
