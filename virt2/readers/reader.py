"""One polling cycle of one group of domains, on collectd's read thread.

No libvirt call is made here. Jobs go to the reader's pool and records come back; what is not back by the deadline is
left to its worker. A record that comes late is taken by the next read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from virt2.domains.health import Health
from virt2.domains.inventory import HUNG_AFTER
from virt2.domains.spread import due_since
from virt2.metrics import defaults
from virt2.metrics.metric import Metric, gauge, monitor_blocked, sample_age
from virt2.model.domain import Domain
from virt2.model.replies import NicStats
from virt2.output.batch import Batch
from virt2.output.naming import Identity
from virt2.readers.context import Domains, Outputs, Timing, Workers
from virt2.readers.gate import STATES
from virt2.readers.kernel import Host, Kernel, Processes
from virt2.readers.needs import ServerNeeds, server_needs
from virt2.readers.polling import Polling, Read
from virt2.readers.records import Outcome, Sample
from virt2.readers.results import Results
from virt2.readers.sampling import ASK_OUTSIDE, LOOK, OUTSIDE, Sampler
from virt2.readers.taps import Taps
from virt2.readers.unsupported import CONTROL_INFO
from virt2.workers.job import MONITOR, SERVER, STALLED_AFTER, Job

FIRST_LIST = 0.6
"""Part of a read's time for which the very first read waits for a list, because it has nothing to do without one."""
LEAST_LOOK = 0.25
"""Part of a read's time for which running domains are looked for, also where the wait for the first list took long."""
FRESH_LIST = 0.25
"""Seconds before a read for which a list counts as one of this read, because readers read at the same time."""
UNSURE_AGAIN = 60.0
"""Seconds until a read may be unsure of the same domain again."""
LAST_LIST_PATIENCE = 0.05
"""Seconds that the end of a read waits for a list (which takes 1 ms) where it has to tell what calls wait for."""
LIST_PATIENCE = 0.2
"""Seconds that any other read waits for a fresh list (a list takes 1 ms) before it takes the last good one."""


class HostSources(NamedTuple):
    """What may be read off this host, where the domains run on it."""

    interfaces: Callable[[], Mapping[str, NicStats]] = dict
    """Reads the counters of the host's own network devices that may stand in for libvirt's."""
    processes: Processes | None = None
    """The QEMUs of the domains; None where they are not seen."""


NO_SOURCES = HostSources()
"""Everything is asked of libvirt."""


class LastRead(NamedTuple):
    """How the last read that came to its end went."""

    began: float
    """Monotonic seconds."""
    took: float
    """Seconds."""


class Reader:
    """Reads its group once per interval.

    Arguments:
        name: the reader's, as configured or ``0``, ``1``, ...
        domains: what is known of the domains.
        workers: this reader's.
        sampler: given where records go, makes what makes the jobs.
        outputs: where metrics, texts that libvirt has among numbers, and troubles go.
        timing: when it reads; each read asks every domain.
        host: what may be read off this host.
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
        host: HostSources = NO_SOURCES,
    ) -> None:
        self.name = name
        self.domains = 0
        """How many it had in the last read."""
        self.skipped: Sequence[str] = ()
        """The names of those of them that there was no time for."""
        self.stuck = 0
        """Workers whose call was out before that read."""
        self.last_read: LastRead | None = None
        """How that read went; None before the first."""
        self._inventory, self._discovery, self._groups = domains.inventory, domains.discovery, domains.groups
        self._healths, self._names, self._alarms = domains.healths, domains.names, domains.alarms
        self._pool, self._budget, self._silent = workers.pool, workers.budget, workers.silent
        self._timeout, self._refresh = timing.timeout, timing.refresh
        self._clock, self._wall = timing.clocks
        self._polling = Polling(domains, workers, timing)
        self._sink = Batch(outputs.sink)
        self._results = Results(domains.names, self._sink, outputs.notify, outputs.troubles)
        self._interfaces = host.interfaces
        self._kernel = Kernel(host.processes, timing.clocks, lambda uuid: bool(self._sampler.extra(uuid).cpu_times))
        self._before: Sequence[Domain] = ()
        """The domains of the last read."""
        self._unsure: dict[str, float] = {}
        """When the last read began that could not tell of a domain whether it is well."""
        self._owed: dict[str, tuple[float, float]] = {}
        """When that read ended, monotonic seconds, and its wall time, where what it could not tell is still to be
        told."""
        self._taps = Taps(domains.inventory)
        self._counters: Mapping[str, NicStats] = {}
        self._took_all_its_time = False
        """Whether the last read ended at its deadline."""
        self._sampler = sampler(self._results.put, host=Host(lambda: self._counters.keys(), self._kernel))

    def __repr__(self) -> str:
        return f"<Reader {self.name} {self._pool!r}>"

    def read(self) -> None:
        """Ask every domain of the group, dispatch what is known by the deadline. Never blocks beyond it."""
        with self._polling.read() as read:
            began = read.began
            # Before the list, because a domain in a later one had the device of that name when the counters were read.
            counters, wall = self._interfaces(), self._wall()
            # Before the list as well, because nobody has to be waited for: so these have the same distance in each
            # read, whatever libvirt does.
            self._kernel.begin(self._before)
            is_current = self._wait_for_list(began)
            # libvirtd says of some only later that they have ended, or cannot say it.
            domains = [domain for domain in self._groups.begin(self.name) if not self._kernel.has_ended(domain)]
            read.over.callback(self._groups.end, self.name)
            read.over.callback(self._sink.flush)
            self._before = domains
            self._unsure = {uuid: when for uuid, when in self._unsure.items() if began - when <= UNSURE_AGAIN}
            healths = {domain.uuid: self._healths.of(domain.uuid, began, domain.id) for domain in domains}
            for domain in domains:
                health = healths[domain.uuid]
                if health.description is not domain.description:
                    health.describe(domain.description)
                if health.incoming and self._runs(domain.uuid):
                    health.incoming = False
            incoming = {uuid: health.incoming for uuid, health in healths.items() if health.incoming is not False}
            here = [one for one in domains if one.uuid not in incoming or self._is_here(one.uuid, incoming[one.uuid])]
            self._put_interfaces(domains, here, counters, began, wall)
            self._put_accounts(domains, here, healths)
            # What came back since the last read goes first, because a series must not run backwards.
            self._take(domains, healths, began)
            if self._took_all_its_time:
                # What is there already does not wait for calls that may not come back either.
                self._sink.flush()
            skipped = self._ask(domains, healths, read, self._needs(domains, healths, began, wall, is_current))
            self._took_all_its_time = self._clock() >= read.deadline
            answered = self._take(domains, healths, began)
            waiting = self._ask_outside(domains, healths, answered, read)
            self._find_out_about_workers()
            unsure = self._judge(domains, healths, answered, waiting, began)
            self._report(domains, healths, wall, unsure)
            self._sink.flush()
            self._count(domains, skipped, began)
            self._report_itself(domains, healths, len(skipped), began)

    def _wait_for_list(self, began: float) -> bool:
        """Wait for a list of domains; returns whether there is one of this read."""
        patience = LIST_PATIENCE if self._inventory.listed else FIRST_LIST * self._timeout
        is_current = self._inventory.refresh(max_age=FRESH_LIST, timeout=min(patience, self._timeout))
        if self._inventory.hung_for() > HUNG_AFTER:
            self._discovery.look(max(began + self._timeout / 2, self._clock() + LEAST_LOOK * self._timeout))
        return is_current

    def _runs(self, uuid: str) -> bool:
        """Whether the last list tells that a domain is not paused."""
        return self._inventory.paused is not None and uuid not in self._inventory.paused

    def _is_here(self, uuid: str, incoming: bool | None) -> bool:
        """Whether a domain may be reported.

        While it is being moved it runs on another host, which reports it under the same names. Of a paused one that is
        new it has to be found out first.
        """
        if incoming is None:
            return self._inventory.paused is None or self._runs(uuid)
        return not incoming

    def _put_interfaces(
        self,
        domains: Sequence[Domain],
        here: Sequence[Domain],
        counters: Mapping[str, NicStats],
        taken: float,
        wall: float,
    ) -> None:
        """Put the counters that were read off the host before the list of domains, where they are the domains' own."""
        listed = self._inventory.listed_at
        self._counters = self._taps.sure(counters, domains, current=listed is not None and listed >= taken)
        for domain in here:
            for nic in domain.description.nics:
                stats = self._counters.get(nic.target) if nic.tap else None
                if stats is not None:
                    self._results.put(Sample(domain.uuid, defaults.NIC, nic.target, taken, wall, stats))

    def _put_accounts(self, domains: Sequence[Domain], here: Sequence[Domain], healths: Mapping[str, Health]) -> None:
        """Put what the kernel said of the domains' processes."""
        self._kernel.read(domains)
        for domain in here:
            reading = self._kernel.of(domain.uuid)
            if reading is not None:
                self._sampler.put_account(domain, healths[domain.uuid], reading)

    def _needs(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        began: float,
        wall: float,
        is_current: bool,
    ) -> Mapping[str, ServerNeeds]:
        """What libvirtd alone has to be asked in this read, by domain. Puts what need not be asked for.

        Memory is known where libvirt tells of its changes, and has answered just now. Then it is known as well which
        domains are paused. Where that is not so, libvirt is asked for each domain.
        """
        paused = self._inventory.paused
        told_since = self._inventory.told_since if is_current and paused is not None else None
        ask_one = self._budget.stalled_since() is None
        needs = {}
        for domain in domains:
            uuid, health = domain.uuid, healths[domain.uuid]
            memory = self._memory(domain, health, told_since, began)
            ours = self._budget.running(uuid, MONITOR)
            # Where calls to monitors do not come back, one that needs none shows what they wait for.
            is_asked = ask_one and ours is not None and ours.stalled
            ask_one = ask_one and not is_asked
            reading = self._kernel.of(uuid)
            info = memory is None or reading is None or is_asked
            known = ServerNeeds(
                info, paused is not None and uuid in paused, memory is None, reading is None or reading.times is None
            )
            health.monitored = self._sampler.asks_monitor(domain)
            need = server_needs(domain, health, self._sampler.extra(uuid), self._counters, known)
            if (need is None or need.is_look) and self._budget.charged(uuid) is not None:
                # It has to be found out whether what was cut off is over.
                need = known
            if need is not None:
                needs[uuid] = need
            if need is None or need.is_look:
                # Nothing of it is missing. A look goes behind everybody's disks, and there may be no time for it.
                health.incoming = False
                self._results.put(Outcome(uuid, SERVER, began, answered=True))
            if memory is not None and (health.incoming is False or self._is_here(uuid, health.incoming)):
                self._results.put(Sample(uuid, defaults.BALLOON_SIZE, "", began, wall, memory))
        return needs

    def _memory(self, domain: Domain, health: Health, told_since: float | None, began: float) -> int | None:
        """The size of a domain's memory, KiB; None where libvirt has to be asked for it."""
        if self._refresh <= 0:
            return health.memory(told_since, None)
        asked_since = due_since(domain.uuid, self._refresh, began)
        memory = health.memory(told_since, asked_since)
        if memory is None and told_since is not None:
            # Where the file shows that libvirt knows nothing new since the description was read, it need not be asked.
            # That is read again now and then whatever the file says, and the memory is asked for after it.
            health.confirm(self._inventory.unchanged_since(domain), began)
            memory = health.memory(told_since, asked_since)
        return memory

    def _ask(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        read: Read,
        needs: Mapping[str, ServerNeeds],
    ) -> Collection[str]:
        """Run the jobs of this read; returns the domains that there was no slot for."""
        if not self._polling.connected:
            return ()
        charged = [domain for domain in domains if self._budget.charged(domain.uuid) is not None]
        monitors = {job.uuid: job for job in self._monitor_jobs(domains, healths)}
        left = read.run([*self._server_jobs(domains, healths, needs, monitors), *monitors.values()])
        freed = [domain for domain in charged if self._budget.charged(domain.uuid) is None]
        if freed:
            # The first look at them showed that what was cut off is over, so they need not wait for the next read.
            left += read.run(self._monitor_jobs(freed, healths))
        skipped = {job.uuid for job in left if job.kind == MONITOR}
        for uuid, health in healths.items():
            health.skipped = uuid in skipped
        return {job.uuid for job in left if not (job.late and job.uuid in monitors and monitors[job.uuid].begun)}

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

    def _server_jobs(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        needs: Mapping[str, ServerNeeds],
        monitors: Mapping[str, Job],
    ) -> Iterable[Job]:
        for domain in domains:
            uuid = domain.uuid
            if uuid in needs and self._budget.running(uuid, SERVER) is None:
                charged = self._budget.charged(uuid) is not None
                yield self._sampler.server_job(
                    domain, healths[uuid], needs[uuid], charged, self._budget.discharge, monitors.get(uuid)
                )

    def _monitor_jobs(self, domains: Sequence[Domain], healths: Mapping[str, Health]) -> Iterable[Job]:
        """Make no second job for a domain while a call for it is stuck or charged, or waits for the domain's lock.

        A call that may come back in this read (a size is being asked for, of storage that takes its time) is waited
        for.
        """
        stuck_by = self._clock() - max(STALLED_AFTER, self._timeout)
        for domain in domains:
            uuid = domain.uuid
            monitor = self._budget.running(uuid, MONITOR)
            health = healths[uuid]
            if (
                health.monitored
                and (monitor is None or monitor.since > stuck_by)
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
            if outcome.taken >= began and (key not in outcomes or _outranks(outcome, outcomes[key])):
                outcomes[key] = outcome
        return outcomes

    def _judge(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        outcomes: Mapping[tuple[str, str], Outcome],
        waiting: Collection[str],
        began: float,
    ) -> Collection[str]:
        """Say of each domain whether it is well, or what it is blocked by and since when.

        Returns the domains of which this read cannot tell.
        """
        now, silent = self._clock(), self._silent()
        unsure: set[str] = set()
        for domain in domains:
            uuid, health = domain.uuid, healths[domain.uuid]
            server, monitor = outcomes.get((uuid, SERVER)), outcomes.get((uuid, MONITOR))
            ours = self._budget.running(uuid, MONITOR)
            if monitor is not None and not monitor.answered and ours is not None and ours.stalled:
                # The look has found our own call inside, which asks for sizes, say, and not another client.
                monitor = None
            if monitor is None and self._sampler.gate.sees_processes:
                # There may have been no worker for a look.
                letter = self._kernel.stopped(domain)
                monitor = Outcome(uuid, MONITOR, began, False, STATES[letter]) if letter else None
            if monitor is not None and not monitor.answered and monitor.cause:
                since = next(when for when in (monitor.entered, monitor.since, monitor.taken) if when is not None)
                health.block(monitor.cause, since, entered=monitor.entered is not None)
            elif monitor is None and self._is_unsure(uuid, ours, began):
                unsure.add(uuid)
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
        for uuid in unsure:
            self._unsure[uuid] = began
        return unsure

    def _find_out_about_workers(self) -> None:
        """Have a list made where a call waits that needs libvirtd alone: it tells whether libvirtd has workers."""
        since = self._budget.stalled_since()
        if since is not None:
            # One that was asked for well after that call.
            self._inventory.refresh(max_age=(self._clock() - since) / 2, timeout=LAST_LIST_PATIENCE)

    def _is_unsure(self, uuid: str, ours: Job | None, began: float) -> bool:
        """Whether a call to a monitor may wait for a worker of libvirtd as well as for the monitor.

        Nothing that needs a worker was answered in this read then. The next read knows: it asks for what needs no
        monitor. A monitor that is always slow is not excused again and again.
        """
        if ours is None or ours.since < began or self._budget.answered_at >= began:
            return False
        return began - self._unsure.get(uuid, -math.inf) > UNSURE_AGAIN

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
        is_locked = server is not None and server.since < stuck_by and server.what not in (ASK_OUTSIDE, LOOK)
        if monitor is not None and monitor.since < stuck_by:
            health.block("lock held" if is_locked or monitor.what == CONTROL_INFO else monitor.what, monitor.since)
        elif server is not None and is_locked:
            health.block("lock held", server.since)
        elif charge is not None:
            health.block(f"{charge.what}, cut off with its connection", charge.since)

    def _report(
        self,
        domains: Sequence[Domain],
        healths: Mapping[str, Health],
        wall: float,
        unsure: Collection[str],
    ) -> None:
        """Dispatch what is always said of a domain, with the time when the read began, since reads differ in length.

        What the last read could not tell is known now, and has its own time.
        """
        now = self._clock()
        up = self._polling.connected
        can_look = self._sampler.gate.can_look
        owed, self._owed = self._owed, {}
        for domain in domains:
            health = healths[domain.uuid]
            if self._kernel.has_ended(domain):
                continue
            if health.incoming is not False and not self._is_here(domain.uuid, health.incoming):
                continue
            identity = self._names.of(domain)
            meta = {"virt2_reader": self.name, "virt2_tag": domain.description.tag}
            values = [sample_age(health.age(now))]
            if up and domain.uuid in unsure:
                self._owed[domain.uuid] = (now, wall)
            elif up and (can_look or health.monitored or health.blocked):
                if domain.uuid in owed:
                    then, when = owed[domain.uuid]
                    self._sink.dispatch(identity, [monitor_blocked(health.blocked_for(then))], when, meta)
                values.append(monitor_blocked(health.blocked_for(now)))
            self._sink.dispatch(identity, values, wall, meta)

    def _count(self, domains: Sequence[Domain], skipped: Collection[str], began: float) -> None:
        self.domains = len(domains)
        self.skipped = [domain.name for domain in domains if domain.uuid in skipped] if skipped else ()
        # Only those that were out before this read are stuck, because a machine may be slow for a moment.
        self.stuck = self._pool.stuck(self._clock() - began) if skipped else 0

    def _report_itself(
        self, domains: Sequence[Domain], healths: Mapping[str, Health], skipped: int, began: float
    ) -> None:
        blocked = sum(1 for domain in domains if healths[domain.uuid].blocked)
        self.last_read = LastRead(began, self._clock() - began)
        values = [
            gauge("domains", len(domains)),
            gauge("domains_stuck", blocked),
            gauge("domains_skipped", skipped),
            gauge("workers", self._pool.workers),
            gauge("workers_busy", self._pool.busy),
            gauge("workers_stuck", self._pool.stalled),
            Metric("duration", "read", (self.last_read.took,)),
        ]
        self._sink.dispatch(Identity("", self.name), values, self._wall())


def _outranks(later: Outcome, former: Outcome) -> bool:
    """Whether of two outcomes of one kind and domain in a read the one that was told later counts.

    The one that found something counts, unless the monitor has answered since.
    """
    if later.cause:
        return not (former.answered and former.taken > later.taken)
    return not former.cause or (later.answered and later.taken > former.taken)
