"""Gives metrics and notifications to collectd."""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from virt2.metrics.defaults import Metric
from virt2.notifications.notifier import Notification
from virt2.notifications.severity import FAILURE, OKAY, WARNING
from virt2.output.log import printable
from virt2.output.naming import Identity

log = logging.getLogger(__name__)

LONGEST_NOTIFICATION = 250
"""Bytes; collectd cuts at 255, in the middle of a character where it happens to be one."""


class Sink:
    """Gives metrics to collectd. Not for two threads at a time.

    Arguments:
        collectd: its module.
        plugin: the plugin part of every identifier.
        interval: seconds; set on every value, for collectd knows none for what a plugin's thread sends.
    """

    def __init__(self, collectd: Any, plugin: str, interval: float) -> None:
        # The same for all that goes out: collectd takes a copy, and to set what differs costs half of what it costs to
        # name it in the call.
        self._values = collectd.Values(plugin=plugin, interval=interval)
        self._refused: set[str] = set()

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Dispatch metrics of one domain, taken at `when` (wall time; 0 for now)."""
        values = self._values
        values.host, values.plugin_instance = identity
        values.time = when
        values.meta = {} if meta is None else dict(meta)
        for metric in metrics:
            try:
                values.type, values.type_instance, values.values = metric
                values.dispatch()
            except (TypeError, ValueError, RuntimeError, OverflowError) as error:
                self._refuse(metric, error)

    def _refuse(self, metric: Metric, error: Exception) -> None:
        """Say once per type that collectd does not take it: the others go on."""
        if metric.type not in self._refused:
            self._refused.add(metric.type)
            log.error("collectd does not take values of type %s: %s; is its types.db loaded?", metric.type, error)


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
        self._refused: set[str] = set()

    def send(self, notification: Notification) -> None:
        """Hand one over; returns when all of collectd's plugins have taken it."""
        # An old collectd's notifications take no meta data: those without go out there.
        meta = {"meta": dict(notification.meta)} if notification.meta else {}
        try:
            # collectd raises where nobody takes notifications: nothing is lost by that.
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
            if notification.type not in self._refused:
                self._refused.add(notification.type)
                log.error(
                    "collectd does not take notifications of type %s: %s; is its types.db loaded?",
                    notification.type,
                    error,
                )
