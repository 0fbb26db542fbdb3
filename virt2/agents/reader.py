"""Asks what only a guest's agent can tell (selectors `guest_info` and `fs_info`), apart from everything else.

An agent hangs as easily as a QEMU, and the guest decides when. A call to one holds a worker of libvirtd's for as long
as it waits, though neither the monitor nor the domain's lock. So these calls have a few workers of their own. A hanging
agent costs the other guests' agents a little time, and costs nothing else.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from queue import SimpleQueue
from typing import NamedTuple

from virt2.agents.connection import AgentCalls, Hold
from virt2.agents.guestinfo import (
    FILE_SYSTEM,
    FS_INFO,
    GUEST_INFO,
    LONGEST_PATH,
    MOST_FILE_SYSTEMS,
    FileSystem,
    Guest,
    News,
    Series,
    from_fs_info,
    from_guest_info,
)
from virt2.errors import AgentSilent, CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.metrics.metric import Metric
from virt2.model.domain import Domain
from virt2.notifications.notification import OKAY
from virt2.output.naming import Identity
from virt2.readers.context import Domains, Outputs, Timing, Workers
from virt2.readers.gate import Gate
from virt2.readers.polling import Polling
from virt2.text.printable import printable
from virt2.workers.job import AGENT, Job

log = logging.getLogger(__name__)

SLOW = 1.0
"""Seconds after which "not connected" means that an agent did not answer; one that is not there costs 5 ms."""
SAID_APART = 3600.0
"""The least seconds between two complaints about one domain, because its guest could cause one at any time."""
LONGEST_REASON = 200
"""The most bytes of libvirt's words that are said, because it quotes the agent in them."""
LONGEST_PAUSE = 3600.0
"""The most seconds between two calls to an agent that hangs again and again; the interval, where that is longer."""
MOST_DOUBLINGS = 32
"""Doublings of the pause after which it has long been the longest one, whatever the interval."""
GIVEN_UP = 3600.0
"""Seconds after which the agent of a call that was cut off is asked again. Nothing tells whether libvirtd is still in
that call. If it is, it refuses the new one after 30 s, which holds one more worker for 30 s, once an hour."""
SILENT_WAIT = 2.0
"""Intervals by which an agent that did not answer counts as having waited less than others, because it may keep a
worker for as long as it likes. After that it has its turn, however many others there are."""


class _Answer(NamedTuple):
    """How a call ended."""

    uuid: str
    taken: float
    """The time before it, monotonic seconds."""
    time: float
    """The same, as wall time."""
    took: float
    result: Guest | Exception


class _Guest:
    """What is remembered of one run of a domain."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.asked: float | None = None
        self.series = Series()
        self.news = News(self.series)
        self.hung = 0
        """Calls in a row that were not answered in time."""
        self.complained: float | None = None
        self.complaining = False
        """Whether something was said of it that is not over."""
        self.full_said = False


class AgentReader:
    """Asks the agents of all domains, whatever their reader, each once per ``GuestAgentInterval``.

    It reads more often than that, so that the work is spread and what comes late goes out soon.

    A call is never cut short, because libvirt's limit is a setting of the domain's that holds for everybody. So an
    agent that hangs keeps its worker, and no second call is made to it. Those that hung before are asked more and more
    rarely, and only while they leave a worker to the others.

    Arguments:
        selectors: those of `virt2.agents.guestinfo.AGENT_SELECTORS` that are on.
        domains: what is known of the domains. One whose monitor is blocked is not asked, because the call needs the
            monitor in the end.
        workers: of its own; their connections are `Hold`s.
        outputs: where metrics and notifications go.
        timing: when it reads.
        patience: seconds after which an agent that has not answered is said to hang; infinity for never.
        gate: looks at a domain's process before its agent is asked.
    """

    def __init__(
        self,
        *,
        selectors: Collection[str],
        domains: Domains,
        workers: Workers,
        outputs: Outputs,
        timing: Timing,
        patience: float,
        gate: Gate,
    ) -> None:
        self._selectors = frozenset(selectors)
        self._inventory, self._healths, self._names = domains.inventory, domains.healths, domains.names
        self._pool, self._budget, self._refused = workers.pool, workers.budget, workers.refused
        self._refusals = 0
        """Reads in a row without a connection."""
        self._sink, self._notify = outputs.sink, outputs.notify
        self._interval = timing.interval
        self._clock, self._wall = timing.clocks
        self._patience = patience
        self._gate = gate
        self._polling = Polling(domains, workers, timing)
        self._guests: dict[str, _Guest] = {}
        self._answers: SimpleQueue[_Answer] = SimpleQueue()
        self._lacking: dict[str, tuple[AgentCalls, str]] = {}
        """Calls that a connection's libvirt does not know, with its words: not made there again."""

    def __repr__(self) -> str:
        return f"<AgentReader {self._pool!r}>"

    def read(self) -> None:
        """Ask those whose time has come until the deadline; dispatch what came in."""
        with self._polling.read() as read:
            began = read.began
            domains = {domain.uuid: domain for domain in self._inventory.domains()[1]}
            self._know(domains)
            read.over.callback(self._take, domains)
            self._take(domains)
            self._find_overdue(domains, began)
            self._budget.expire(AGENT, began - GIVEN_UP)
            self._polling.conditions.update(
                not self._pool.share,
                "guest agents are not asked, because libvirtd has too few workers for us to wait for them",
                "guest agents are asked: libvirtd has enough workers",
            )
            self._watch_workers(domains, began)
            if self._polling.connected and self._pool.share:
                jobs = self._jobs(domains, began)
                read.run(jobs, handicap=self._handicap)
                for job in jobs:
                    if job.begun:
                        self._guests[job.uuid].asked = began
                if jobs:
                    self._watch_connection()
        for call, (_, words) in tuple(self._lacking.items()):
            lacks = f"{call} is not known to this libvirt: {words}"
            self._polling.conditions.update(True, lacks, f"{call} is known to this libvirt again")

    def _watch_workers(self, domains: Mapping[str, Domain], now: float) -> None:
        """Say that hanging agents hold all workers, and whose they are."""
        out = [job for (_, kind), job in tuple(self._budget.in_flight.items()) if kind == AGENT]
        hanging = [job.uuid for job in out if now - job.since >= self._patience]
        names = ", ".join(sorted(domains[uuid].name for uuid in hanging if uuid in domains))
        full = 0 < self._pool.share <= self._out()
        self._polling.conditions.update(
            full and bool(hanging),
            f"all {self._out()} workers for guest agents wait for agents that do not answer: no other agent is asked"
            f" until one of these does, or its guest ends: {names}",
            "guest agents are asked again: not all workers wait for agents that do not answer",
        )

    def _out(self) -> int:
        """Calls to agents that hold a worker of libvirtd's, as far as is known."""
        return [kind for _, kind in (*tuple(self._budget.in_flight), *tuple(self._budget.charges))].count(AGENT)

    def _watch_connection(self) -> None:
        """Say that there is no connection, except while libvirtd is just being restarted, which others say."""
        self._refusals = self._refusals + 1 if self._refused() else 0
        self._polling.conditions.update(
            self._refusals > 1,
            f"guest agents cannot be asked, because libvirt refuses a read-write connection: {self._refused()}",
            "guest agents can be asked again",
        )

    def _know(self, domains: Mapping[str, Domain]) -> None:
        """Forget guests that are gone. A domain that was started again is another guest."""
        before = self._guests
        self._guests = {}
        for uuid, domain in domains.items():
            guest = before.get(uuid)
            self._guests[uuid] = guest if guest is not None and guest.id == domain.id else _Guest(domain.id)

    def _jobs(self, domains: Mapping[str, Domain], now: float) -> list[Job]:
        """Make the jobs of those whose time has come and for whom no call is out, who was asked longest ago first.

        Those that hung the last time are asked only where a worker is left for the others.
        """
        due = []
        for uuid, domain in domains.items():
            guest = self._guests[uuid]
            if (
                domain.description.agent
                and self._polling.is_due(guest.asked, now, self._pause(guest))
                and not self._healths.of(uuid, now).blocked
                and self._budget.running(uuid, AGENT) is None
                and (uuid, AGENT) not in self._budget.charges
            ):
                due.append((guest.asked or 0.0, uuid))
        due.sort()
        hung = [uuid for _, uuid in due if self._guests[uuid].hung]
        room = max(self._pool.share - 1, 1) - self._out()
        waiting = frozenset(hung[max(room, 0) :])
        return [Job(uuid, AGENT, self._work(domains[uuid])) for _, uuid in due if uuid not in waiting]

    def _handicap(self, job: Job) -> float:
        """Have those that answer go first, though not for ever."""
        return SILENT_WAIT * self._interval if self._guests[job.uuid].hung else 0.0

    def _pause(self, guest: _Guest) -> float:
        """Seconds between two calls for an agent: twice as many after each call in a row that it did not answer."""
        return max(self._interval, min(self._interval * 2.0 ** min(guest.hung, MOST_DOUBLINGS), LONGEST_PAUSE))

    def _work(self, domain: Domain) -> Callable[[Hold, Job], None]:
        def work(hold: Hold, job: Job) -> None:
            if self._gate.stopped(domain):
                return
            result: Guest | Exception
            wall, taken = self._wall(), self._clock()
            try:
                result = self._ask(hold, job, domain.uuid)
                job.hear()
            except (AgentSilent, CallFailed, DomainBusy, DomainGone) as error:
                result = error
            self._answers.put(_Answer(domain.uuid, taken, wall, self._clock() - taken, result))

        return work

    def _ask(self, hold: Hold, job: Job, uuid: str) -> Guest:
        """Ask for everything at once where libvirt can. More versions know the older call, which has no sizes."""
        if GUEST_INFO in self._selectors and self._is_known("guestInfo", hold):
            job.doing("guestInfo")
            try:
                return from_guest_info(hold.calls.guest_info(uuid))
            except Unsupported as error:
                self._lacking[job.what] = hold.calls, str(error)
        if FS_INFO in self._selectors and self._is_known("fsInfo", hold):
            job.doing("fsInfo")
            try:
                return from_fs_info(hold.calls.fs_info(uuid))
            except Unsupported as error:
                self._lacking[job.what] = hold.calls, str(error)
        raise DomainGone("there is nothing left to ask")

    def _is_known(self, call: str, hold: Hold) -> bool:
        return call not in self._lacking or self._lacking[call][0] is not hold.calls

    def _take(self, domains: Mapping[str, Domain]) -> None:
        # Only what is there now: workers that report as fast as this thread takes must not keep it here.
        for _ in range(self._answers.qsize()):
            answer = self._answers.get_nowait()
            guest = self._guests.get(answer.uuid)
            if guest is None:
                continue
            domain = domains[answer.uuid]
            if isinstance(answer.result, Guest):
                guest.hung = 0
                self._dispatch(domain, guest, answer, answer.result)
                if answer.took >= self._patience:
                    self._complain(domain, guest, f"its guest agent took {answer.took:.0f} s to answer")
                elif guest.complaining:
                    guest.complaining = False
                    log.info("domain %s: its guest agent answers again", domain.name)
            else:
                self._judge(domain, guest, answer, answer.result)

    def _dispatch(self, domain: Domain, guest: _Guest, answer: _Answer, told: Guest) -> None:
        identity = self._names.of(domain)
        if GUEST_INFO in self._selectors:
            duration = Metric("duration", "guest_agent", (answer.took,))
            self._sink.dispatch(identity, [duration], answer.time, told.texts)
            self._sink.dispatch(identity, guest.series.metrics(told), answer.time)
        if FS_INFO in self._selectors:
            for file_system in guest.news.of(told, answer.taken):
                self._tell(identity, file_system)
        if guest.series.full and not guest.full_said:
            guest.full_said = True
            log.warning(
                "domain %s: its guest agent told of more than %d mount points, so only the first ones are reported",
                domain.name,
                MOST_FILE_SYSTEMS,
            )

    def _tell(self, identity: Identity, file_system: FileSystem) -> None:
        """Notify as the C plugin does; it repeats `devAlias` for each disk, which a dictionary cannot."""
        meta: dict[str, str | int] = {
            "mountpoint": printable(file_system.mount_point, LONGEST_PATH),
            "name": file_system.name,
            "fstype": file_system.kind,
            "ndevAlias": len(file_system.disks),
            "devAlias": ",".join(file_system.disks),
        }
        if self._notify is not None:
            self._notify(OKAY, "File system information", identity, type=FILE_SYSTEM, type_instance="", meta=meta)

    def _judge(self, domain: Domain, guest: _Guest, answer: _Answer, error: Exception) -> None:
        """Say once that an agent says nothing, or nonsense. An agent that is not there is no news."""
        if isinstance(error, DomainGone):
            return
        slow = answer.took >= SLOW
        guest.hung = guest.hung + 1 if slow else 0
        if isinstance(error, AgentSilent) and not slow:
            return
        if isinstance(error, CallFailed):
            self._complain(domain, guest, f"its guest agent makes no sense: {error}")
        else:
            self._complain(domain, guest, f"its guest agent did not answer in {answer.took:.0f} s: {error}")

    def _find_overdue(self, domains: Mapping[str, Domain], now: float) -> None:
        """Say of an agent that it has not answered yet, since its call may never come back."""
        for uuid, guest in self._guests.items():
            job = self._budget.running(uuid, AGENT)
            if job is not None and now - job.since >= self._patience:
                self._complain(domains[uuid], guest, f"its guest agent has not answered for {now - job.since:.0f} s")

    def _complain(self, domain: Domain, guest: _Guest, text: str) -> None:
        now = self._clock()
        if guest.complaining or (guest.complained is not None and now - guest.complained < SAID_APART):
            return
        guest.complaining, guest.complained = True, now
        log.warning("domain %s: %s", domain.name, printable(text, LONGEST_REASON))
