"""Between workers and collectd: records come in from any thread, a read takes them out and dispatches."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from virt2.domain import Description, Disk, Domain, Nic
from virt2.identifiers import presentable
from virt2.metrics import MAPPING, OF_DISKS, OF_NICS, Metric
from virt2.naming import Identity, Names
from virt2.sampling import Outcome, Record, Sample, Trouble
from virt2.stuck import Health

log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where metrics go: collectd."""

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Give metrics taken at `when` (wall time) to collectd."""


class Outbox:
    """The records of one reader's workers.

    Arguments:
        names: the identity of all domains.
        sink: where metrics go.
    """

    def __init__(self, names: Names, sink: Sink) -> None:
        self._names = names
        self._sink = sink
        self._records: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._said: set[Trouble] = set()

    def put(self, record: Record) -> None:
        """Take a record; called by workers."""
        self._records.put(record)

    def take(self, domains: Mapping[str, Domain], healths: Mapping[str, Health]) -> list[Outcome]:
        """Dispatch the samples that came in; returns how jobs ended.

        Records of domains that are gone, or have another reader now, are dropped, and so is a sample when a newer one
        of its kind went out before: a series must not run backwards.
        """
        outcomes = []
        for record in self._drain():
            health = healths.get(record.uuid)
            if health is None:
                continue
            if isinstance(record, Sample):
                self._dispatch(record, domains[record.uuid], health)
            elif isinstance(record, Outcome):
                outcomes.append(record)
            else:
                self._say(record, domains)
        return outcomes

    def _drain(self) -> Iterator[Record]:
        # Not until it is empty: a worker that reports as fast as this thread takes must not keep it here.
        for _ in range(self._records.qsize()):
            yield self._records.get_nowait()

    def _dispatch(self, sample: Sample, domain: Domain, health: Health) -> None:
        if sample.taken > health.newest.get((sample.call, sample.device), 0.0):
            health.newest[sample.call, sample.device] = sample.taken
            metrics = MAPPING[sample.call](sample.reply, _label(sample, domain.description))
            self._sink.dispatch(self._names.of(domain), metrics, sample.time)

    def _say(self, trouble: Trouble, domains: Mapping[str, Domain]) -> None:
        """Log a call's failure once for a domain, for as long as it is this reader's."""
        self._said = {said for said in self._said if said.uuid in domains}
        if trouble not in self._said:
            self._said.add(trouble)
            log.warning("domain %s: %s", domains[trouble.uuid].name, trouble.text)


def _label(sample: Sample, description: Description) -> str:
    """What the sample's device is called."""
    devices: tuple[Disk, ...] | tuple[Nic, ...] = ()
    if sample.call in OF_DISKS:
        devices = description.disks
    elif sample.call in OF_NICS:
        devices = description.nics
    for device in devices:
        if device.target == sample.device and device.label:
            return device.label
    return presentable(sample.device)
