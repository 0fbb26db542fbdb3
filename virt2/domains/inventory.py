"""The list of active domains, kept by a thread of its own.

libvirt's list blocks as a whole while any domain's object lock is held, so it may cost this one thread and this one
connection, never a reader. While it hangs, or libvirtd is away, the last good list stands.

Polling is the truth. Events only make it current sooner, and tell which descriptions are to be read again.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from virt2 import threads
from virt2.domains.connection import Calls, Connection, DomainCalls, Hypervisor
from virt2.domains.entries import Describing, Entries, Line
from virt2.domains.link import LONGEST_RETRY, Link, Reach
from virt2.domains.states import States, Statuses, Wanted
from virt2.errors import Disconnected, Error
from virt2.model.domain import Domain
from virt2.model.events import CHANGED, OF_THE_LIST, Event
from virt2.once import Once
from virt2.workers.budget import Budget
from virt2.workers.job import STALLED_AFTER

log = logging.getLogger(__name__)

HUNG_AFTER = 0.5
"""Seconds in one call after which no reader waits for the list any more. A list takes 1 ms, a description 0.3 ms."""
SPACING = 0.1
"""Seconds at least between two lists that only events asked for, because a host that starts a hundred guests sends
hundreds of them."""
_REQUEST = None
"""The message that asks for a list; all others are events."""


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
    paused: bool = False
    """Whether every list tells which domains are paused, because readers do not ask each domain for its state then."""


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


EVERY_MINUTE = Schedule()
"""Descriptions are read again every minute, and no states are read."""
NOBODY = Listeners()
"""Nobody hears of anything."""


class Inventory:
    """The active domains and their descriptions.

    Arguments:
        hypervisor: makes connections (see `virt2.sources.hypervisor.Hypervisor`).
        budget: gives the slot for a list, because a list holds a worker of libvirtd like any other call.
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
        self._listeners = listeners
        self._reach = Reach(schedule.retry, listeners.on_link, clock)
        self.wants = wants
        self._entries = Entries(describing, schedule.refresh, wants, clock)
        states = Wanted(listeners.on_statuses, schedule.statuses_every, schedule.inactive_every)
        self._states = States(states, self._entries, wants, clock)
        self._clock = clock
        self._messages: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
        self._changed = threading.Condition()
        self._lists_paused = schedule.paused
        self._paused: frozenset[str] | None = None
        self._told_since: float | None = None
        self._listed_at: float | None = None
        self._answered: float | None = None
        """When the last list was asked for that was answered. It counts whatever became of the descriptions."""
        self._calls = Calls(clock, HUNG_AFTER)
        """The calls over the list's own connection."""
        self._attempting = False
        self._attempts = 0
        self._connection: Connection | None = None
        self._stale: dict[str, str] = {}
        """Names by UUID of the domains that events were about; empty where the events did not have them."""
        self._once = Once()
        self._started = False
        self._stopping = False

    def __repr__(self) -> str:
        return f"<Inventory {self._reach.state} domains={len(self._entries)} version={self.version}>"

    def start(self) -> None:
        """Start the thread and ask for the first list, unless that was done, or no thread can be started."""
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
        return self._reach.link

    @property
    def listed(self) -> bool:
        """Whether there ever was a complete list."""
        return self._listed_at is not None

    @property
    def listed_at(self) -> float | None:
        """When the last complete list was asked for, monotonic seconds; None before the first."""
        return self._listed_at

    @property
    def paused(self) -> frozenset[str] | None:
        """The UUIDs of domains that were paused just after the last complete list; None where nobody wants them."""
        return self._paused

    @property
    def told_since(self) -> float | None:
        """Since when libvirt tells of everything that changes a domain, monotonic seconds; None where it does not."""
        return self._told_since

    def hung_for(self) -> float:
        """Seconds for which the call that is under way over the list's own connection has lasted; 0 without one.

        A call whose connection was given up, because nothing came back, counts until libvirtd answers an attempt to
        connect. The attempt to list as a whole does not count: it takes long where many domains are to be described, or
        the link is slow, and nothing hangs. An attempt to connect does not count by itself either; `Budget.connects`
        knows of that.
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
            # A list was answered just before. Another cannot be asked for as long as this call hangs.
            return self._budget.answered_at < describing
        if self._budget.answered_at >= since:
            return False
        return self._answered is not None and self._answered > since

    def check_workers(self) -> bool:
        """Find out whether libvirtd has no normal worker for us; asks for a list where only that would tell."""
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
        return self._entries.domains()

    @property
    def version(self) -> int:
        """Changes whenever a domain comes, goes or is described again."""
        return self._entries.version

    @property
    def libvirt_version(self) -> str:
        """Of the libvirt at the other end; empty before the first connection."""
        return self._entries.descriptions.libvirt_version

    @property
    def statuses(self) -> Statuses | None:
        """The states of all domains that were read last; None before, and where nobody wants them."""
        return self._states.of_all

    @property
    def inactive(self) -> Statuses | None:
        """The states of inactive domains that were read last; None before, and where nobody wants them."""
        return self._states.of_inactive

    def refresh(self, max_age: float, timeout: float) -> bool:
        """Ask for a list no older than `max_age` seconds and wait `timeout` seconds for it at the most.

        Returns whether there is one. Does not wait where that would be in vain, because a call already hangs, or
        libvirt is away.
        """
        with self._changed:
            if self._is_young(max_age):
                return True
            if self.hung_for() > HUNG_AFTER:
                return False
            if self._reach.is_down:
                return False
            # The list of an attempt that is under way may be too old.
            enough = self._attempts + (2 if self._attempting else 1)
            self._messages.put(_REQUEST)
            self._changed.wait_for(lambda: self._is_young(max_age) or self._attempts >= enough, timeout)
            return self._is_young(max_age)

    def _is_young(self, max_age: float) -> bool:
        """Whether libvirt is there, and the last good list is no older than that many seconds."""
        return self._listed_at is not None and self._reach.is_up and self._clock() - self._listed_at <= max_age

    def knows(self, uuid: str) -> bool:
        """Whether a domain is in the list."""
        return self._entries.knows(uuid)

    def is_current(self, domain: Domain) -> bool | None:
        """Whether nothing of a domain has changed since it was described; None where that cannot be seen."""
        return self._entries.is_current(domain)

    def unchanged_since(self, domain: Domain) -> float | None:
        """Since when at least nothing of a domain has changed, monotonic seconds; None where that cannot be seen."""
        return self._entries.unchanged_since(domain)

    def is_fresh(self, domain: Domain, since: float) -> bool:
        """Whether a domain is described as it is now, or as it was at `since` at the earliest."""
        return self._entries.is_fresh(domain, since)

    def notice_change(self, domain: Domain) -> bool:
        """Look whether a domain has changed since it was described, and have the next list describe it again then.

        Returns whether it is seen to have changed.
        """
        if self.is_current(domain) is not False:
            return False
        self._messages.put(Event(CHANGED, domain.uuid, name=domain.name))
        return True

    def adopt(self, connection: DomainCalls, line: Line) -> None:
        """Take in a domain that was found without a list. Its description is read over the given connection."""
        self._entries.describe(connection, line)

    def adopt_unseen(self, uuid: str, name: str) -> None:
        """Take in a domain that runs but cannot be looked up. The next list tells the rest of it."""
        self._entries.add_unseen(uuid, name)

    def find(self, uuid: str, timeout: float = 0.0) -> Domain | None:
        """What is known of a domain, active or not; None where nothing is.

        Where idle domains are described, waits up to `timeout` seconds for one that an event has just told of. That is
        not for collectd's threads.
        """
        with self._changed:
            known = self._entries.find(uuid)
            if known is not None or not timeout or not self._entries.describes_idle or not self._reach.is_up:
                return known
            # The list of an attempt that is under way may be older than the event.
            enough = self._attempts + (2 if self._attempting else 1)
            self._messages.put(_REQUEST)
            self._changed.wait_for(
                lambda: (
                    self._entries.find(uuid) is not None or self._attempts >= enough or self.hung_for() > HUNG_AFTER
                ),
                0.0 if self.hung_for() > HUNG_AFTER else timeout,
            )
            return self._entries.find(uuid)

    def tell(self, event: Event | None) -> None:
        """Take an event (see `virt2.model.events.Event`). It is called on libvirt's thread, and only enqueues."""
        if event is _REQUEST or event.kind in OF_THE_LIST:
            self._messages.put(event)
        if event is not _REQUEST:
            self._listeners.on_event(event)

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
                self._calls.forget_unanswered()
                self._reach.fail(self._hypervisor.uri, str(error))
            except Error as error:
                self._say_once(f"the list of domains could not be read: {error}")
            except Exception as error:
                if self._once.first(type(error).__name__):
                    log.exception("unexpected failure while the list of domains was read, said once")
            self._entries.troubles.say()
            with self._changed:
                self._attempting = False
                self._attempts += 1
                self._changed.notify_all()
        self._disconnect()

    def _await_reason(self) -> None:
        """Wait for a reason for an attempt: a request, events, or the time to try libvirt again.

        After an event it waits a little for others, because events come in crowds.
        """
        while self._reach.is_down:
            pause = self._reach.pause()
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
        # A request is answered by a list that is made after it. It serves events and requests that came before, too.
        while not self._messages.empty():
            message = self._messages.get()
            if message is not _REQUEST:
                self._note(message)

    def _note(self, event: Event) -> None:
        if event.uuid:
            self._stale[event.uuid] = event.name or self._stale.get(event.uuid, "")

    def _attempt(self) -> None:
        if not self._budget.acquire(HUNG_AFTER, hangs=lambda: self.hung_for() > STALLED_AFTER):
            return
        try:
            if self._connection is not None:
                try:
                    self._read(self._connection)
                    return
                except Disconnected as error:
                    # libvirtd may just have been restarted: it is lost only when no new connection can be made.
                    log.info("the connection to libvirt was lost: %s", error)
                    self._disconnect()
            self._read(self._connect())
        finally:
            self._budget.release()

    def _read(self, connection: Connection) -> None:
        """Read what is wanted; the list first, because readers wait for it."""
        self._list(connection)
        self._states.read(connection)

    def _connect(self) -> Connection:
        try:
            with self._budget.connects.attempt(self, self._clock):
                made = self._hypervisor.connect()
        finally:
            self._calls.forget_unanswered()
        connection = self._calls.timed(made)
        try:
            self._entries.descriptions.libvirt_version = connection.version()
            is_told = connection.watch(self.tell)
        except Error:
            made.close()
            raise
        self._connection = connection
        self._told_since = self._clock() if is_told else None
        self._listeners.on_connect()
        self._entries.expire()
        self._reach.succeed()
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        self._told_since = None
        if connection is not None:
            connection.close()

    def _list(self, connection: Connection) -> None:
        asked = self._clock()
        listed = connection.active()
        # After it, because a domain that is received from elsewhere is paused from the beginning.
        paused = frozenset(connection.paused()) if self._lists_paused else None
        self._answered = asked
        self._budget.review(line.uuid for line in listed)
        listed = [line for line in listed if self.wants(line.name, line.uuid)]
        stale = dict(self._stale)
        self._entries.take(connection, listed, stale, asked)
        # Not before: where the connection is lost on the way, all of them are still to be read.
        for uuid in stale:
            del self._stale[uuid]
        with self._changed:
            self._listed_at, self._paused = asked, paused
        if self._entries.are_described():
            self._listeners.on_list()

    def _say_once(self, text: str) -> None:
        if self._once.first(text):
            log.warning("%s", text)
