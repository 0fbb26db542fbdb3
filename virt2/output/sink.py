"""Gives metrics to collectd."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from virt2.metrics.metric import Metric
from virt2.once import Once
from virt2.output.naming import Identity

log = logging.getLogger(__name__)


class Sink:
    """Gives metrics to collectd. Two threads must not use it at the same time.

    Arguments:
        collectd: its module.
        plugin: the plugin part of every identifier.
        interval: seconds. It is set on every value, because collectd knows no interval for values from a thread that
            the plugin started.
    """

    def __init__(self, collectd: Any, plugin: str, interval: float) -> None:
        # One object is used for all values, because collectd takes a copy. Setting what differs costs half of what
        # passing it in the call costs.
        self._values = collectd.Values(plugin=plugin, interval=interval)
        self._refused = Once()

    def __repr__(self) -> str:
        return f"<Sink refused={len(self._refused)}>"

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Dispatch metrics of one domain. They were taken at `when` (wall time; 0 means now)."""
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
        """Log once per type that collectd does not take it. Metrics of other types still go out."""
        if self._refused.first(metric.type):
            log.error("collectd does not take values of type %s: %s; is its types.db loaded?", metric.type, error)
