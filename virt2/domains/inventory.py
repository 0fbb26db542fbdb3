"""The list of active domains, kept by a thread of its own.

libvirt's list blocks as a whole while any domain's object lock is held, so it may cost this one thread and this one
connection, never a reader. While it hangs, or libvirtd is away, the last good list stands.

Polling is the truth; events only make it current sooner, and tell which descriptions to read again.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, Protocol, Union

from virt2 import threads
from virt2.domains.connection import Calls, Connection, DomainCalls, Hypervisor
from virt2.errors import Disconnected, DomainGone, Error, Unsupported
from virt2.model.domain import NO_ID, Description, Domain, Nic, Status
from virt2.model.events import CHANGED, OF_THE_LIST, Event
from virt2.model.replies import Listed
from virt2.once import Gatherer, Once
from virt2.workers.budget import Budget

log = logging.getLogger(__name__)

HUNG_AFTER = 0.5
"""Seconds in one attempt after which no reader waits for it any more. A list takes 1 ms, a description 0.3 ms."""
SPACING = 0.1
"""Seconds at least between two lists that only events asked for: a host that starts a hundred guests sends hundreds."""
FIRST_RETRY = 1.0
"""Seconds until the first new attempt after a failed one; doubled each time."""
LONGEST_RETRY = 30.0
"""Seconds between attempts at the most, or the interval where that is shorter."""

STATUS_AGE = 0.75
"""Part of `statuses_every` after which they are read with the next list: lists are asked for by readers, and those are
never quite on time."""

MOST_IDLE = 4096
"""Domains that are not active whose description is kept."""

_REQUEST = None

Line = Union[Listed, Domain]
"""What names a domain: a line of a list, or the domain as it is known."""

JOB_FOR_XML = ((11, 0), (11, 5))
"""From the first of these versions of libvirt on, and before the second, reading a domain's XML takes its job: then it
waits for its monitor."""

WITHOUT_XML = (
    "; its interfaces are reported, its disks and its tag are not known. Where its metadata is larger than libvirt's"
    " messages (4 MiB), make it smaller, or run collectd as root"
)
"""What is said of a domain whose XML cannot be read."""

Describe = Callable[[str, str, Callable[[str], str], str], Description]
"""Describes a domain by its name and XML, given a way to get the metadata of one namespace alone, and the XML of the
backup that is under way, if there is one."""


class Link(NamedTuple):
    """Whether libvirt can be reached."""

    up: bool
    since: float
    """Since when, monotonic seconds."""
    reason: str
    """libvirt's words when it cannot."""


class Statuses(NamedTuple):
    """The states of domains: of all, or of those that are not active."""

    domains: Sequence[Status]
    asked: float
    """When they were asked for, monotonic seconds."""
    first: bool = False
    """Whether they are the first of all domains over a connection: what happened before it nobody told."""


class _Entry(NamedTuple):
    domain: Domain
    described: float | None
    """When its description was asked for; None when that failed and is to be tried again."""
    stamp: object = None
    """That of its status file, from before its description was asked for; None where that cannot be seen."""


class StatusFile(Protocol):
    """What libvirt keeps of a running domain in files, by the domain's name (see `virt2.sources.procfs`)."""

    def stamp(self, name: str) -> object:
        """Something that changes with every change of the domain; None where it cannot be seen."""

    def xml(self, name: str) -> str:
        """The domain's XML; empty where it cannot be read."""


class Schedule(NamedTuple):
    """What is done how often, in seconds."""

    retry: float = LONGEST_RETRY
    """The longest time between two attempts to connect."""
    refresh: float = 60.0
    """The age at which a description is read again; 0 or less for never."""
    statuses_every: float | None = None
    """After this time the states of all domains are read again; None for never."""
    inactive_every: float | None = None
    """After this time the states of inactive domains are read (again); None for never."""


class Listeners(NamedTuple):
    """Who hears of what. All but `on_event` are called from the inventory's thread; no lock is held meanwhile."""

    on_link: Callable[[Link], None] = lambda link: None
    """libvirt was lost or is back."""
    on_connect: Callable[[], None] = lambda: None
    """There is a new connection: libvirtd may be another one."""
    on_list: Callable[[], None] = lambda: None
    """A list is there and all its domains are described."""
    on_event: Callable[[Event], None] = lambda event: None
    """Called from libvirt's thread with every event that it tells; must only enqueue."""
    on_statuses: Callable[[Statuses], None] | None = None
    """The states of all domains were read: once for every connection, and again as the schedule says; None where nobody
    wants them."""


class Describing(NamedTuple):
    """How domains are described, and which."""

    describer: Callable[[], Describe]
    """Asked before descriptions are read; makes what turns XML into a description."""
    status_file: StatusFile | None = None
    """Where what libvirt keeps of a running domain in files can be seen; None where it cannot."""
    troubles: Gatherer | None = None
    """Where troubles of domains are said; None has those of one attempt said together."""
    backups: bool = False
    """Whether it matters what backups write to, which costs a call for each description."""
    idle: bool = False
    """Whether domains that are not active are described too, because names are made of their metadata."""
    stopped: Callable[[str, str], str] = lambda uuid, name: ""
    """Tells by UUID and name that a domain's QEMU will not answer; empty where it may."""


EVERY_MINUTE = Schedule()
"""Descriptions are read again every minute, and no states are read."""
NOBODY = Listeners()
"""Nobody hears of anything."""


class Inventory:
    """The active domains and their descriptions.

    Arguments:
        hypervisor: makes connections (see `virt2.sources.hypervisor.Hypervisor`).
        budget: a list holds a worker of libvirtd like any other call.
        describing: how domains are described, and which.
        schedule: what is done how often.
        listeners: who hears of what.
        wants: tells by name and UUID whether a domain is reported; others are not known here and cost no call.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        hypervisor: Hypervisor,
        budget: Budget,
        describing: Describing,
        *,
        schedule: Schedule = EVERY_MINUTE,
        listeners: Listeners = NOBODY,
        wants: Callable[[str, str], bool] = lambda name, uuid: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hypervisor = hypervisor
        self._budget = budget
        self._describer = describing.describer
        self._retry = min(schedule.retry, LONGEST_RETRY)
        self._refresh = schedule.refresh
        self._listeners = listeners
        self.wants = wants
        self._statuses_every = schedule.statuses_every
        self._inactive_every = schedule.inactive_every
        self.inactive: Statuses | None = None
        """The last that were read; None before, and where nobody wants them."""
        self._describes_idle = describing.idle
        self._status_file = describing.status_file
        self._backups = describing.backups
        self._stopped = describing.stopped
        self.statuses: Statuses | None = None
        """The last that were read; None before, and where nobody wants them."""
        self._status_connection: Connection | None = None
        """The connection they were read over."""
        self._clock = clock
        self._messages: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._entries: dict[str, _Entry] = {}
        self._version = 0
        self._listed_at: float | None = None
        self._answered: float | None = None
        """When the last list was asked for that was answered, whatever became of the descriptions."""
        self._calls = Calls(clock, HUNG_AFTER)
        """Those over the list's own connection."""
        self._attempting = False
        self._attempts = 0
        self._next_attempt = 0.0
        self._backoff = FIRST_RETRY
        self._link: Link | None = None
        self._connection: Connection | None = None
        self._stale: dict[str, str] = {}
        """Domains that events were about, with their names where the events had them."""
        self._idle: dict[str, _Entry] = {}
        """Of domains that are not active, or not listed yet; the latest last."""
        self._troubles = Gatherer(0.0) if describing.troubles is None else describing.troubles
        self._once = Once()
        self._started = False
        self._stopping = False
        self.libvirt_version = ""
        """Of the libvirt at the other end; empty before the first connection."""

    def __repr__(self) -> str:
        state = "never connected" if self._link is None else "up" if self._link.up else "down"
        return f"<Inventory {state} domains={len(self._entries)} version={self._version}>"

    def start(self) -> None:
        """Start the thread and ask for the first list, where that is not done; there may be no thread to be had."""
        if not self._started and threads.try_start("virt2/list", self._run):
            self._started = True
            self._messages.put(_REQUEST)

    def stop(self) -> None:
        """Let the thread end when its call returns. Does not wait."""
        self._stopping = True
        self._messages.put(_REQUEST)

    @property
    def link(self) -> Link | None:
        """Whether libvirt can be reached; None before that is known."""
        return self._link

    @property
    def listed(self) -> bool:
        """Whether there ever was a complete list."""
        return self._listed_at is not None

    @property
    def listed_at(self) -> float | None:
        """When the last complete list was asked for, monotonic seconds; None before the first."""
        return self._listed_at

    def hung_for(self) -> float:
        """Seconds the call that is under way over the list's own connection has taken; 0 when none is.

        One whose connection was given up, because nothing came back, counts until libvirtd answers an attempt to
        connect. Not the attempt to list: that takes long where there are many domains to describe, or a slow link, and
        nothing hangs. Nor connecting by itself, of which `Budget.connects` knows.
        """
        return self._calls.hung_for()

    @property
    def silent(self) -> bool:
        """Whether a call hangs and nothing else was answered since it was made: libvirtd itself seems to hang.

        Where only one domain's lock is held, the list hangs too, but the calls for other domains are answered.
        """
        hung = self.hung_for()
        return hung > HUNG_AFTER and self._budget.answered_at < self._clock() - hung and not self.out_of_workers

    @property
    def out_of_workers(self) -> bool:
        """Whether libvirtd has no normal worker for us: it answers lists, which are priority calls, and nothing else.

        A held lock looks different: there the list hangs as well, and the calls for other domains are answered.
        """
        since, describing = self._budget.stalled_since(), self._calls.describing
        if since is None:
            return False
        if describing is not None and describing <= since:
            # A list was answered just before; another cannot be asked for as long as this call hangs.
            return self._budget.answered_at < describing
        if self._budget.answered_at >= since:
            return False
        return self._answered is not None and self._answered > since

    def check_workers(self) -> bool:
        """Whether libvirtd has no normal worker for us; has a list asked for where that would tell."""
        since = self._budget.stalled_since()
        if since is None:
            return False
        if self.out_of_workers:
            return True
        if not self._attempting and self._budget.answered_at < since:
            self._messages.put(_REQUEST)
        return False

    def domains(self) -> tuple[int, list[Domain]]:
        """The last good list, and a number that changes with it."""
        with self._changed:
            return self._version, [entry.domain for entry in self._entries.values()]

    @property
    def version(self) -> int:
        """Changes whenever a domain comes, goes or is described anew."""
        return self._version

    def refresh(self, max_age: float, timeout: float) -> bool:
        """Ask for a list no older than `max_age` seconds and wait `timeout` seconds for it at the most.

        Returns whether there is one. Does not wait where that is in vain: an attempt already hangs, or libvirt is away
        and the next attempt is not due.
        """
        with self._changed:
            if self._is_young(max_age):
                return True
            if self.hung_for() > HUNG_AFTER:
                return False
            if self._link is not None and not self._link.up:
                return False
            # What an attempt under way has listed may be too old.
            enough = self._attempts + (2 if self._attempting else 1)
            self._messages.put(_REQUEST)
            self._changed.wait_for(lambda: self._is_young(max_age) or self._attempts >= enough, timeout)
            return self._is_young(max_age)

    def _is_young(self, max_age: float) -> bool:
        """Whether the last good list is no older than so many seconds, and libvirt is there."""
        return self._listed_at is not None and self._up() and self._clock() - self._listed_at <= max_age

    def knows(self, uuid: str) -> bool:
        """Whether a domain is in the list."""
        return uuid in self._entries

    def is_current(self, domain: Domain) -> bool | None:
        """Whether nothing of a domain has changed since it was described; None where that cannot be seen."""
        entry = self._entries.get(domain.uuid)
        if self._status_file is None or entry is None or entry.stamp is None:
            return None
        return entry.described is not None and self._status_file.stamp(domain.name) == entry.stamp

    def notice_change(self, domain: Domain) -> bool:
        """Whether a domain is seen to have changed since it was described; then the next list describes it anew."""
        if self.is_current(domain) is not False:
            return False
        self._messages.put(Event(CHANGED, domain.uuid, name=domain.name))
        return True

    def is_fresh(self, domain: Domain, since: float) -> bool:
        """Whether a domain is described as it is now, or as it was at `since` at the earliest."""
        entry = self._entries.get(domain.uuid)
        if entry is None or entry.described is None:
            return False
        return entry.described >= since or self.is_current(domain) is True

    def adopt(self, connection: DomainCalls, line: Line) -> None:
        """Take in a domain that was found without a list; reads its description over the given connection."""
        self._read_description(connection, line, self._describer())

    def adopt_unseen(self, uuid: str, name: str) -> None:
        """Take in a domain that runs but cannot be looked up; the next list has the rest of it."""
        with self._changed:
            self._entries.setdefault(uuid, _Entry(Domain(uuid, name, NO_ID, Description()), None))
            self._version += 1

    def find(self, uuid: str, timeout: float = 0.0) -> Domain | None:
        """What is known of a domain, active or not; None where nothing is.

        Waits for what an event has just brought to light, where `describes_idle`; not on collectd's threads.
        """
        with self._changed:
            known = self._known(uuid)
            if known is not None or not timeout or not self._describes_idle or not self._up():
                return known
            # What an attempt under way has listed may be older than the event.
            enough = self._attempts + (2 if self._attempting else 1)
            self._messages.put(_REQUEST)
            self._changed.wait_for(
                lambda: self._known(uuid) is not None or self._attempts >= enough or self.hung_for() > HUNG_AFTER,
                0.0 if self.hung_for() > HUNG_AFTER else timeout,
            )
            return self._known(uuid)

    def _known(self, uuid: str) -> Domain | None:
        entry = self._entries.get(uuid) or self._idle.get(uuid)
        return None if entry is None else entry.domain

    def tell(self, event: Event | None) -> None:
        """Take an event (see `virt2.model.events.Event`); called on libvirt's thread, only enqueues."""
        if event is _REQUEST or event.kind in OF_THE_LIST:
            self._messages.put(event)
        if event is not _REQUEST:
            self._listeners.on_event(event)

    def _up(self) -> bool:
        return self._link is not None and self._link.up

    def _run(self) -> None:
        while not self._stopping:
            self._await_reason()
            if self._stopping:
                break
            with self._changed:
                self._attempting = True
            try:
                self._attempt()
            except Disconnected as error:
                self._lost(str(error))
            except Error as error:
                self._say_once(f"the list of domains could not be read: {error}")
            except Exception as error:
                if self._once.first(type(error).__name__):
                    log.exception("unexpected failure while the list of domains was read, said once")
            self._troubles.say()
            with self._changed:
                self._attempting = False
                self._attempts += 1
                self._changed.notify_all()
        self._disconnect()

    def _await_reason(self) -> None:
        """Wait for a request, for events and then a little for their like, or for when libvirt is to be tried again."""
        while self._link is not None and not self._link.up:
            pause = self._next_attempt - self._clock()
            if pause <= 0 or self._stopping:
                return
            with contextlib.suppress(queue.Empty):
                self._messages.get(timeout=pause)
        message = self._messages.get()
        earliest = (self._listed_at or 0.0) + SPACING
        while message is not _REQUEST:
            self._note(message)
            try:
                message = self._messages.get(timeout=max(0.0, earliest - self._clock()))
            except queue.Empty:
                return
        # A request is answered by a list made after it: events and requests that came before are served by it too.
        while not self._messages.empty():
            message = self._messages.get()
            if message is not _REQUEST:
                self._note(message)

    def _note(self, event: Event) -> None:
        if event.uuid:
            self._stale[event.uuid] = event.name or self._stale.get(event.uuid, "")

    def _attempt(self) -> None:
        if not self._budget.acquire(timeout=HUNG_AFTER):
            return
        try:
            if self._connection is not None:
                try:
                    self._read(self._connection)
                    return
                except Disconnected as error:
                    # libvirtd may just have been restarted: it is lost only when it cannot be had anew.
                    log.info("the connection to libvirt was lost: %s", error)
                    self._disconnect()
            self._read(self._connect())
        finally:
            self._budget.release()

    def _read(self, connection: Connection) -> None:
        """Read what is wanted; the list first, because readers wait for it."""
        self._list(connection)
        self._read_statuses(connection)
        self._read_inactive(connection)

    def _connect(self) -> Connection:
        try:
            with self._budget.connects.attempt(self, self._clock):
                made = self._hypervisor.connect()
        finally:
            self._calls.forget_unanswered()
        connection = self._calls.timed(made)
        try:
            self.libvirt_version = connection.version()
            connection.watch(self.tell)
        except Error:
            made.close()
            raise
        self._connection = connection
        self._listeners.on_connect()
        with self._changed:
            # Nobody told of changes while there was no connection.
            self._entries = {uuid: entry._replace(described=None) for uuid, entry in self._entries.items()}
        self._found()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _list(self, connection: Connection) -> None:
        asked = self._clock()
        listed = connection.active()
        self._answered = asked
        self._budget.review(line.uuid for line in listed)
        listed = [line for line in listed if self.wants(line.name, line.uuid)]
        stale = dict(self._stale)
        new = []
        gone = []
        with self._changed:
            known = {line.uuid for line in listed}
            for uuid in [uuid for uuid in self._entries if uuid not in known]:
                del self._entries[uuid]
                self._version += 1
                gone.append(uuid)
            for line in listed:
                if line.uuid in stale or not self._is_current(line, asked):
                    new.append(line)
            # Those that nobody can read yet do not wait for descriptions that are merely old.
            new.sort(key=lambda line: line.uuid in self._entries)
        for uuid in gone:
            self._troubles.forget(uuid)
        if new:
            describe = self._describer()
            for line in new:
                self._read_description(connection, line, describe)
        self._describe_idle(connection, [(uuid, name) for uuid, name in stale.items() if name and uuid not in known])
        # Only now: where the connection is lost on the way, all of them are still to be read.
        for uuid in stale:
            del self._stale[uuid]
        with self._changed:
            self._listed_at = asked
        if all(entry.described is not None for entry in self._entries.values()):
            self._listeners.on_list()

    def _read_statuses(self, connection: Connection) -> None:
        """Read the states of all domains where they are wanted and due."""
        on_statuses = self._listeners.on_statuses
        if on_statuses is None:
            return
        asked, first = self._clock(), connection is not self._status_connection
        every, before = self._statuses_every, self.statuses
        age = None if every is None or before is None else (asked - before.asked) / every
        if first or (age is not None and age >= STATUS_AGE):
            domains = self._reported(connection.statuses, "domains")
            if domains is not None:
                self.statuses = Statuses(domains, asked, first)
                self._status_connection = connection
                idle = [(status.uuid, status.name) for status in domains if not status.active]
                self._describe_idle(connection, idle)
                on_statuses(self.statuses)

    def _read_inactive(self, connection: Connection) -> None:
        """Read the states of inactive domains where they are wanted and due."""
        every, before, asked = self._inactive_every, self.inactive, self._clock()
        if every is None or (before is not None and asked - before.asked < STATUS_AGE * every):
            return
        domains = self._reported(connection.inactive, "inactive domains")
        if domains is not None:
            self._describe_idle(connection, [(status.uuid, status.name) for status in domains])
            self.inactive = Statuses(domains, asked)

    def _reported(self, call: Callable[[], list[Status]], what: str) -> list[Status] | None:
        """The states of the domains that are reported; None where they cannot be had, which is said."""
        try:
            found = call()
        except Disconnected:
            raise
        except Error as error:
            self._say_once(f"the states of {what} could not be read: {error}")
            return None
        return [status for status in found if self.wants(status.name, status.uuid)]

    def _describe_idle(self, connection: DomainCalls, domains: Iterable[tuple[str, str]]) -> None:
        """Describe domains that are not active, by UUID and name, where that is wanted and not known."""
        if not self._describes_idle:
            return
        now, describe = self._clock(), self._describer()
        for uuid, name in domains:
            line = Listed(uuid, name, NO_ID)
            before = self._idle.get(uuid)
            if self.wants(name, uuid) and not (before is not None and self._stands(before, line, now)):
                entry = self._described(connection, line, describe, before)
                if entry is not None:
                    with self._changed:
                        self._idle.pop(uuid, None)
                        self._idle[uuid] = entry
                        if len(self._idle) > MOST_IDLE:
                            del self._idle[next(iter(self._idle))]

    def _is_current(self, line: Line, now: float) -> bool:
        entry = self._entries.get(line.uuid)
        return entry is not None and self._stands(entry, line, now)

    def _stands(self, entry: _Entry, line: Line, now: float) -> bool:
        if entry.described is None or entry.domain.id != line.id or entry.domain.name != line.name:
            return False
        return self._refresh <= 0 or now - entry.described < self._refresh

    def _read_description(self, connection: DomainCalls, line: Line, describe: Describe) -> None:
        """Read one domain's XML; what cannot be had costs the description, not the domain."""
        before = self._entries.get(line.uuid)
        entry = self._described(connection, line, describe, before)
        if entry is not None:
            with self._changed:
                self._entries[line.uuid] = entry
                if before is None or before.domain != entry.domain:
                    self._version += 1

    def _described(
        self, connection: DomainCalls, line: Line, describe: Describe, before: _Entry | None
    ) -> _Entry | None:
        """A domain with its description, the one it had before if it cannot be read; None where it is gone."""
        try:
            return self._describe_now(connection, line, describe, before)
        except DomainGone:
            return None

    def _describe_now(self, connection: DomainCalls, line: Line, describe: Describe, before: _Entry | None) -> _Entry:
        """A domain with its description, the one it had before if it cannot be read; `DomainGone` where it is gone."""
        described: float | None = self._clock()
        # Taken before: a change while the description is read shows as one afterwards.
        stamp = None if self._status_file is None or line.id < 0 else self._status_file.stamp(line.name)
        known = None if before is None else before.domain.description
        try:
            if self._needs_monitor and not self._looks_free(connection, line):
                return self._without_xml(connection, line, describe, known, stamp)
            xml, backup = connection.xml(line.uuid), self._backup(connection, line)
            description = describe(line.name, xml, lambda namespace: connection.metadata(line.uuid, namespace), backup)
        except (DomainGone, Disconnected):
            raise
        except Error as error:
            found = self._from_status_file(connection, line, describe)
            if found is None:
                # Of what it lacks nothing is known for sure: it is tried again.
                described = None
                found = known if known is not None else self._substitute(connection, line)
                lack = "" if found.complete else WITHOUT_XML if found.nics else "; only what needs none is reported"
                self._troubles.add(line.uuid, line.name, f"its description could not be read: {error}{lack}")
            description = found
        for problem in description.problems:
            self._troubles.add(line.uuid, line.name, problem)
        return _Entry(Domain(line.uuid, line.name, line.id, description), described, stamp)

    def _without_xml(
        self, connection: DomainCalls, line: Line, describe: Describe, known: Description | None, stamp: object
    ) -> _Entry:
        """A domain whose XML may not come now: what libvirt's file has, else what is known; tried again then."""
        found, described = self._from_status_file(connection, line, describe), self._clock()
        if found is None:
            found = known if known is not None else self._substitute(connection, line)
            return _Entry(Domain(line.uuid, line.name, line.id, found), None)
        return _Entry(Domain(line.uuid, line.name, line.id, found), described, stamp)

    @property
    def _needs_monitor(self) -> bool:
        """Whether the libvirt at the other end may wait for a domain's monitor when its XML is read."""
        first, fixed = JOB_FOR_XML
        numbers = self.libvirt_version.split(".")[:2]
        return all(map(str.isdigit, numbers)) and first <= tuple(map(int, numbers)) < fixed

    def _looks_free(self, connection: DomainCalls, line: Line) -> bool:
        """Whether a domain's monitor would answer: then its XML comes at once, else it may not come at all."""
        if line.id < 0:
            return True
        if self._stopped(line.uuid, line.name):
            return False
        try:
            return bool(connection.control(line.uuid).state == 0)
        except Unsupported:
            # A driver without control info has no such job either.
            return True

    def _from_status_file(self, connection: DomainCalls, line: Line, describe: Describe) -> Description | None:
        """Describe a domain by what libvirt keeps of it in a file: that has the same XML, of any length."""
        xml = "" if self._status_file is None or line.id < 0 else self._status_file.xml(line.name)
        if not xml:
            return None
        backup = self._backup(connection, line)
        return describe(line.name, xml, lambda namespace: connection.metadata(line.uuid, namespace), backup)

    def _backup(self, connection: DomainCalls, line: Line) -> str:
        """The XML of a domain's backup that is under way, empty where there is none or nobody wants it.

        Where it cannot be read the domain is described without it, because that is better than no description.
        """
        if not self._backups or line.id < 0:
            return ""
        try:
            return str(connection.backup(line.uuid))
        except (DomainGone, Disconnected):
            raise
        except Error as error:
            self._troubles.add(line.uuid, line.name, f"its backup could not be read: {error}")
            return ""

    def _substitute(self, connection: DomainCalls, line: Line) -> Description:
        """What can be known of a domain without its XML."""
        try:
            names = connection.nics(line.uuid) if line.id >= 0 else []
        except Disconnected:
            raise
        except Error:
            names = []
        nics = tuple(Nic(name, "", number=number) for number, name in enumerate(names, 1))
        return Description(nics=nics, complete=False)

    def _say_once(self, text: str) -> None:
        if self._once.first(text):
            log.warning("%s", text)

    def _found(self) -> None:
        before, now = self._link, self._clock()
        self._backoff = FIRST_RETRY
        if before is None or not before.up:
            self._link = Link(True, now, "")
            if before is not None:
                log.info("libvirt is back after %.0f s", now - before.since)
                self._listeners.on_link(self._link)

    def _lost(self, reason: str) -> None:
        now, before = self._clock(), self._link
        self._calls.forget_unanswered()
        self._next_attempt = now + self._backoff
        self._backoff = min(self._backoff * 2, max(FIRST_RETRY, self._retry))
        if before is not None and not before.up:
            return
        self._link = Link(False, now, reason)
        log.error(
            "libvirt cannot be reached at %s: %s; its domains are not reported until it can, tried every %.0f s",
            self._hypervisor.uri or "its default URI",
            reason,
            self._retry,
        )
        self._listeners.on_link(self._link)
