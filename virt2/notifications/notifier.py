"""Sends notifications from a thread of its own, as soon as there is something to say.

collectd delivers a notification within the call that hands it over, to one taker after the other: a slow one (a mail
server, a script) blocks whoever calls. So that is neither a read, nor libvirt's event thread, nor a worker, but a
thread that has nothing else to do. What it cannot get rid of waits in a bounded queue; what does not fit is counted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from virt2 import threads
from virt2.output.naming import Identity

log = logging.getLogger(__name__)

CAPACITY = 10000
"""Entries that wait at the most: some dozens for each domain of a large host, for what its guests say of their file
systems comes all at once."""
STOP_PATIENCE = 0.5
"""Seconds for which `Notifier.stop` waits for a taker. Below the 2 s in which the daemon is to exit."""


class Notification(NamedTuple):
    """One notification of collectd's, but for the plugin's name."""

    severity: str
    """One of `virt2.notifications.severity`."""
    message: str
    identity: Identity
    type: str
    """A name in types.db; collectd refuses others."""
    type_instance: str
    meta: Mapping[str, str | int]
    time: float
    """Wall time of what it tells of."""


Compose = Callable[[], Iterable[Notification]]
"""Makes notifications on the notifier's thread: for what takes longer than whoever knows of it can wait."""


class Notify(Protocol):
    """`Notifier.notify`, for whoever has nothing else to do with a notifier."""

    def __call__(
        self,
        severity: str,
        message: str,
        identity: Identity,
        *,
        type: str = ...,
        type_instance: str = ...,
        meta: Mapping[str, str | int] | None = ...,
    ) -> None:
        """`severity` is one of `virt2.notifications.severity`."""


class Notifier:
    """Takes notifications from any thread and sends them in that order.

    Arguments:
        send: gives one notification to collectd; may block.
        wall: the time of day.
    """

    def __init__(self, send: Callable[[Notification], None], wall: Callable[[], float] = time.time) -> None:
        self._send = send
        self._wall = wall
        self._changed = threading.Condition()
        self._queue: deque[Notification | Compose] = deque()
        self._dropped = 0
        self._sending = False
        self._started = False
        self._stopped = False
        self._failures: set[str] = set()

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "sending" if self._sending else "idle"
        return f"<Notifier {state} queued={len(self._queue)} dropped={self._dropped}>"

    def start(self) -> None:
        """Start the thread, where that is not done; where there can be none, notifications wait for the next try."""
        self._started = self._started or threads.try_start("virt2/notify", self._run)

    def stop(self) -> None:
        """Send nothing any more: collectd gives up what it needs for that after its shutdown callbacks.

        Waits for what is being sent now, but not for long: a taker that hangs must not keep the daemon from its exit.
        """
        with self._changed:
            self._stopped = True
            self._queue.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._sending, STOP_PATIENCE)

    def notify(
        self,
        severity: str,
        message: str,
        identity: Identity,
        *,
        type: str = "duration",
        type_instance: str = "monitor_blocked",
        meta: Mapping[str, str | int] | None = None,
    ) -> None:
        """Have a notification sent; never blocks."""
        self.put(Notification(severity, message, identity, type, type_instance, meta or {}, self._wall()))

    def put(self, entry: Notification | Compose) -> None:
        """Have a notification sent, or those that a function makes; never blocks."""
        with self._changed:
            if self._stopped:
                return
            if len(self._queue) < CAPACITY:
                self._queue.append(entry)
                self._changed.notify_all()
            else:
                self._dropped += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopped)
                if self._stopped:
                    return
                entry = self._queue.popleft()
                # Once for a flood, when it is over; not at each entry that there was room for meanwhile.
                dropped, self._dropped = (0, self._dropped) if self._queue else (self._dropped, 0)
            try:
                self._deal_with(entry)
            except Exception as error:
                self._fail(error)
            if dropped:
                log.warning(
                    "%d notifications were dropped: they came faster than collectd's plugins take them", dropped
                )

    def _fail(self, error: Exception) -> None:
        """Say once per kind of error that a notification failed."""
        kind = type(error).__name__
        if kind not in self._failures:
            self._failures.add(kind)
            log.exception("unexpected failure of a notification, said once")

    def _deal_with(self, entry: Notification | Compose) -> None:
        for notification in (entry,) if isinstance(entry, Notification) else entry():
            with self._changed:
                if self._stopped:
                    return
                self._sending = True
            try:
                self._send(notification)
            except Exception as error:
                # Those that the same function makes behind it go out.
                self._fail(error)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()
