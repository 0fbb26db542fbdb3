"""The states of domains, active or not: read with the list, where somebody wants them and when they are due."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from virt2.domains.connection import Connection
from virt2.domains.entries import Entries
from virt2.errors import Disconnected, Error
from virt2.model.domain import Status
from virt2.once import Once

log = logging.getLogger(__name__)

DUE = 0.75
"""Part of their interval after which states are read with the next list: readers ask for lists, and readers are never
quite on time."""


class Statuses(NamedTuple):
    """The states of domains: of all, or of those that are not active."""

    domains: Sequence[Status]
    asked: float
    """When they were asked for, monotonic seconds."""
    first: bool = False
    """Whether they are the first of all domains over a connection: nobody told what happened before it."""


class Wanted(NamedTuple):
    """Which states are wanted, how often."""

    on_statuses: Callable[[Statuses], None] | None
    """Called with the states of all domains, once for every connection; None where nobody wants them."""
    every: float | None
    """Seconds after which they are read again; None for never."""
    inactive_every: float | None
    """Seconds after which the states of inactive domains are read (again); None where nobody wants them."""


class States:
    """The states that were read last. The inventory's thread reads them, any thread looks at them.

    Arguments:
        wanted: which states are wanted, how often.
        entries: describes domains that are not active, where that is wanted.
        wants: tells by name and UUID whether a domain is reported.
        clock: monotonic seconds.
    """

    def __init__(
        self, wanted: Wanted, entries: Entries, wants: Callable[[str, str], bool], clock: Callable[[], float]
    ) -> None:
        self._wanted = wanted
        self._entries = entries
        self._wants = wants
        self._clock = clock
        self._once = Once()
        self._connection: Connection | None = None
        """The one that the states of all domains were read over."""
        self.of_all: Statuses | None = None
        """Those of all domains; None before they were read, and where nobody wants them."""
        self.of_inactive: Statuses | None = None
        """Those of inactive domains; None before they were read, and where nobody wants them."""

    def __repr__(self) -> str:
        return f"<States {self._wanted}>"

    def read(self, connection: Connection) -> None:
        """Read the states that are wanted and due; raises `Disconnected`."""
        self._read_all(connection)
        self._read_inactive(connection)

    def _read_all(self, connection: Connection) -> None:
        listener, every = self._wanted.on_statuses, self._wanted.every
        if listener is None:
            return
        asked, first = self._clock(), connection is not self._connection
        if not first and not _is_due(every, self.of_all, asked):
            return
        domains = self._reported(connection.statuses, "domains")
        if domains is None:
            return
        self.of_all = Statuses(domains, asked, first)
        self._connection = connection
        self._describe(connection, [status for status in domains if not status.active])
        listener(self.of_all)

    def _read_inactive(self, connection: Connection) -> None:
        every, before, asked = self._wanted.inactive_every, self.of_inactive, self._clock()
        if every is None or (before is not None and not _is_due(every, before, asked)):
            return
        domains = self._reported(connection.inactive, "inactive domains")
        if domains is not None:
            # Before others see the states: their names may be made of what is described here.
            self._describe(connection, domains)
            self.of_inactive = Statuses(domains, asked)

    def _reported(self, call: Callable[[], list[Status]], what: str) -> list[Status] | None:
        """The states of the domains that are reported; None where they cannot be read; a log line tells."""
        try:
            found = call()
        except Disconnected:
            raise
        except Error as error:
            text = f"the states of {what} could not be read: {error}"
            if self._once.first(text):
                log.warning("%s", text)
            return None
        return [status for status in found if self._wants(status.name, status.uuid)]

    def _describe(self, connection: Connection, idle: Sequence[Status]) -> None:
        self._entries.describe_idle(connection, [(status.uuid, status.name) for status in idle])


def _is_due(every: float | None, before: Statuses | None, now: float) -> bool:
    """Whether states that were read before are to be read again."""
    return every is not None and before is not None and now - before.asked >= DUE * every
