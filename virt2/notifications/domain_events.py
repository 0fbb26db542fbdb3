"""Tells what happens to domains: libvirt's events as notifications. The C plugin has most of them, but not all.

The work is done on the notifier's thread, one entry after the other. libvirt's thread and the inventory's thread only
hand over. Nothing here calls libvirt.

libvirt does not tell what happened while there was no connection. So when there is a connection again, the states of
all domains are compared with what was known before. Each difference is notified, with libvirt's state and reason.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from virt2.domains.states import Statuses
from virt2.model.domain import NO_ID, Description, Domain, Status
from virt2.model.events import IO_ERROR, LIFECYCLE, WATCHDOG, Event
from virt2.notifications import wording
from virt2.notifications.notification import Compose, Notification
from virt2.once import Once
from virt2.output.naming import Identity
from virt2.text.identifiers import presentable
from virt2.text.printable import printable

APART = 60.0
"""Fewest seconds between two notifications of the same error of the same disk, and of the same watchdog, because a disk
that fails reports an error with every request."""
REMEMBERED = 1000
"""How many errors are remembered. With more of them at a time, some are notified again too early."""


class _Known(NamedTuple):
    """An active domain, as it was when it was last heard of."""

    name: str
    id: int
    state: int


class DomainEvents:
    """Makes notifications of events and states.

    Arguments:
        put: runs a function on the notifier's thread, which makes notifications
            (`virt2.notifications.notifier.Notifier.put`).
        identify: gives the identity of a domain, active or not.
        find: gives what is known about an active domain, by its UUID.
        wants: tells by name and UUID whether a domain is reported.
        persistent: whether the state of every persistent domain is notified again and again, instead of events.
        clock, wall: monotonic seconds, and the time of day.
    """

    def __init__(
        self,
        put: Callable[[Compose], None],
        identify: Callable[[Domain], Identity],
        find: Callable[[str], Domain | None],
        *,
        wants: Callable[[str, str], bool] = lambda name, uuid: True,
        persistent: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._put = put
        self._identify = identify
        self._find = find
        self._wants = wants
        self._persistent = persistent
        self._wall = wall
        self._known: dict[str, _Known] | None = None
        """The active domains by UUID; None before the first list of states."""
        self._told = Once(REMEMBERED, APART, clock)

    def __repr__(self) -> str:
        return f"<DomainEvents persistent={self._persistent} known={len(self._known or ())}>"

    def tell(self, event: Event) -> None:
        """Take an event. This is called on libvirt's thread."""
        if not self._persistent and event.kind in (LIFECYCLE, IO_ERROR, WATCHDOG):
            self._put(functools.partial(self._of_event, event, self._wall()))

    def take(self, statuses: Statuses) -> None:
        """Take the states of all domains that are reported. This is called on the inventory's thread."""
        compose = self._of_all if self._persistent else self._of_missed
        if self._persistent or statuses.first:
            self._put(functools.partial(compose, statuses, self._wall()))

    def _of_event(self, event: Event, when: float) -> Iterator[Notification]:
        if event.kind == LIFECYCLE:
            state, reason = wording.state_after(event.event, event.detail)
            self._note(event, state)
            if self._wants(event.name, event.uuid):
                # An active domain has precedence over another one that would have the same identity.
                id = NO_ID if state == wording.SHUTOFF else event.id
                yield self._of_state(self._domain(event.uuid, event.name, id), state, reason, when)
        elif self._wants(event.name, event.uuid):
            yield from self._of_io_error(event, when) if event.kind == IO_ERROR else self._of_watchdog(event, when)

    def _note(self, event: Event, state: int) -> None:
        """Update what is known about the domain of an event."""
        if self._known is None or event.event in (wording.DEFINED, wording.UNDEFINED):
            return
        if state == wording.SHUTOFF:
            self._known.pop(event.uuid, None)
        else:
            self._known[event.uuid] = _Known(event.name, event.id, state)

    def _of_io_error(self, event: Event, when: float) -> Iterator[Notification]:
        action, reason = event.detail, event.reason
        if self._told.first(event.uuid, event.kind, str(action), event.alias, event.path, reason):
            domain = self._domain(event.uuid, event.name)
            target = _target(domain, event)
            names = [name for name in (event.alias, event.path) if name and name != target]
            disk = f"{target or 'unknown'} ({', '.join(names)})" if names else target or "unknown"
            severity, text = wording.io_error_message(action, reason, disk)
            meta = {
                "disk": target,
                "alias": event.alias,
                "path": event.path,
                "action": wording.IO_ERROR_ACTIONS.get(action, str(action)),
                "reason": reason,
            }
            message = f"domain {event.name}: {text}"
            yield self._notification(domain, severity, message, when, "disk_error", presentable(target), meta)

    def _of_watchdog(self, event: Event, when: float) -> Iterator[Notification]:
        if self._told.first(event.uuid, event.kind, str(event.detail)):
            severity, text = wording.watchdog_message(event.detail)
            meta = {"action": wording.WATCHDOG_ACTIONS.get(event.detail, str(event.detail))}
            message = f"domain {event.name}: {text}"
            domain = self._domain(event.uuid, event.name)
            yield self._notification(domain, severity, message, when, "domain_state", "watchdog", meta)

    def _of_missed(self, statuses: Statuses, when: float) -> Iterator[Notification]:
        """Give notifications of what changed while there were no events."""
        before, self._known = (
            self._known,
            {status.uuid: _Known(status.name, status.id, status.state) for status in statuses.domains if status.active},
        )
        if before is None:
            return
        for status in statuses.domains:
            if _changed(before.pop(status.uuid, None), status):
                yield self._of_status(status, when)
        for uuid, known in before.items():
            if self._wants(known.name, uuid):
                yield self._of_state(self._domain(uuid, known.name), wording.SHUTOFF, 0, when)

    def _of_all(self, statuses: Statuses, when: float) -> Iterator[Notification]:
        """Give a notification of the state of every persistent domain."""
        for status in statuses.domains:
            if status.persistent:
                yield self._of_status(status, when)

    def _of_status(self, status: Status, when: float) -> Notification:
        domain = self._domain(status.uuid, status.name, status.id)
        return self._of_state(domain, status.state, status.reason, when)

    def _of_state(self, domain: Domain, state: int, reason: int, when: float) -> Notification:
        severity, message = wording.state_message(state, reason)
        return self._notification(domain, severity, message, when, "domain_state", "", {})

    def _notification(
        self,
        domain: Domain,
        severity: str,
        message: str,
        when: float,
        type: str,
        type_instance: str,
        meta: Mapping[str, str],
    ) -> Notification:
        fit = {key: printable(value) for key, value in meta.items()}
        return Notification(severity, printable(message), self._identify(domain), type, type_instance, fit, when)

    def _domain(self, uuid: str, name: str, id: int = NO_ID) -> Domain:
        """Give what is known about a domain, with the name that it has now."""
        found = self._find(uuid)
        return Domain(uuid, name, id, Description()) if found is None or found.name != name else found


def _target(domain: Domain, event: Event) -> str:
    """Give the disk's name in the guest, else libvirt's own name."""
    disks = domain.description.disks
    by_alias = [disk.target for disk in disks if event.alias and disk.alias == event.alias]
    by_path = [disk.target for disk in disks if event.path and disk.source == event.path]
    return next(iter(by_alias or by_path), event.alias)


def _changed(before: _Known | None, now: Status) -> bool:
    """Whether something happened to a domain: it was started again, it has another state, or it is gone."""
    if before is None:
        return now.active
    return before.state != now.state or (now.active and before.id not in (now.id, NO_ID))
