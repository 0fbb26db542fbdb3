"""Values that wait to be dispatched, so that all of them go out together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from virt2.metrics.metric import Metric
from virt2.output.naming import Identity


class Sink(Protocol):
    """Where metrics go: collectd."""

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Give metrics to collectd. They were taken at `when` (wall time)."""


class Batch:
    """A sink that keeps everything it is given, until all is dispatched at once.

    Each value that is dispatched wakes one of collectd's writers. If nothing else is done in between, a writer finds
    more than one value before it sleeps again.

    Arguments:
        sink: takes the values in the end.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._kept: list[tuple[Identity, list[Metric], float, Mapping[str, str] | None]] = []

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Keep metrics. They were taken at `when` (wall time)."""
        self._kept.append((identity, list(metrics), when, meta))

    def flush(self) -> None:
        """Dispatch what was kept, in the order in which it came. The first exception is raised at the end."""
        kept, self._kept = self._kept, []
        failure: Exception | None = None
        for each in kept:
            try:
                self._sink.dispatch(*each)
            except Exception as error:
                failure = failure or error
        if failure is not None:
            raise failure
