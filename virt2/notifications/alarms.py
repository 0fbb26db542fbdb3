"""Tells an operator that a domain is stuck, once when that begins and once when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from virt2.domains.health import Health
from virt2.model.domain import Domain
from virt2.notifications.notification import OKAY, WARNING, Notify
from virt2.once import Once
from virt2.output.naming import Identity

log = logging.getLogger(__name__)

APART = 60.0
"""Fewest seconds between the beginnings of two alarms for one domain. A domain that is stuck again and again is not
reported each time."""


class _Raised(NamedTuple):
    domain: Domain
    identity: Identity
    since: float


class Alarms:
    """One alarm per stuck domain.

    Arguments:
        stuck_after: seconds for which a monitor may be blocked before the alarm is raised.
        notify: gives a notification to collectd.
        clock: monotonic seconds.
    """

    def __init__(self, stuck_after: float, notify: Notify, clock: Callable[[], float] = time.monotonic) -> None:
        self._stuck_after = stuck_after
        self._notify = notify
        self._clock = clock
        self._raised: dict[str, _Raised] = {}
        self._begun = Once(again=APART, clock=clock)
        """Domains for which an alarm was raised lately. One that comes and goes is not reported each time either."""
        self._active: Collection[str] | None = None

    def __repr__(self) -> str:
        return f"<Alarms raised={len(self._raised)}>"

    def review(self, domain: Domain, identity: Identity, health: Health) -> None:
        """Raise or clear the alarm of a domain. Its reader calls this after each read."""
        if self._active is not None and domain.uuid not in self._active:
            # It went away while its reader was reading it. Nobody would ever clear this alarm.
            return
        now = self._clock()
        if health.blocked_since is None:
            raised = self._raised.pop(domain.uuid, None)
            if raised is not None:
                self._clear(raised, f"monitor answers again after {now - raised.since:.0f} s")
            return
        is_due = domain.uuid not in self._raised and health.blocked_for(now) >= self._stuck_after
        if is_due and self._begun.first(domain.uuid):
            self._raised[domain.uuid] = _Raised(domain, identity, health.blocked_since)
            storage = ", ".join(domain.description.storage) or "unknown"
            text = (
                f"domain {domain.name}: monitor blocked for {health.blocked_for(now):.0f} s ({health.cause}),"
                f" storage domain {storage}"
            )
            log.warning("%s", text)
            self._notify(WARNING, text, identity)

    def retain(self, uuids: Collection[str]) -> None:
        """Clear the alarms of all other domains, because these are gone."""
        active = self._active = frozenset(uuids)
        for uuid in self._raised.keys() - active:
            raised = self._raised.pop(uuid, None)
            if raised is not None:
                self._clear(raised, "it is gone; its monitor was blocked until the end")
        self._begun.review()

    def _clear(self, raised: _Raised, text: str) -> None:
        text = f"domain {raised.domain.name}: {text}"
        log.info("%s", text)
        self._notify(OKAY, text, raised.identity)
