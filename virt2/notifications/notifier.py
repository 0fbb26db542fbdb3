"""Sends notifications from a thread of its own, as soon as there is something to tell.

collectd delivers a notification within the call that hands it over, to one taker after the other. A slow taker (a mail
server, a script) blocks the caller. So the caller is neither a read, nor libvirt's event thread, nor a worker, but a
thread that has nothing else to do. What it cannot send yet waits in a bounded queue. What does not fit is counted.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from virt2 import threads
from virt2.notifications.notification import FAILURE, OKAY, WARNING, Compose, Notification
from virt2.once import Once
from virt2.output.naming import Identity
from virt2.text.printable import printable

log = logging.getLogger(__name__)

CAPACITY = 10000
"""Most entries that wait. These are dozens for each domain of a large host, because the guests' agents report all file
systems at once."""
STOP_PATIENCE = 0.5
"""Seconds for which `Notifier.stop` waits for a taker. They are fewer than the 2 s in which the daemon has to exit."""


class Notifier:
    """Takes notifications from any thread, and sends them in the order in which they came.

    Arguments:
        send: gives one notification to collectd. It may block.
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
        self._failures = Once()

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "sending" if self._sending else "idle"
        return f"<Notifier {state} queued={len(self._queue)} dropped={self._dropped}>"

    def start(self) -> None:
        """Start the thread if it is not there yet. If that fails, notifications wait for the next attempt."""
        self._started = self._started or threads.try_start("virt2/notify", self._run)

    def stop(self) -> None:
        """Send nothing more, because collectd cannot deliver notifications after its shutdown callbacks.

        This waits for the notification that is being sent now, but not for long: a taker that hangs must not keep the
        daemon from its exit.
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
        """Have a notification sent. Never blocks."""
        self.put(Notification(severity, message, identity, type, type_instance, meta or {}, self._wall()))

    def put(self, entry: Notification | Compose) -> None:
        """Have a notification sent, or those that a function makes. Never blocks."""
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
                # Drops are logged once, when the queue is empty, and not for each entry that still found room.
                dropped, self._dropped = (0, self._dropped) if self._queue else (self._dropped, 0)
            try:
                self._deal_with(entry)
            except Exception as error:
                self._fail(error)
            if dropped:
                log.warning(
                    "%d notifications were dropped: they came faster than collectd's plugins took them", dropped
                )

    def _fail(self, error: Exception) -> None:
        """Log once per kind of error that a notification failed."""
        if self._failures.first(type(error).__name__):
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
                # The other notifications of the same function are still sent.
                self._fail(error)
            finally:
                with self._changed:
                    self._sending = False
                    self._changed.notify_all()


LONGEST_NOTIFICATION = 250
"""Most bytes of a notification's text. collectd cuts after 255 bytes, even in the middle of a character."""


class Mail:
    """Gives notifications to collectd.

    Arguments:
        collectd: its module.
        plugin: the plugin part of every identifier.
    """

    def __init__(self, collectd: Any, plugin: str) -> None:
        self._new = functools.partial(collectd.Notification, plugin=plugin)
        self._severities = {
            OKAY: collectd.NOTIF_OKAY,
            WARNING: collectd.NOTIF_WARNING,
            FAILURE: collectd.NOTIF_FAILURE,
        }
        self._refused = Once()

    def send(self, notification: Notification) -> None:
        """Hand one notification over. Returns when all of collectd's plugins have taken it."""
        # Notifications of an old collectd accept no meta data. Those without meta data can be sent there.
        meta = {"meta": dict(notification.meta)} if notification.meta else {}
        try:
            # collectd raises if no plugin takes notifications. Then nothing is lost.
            with contextlib.suppress(RuntimeError):
                self._new(
                    type=notification.type,
                    type_instance=notification.type_instance,
                    host=notification.identity.host,
                    plugin_instance=notification.identity.plugin_instance,
                    severity=self._severities[notification.severity],
                    message=printable(notification.message, LONGEST_NOTIFICATION),
                    time=notification.time,
                    **meta,
                ).dispatch()
        except (TypeError, UnicodeError) as error:
            if self._refused.first(notification.type):
                log.error(
                    "collectd does not take notifications of type %s: %s; is its types.db loaded?",
                    notification.type,
                    error,
                )
