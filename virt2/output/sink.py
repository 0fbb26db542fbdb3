"""Gives metrics and notifications to collectd."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from virt2.metrics.metric import Metric
from virt2.once import Once
from virt2.output.naming import Identity

log = logging.getLogger(__name__)


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
        self._refused = Once()

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
        if self._refused.first(metric.type):
            log.error("collectd does not take values of type %s: %s; is its types.db loaded?", metric.type, error)
