"""Between workers and collectd: records come in from any thread, a read takes them out and dispatches."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable, Mapping
from typing import Protocol

from virt2 import extras, metrics
from virt2.domain import Description, Disk, Domain, Nic
from virt2.identifiers import presentable
from virt2.metrics import OF_NICS, Metric
from virt2.naming import Identity, Names
from virt2.notifier import Notify
from virt2.rates import RATES
from virt2.sampling import Note, Outcome, Record, Sample, Trouble
from virt2.severity import OKAY
from virt2.stuck import Health

log = logging.getLogger(__name__)

MAPPING = {**metrics.MAPPING, **extras.MAPPING}
"""What a sample becomes by itself, by what it is for; all others are compared with the one before (`RATES`)."""

OF_DISKS = metrics.OF_DISKS | extras.OF_DISKS


class Sink(Protocol):
    """Where metrics go: collectd."""

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Give metrics taken at `when` (wall time) to collectd."""


class Batch:
    """A sink that keeps all it is given, to be dispatched in one go.

    Each value that is dispatched wakes one of collectd's writers. Where nothing else is done in between, they find more
    than one before they sleep again.

    Arguments:
        sink: where it goes.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._kept: list[tuple[Identity, list[Metric], float, Mapping[str, str] | None]] = []

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Keep metrics taken at `when` (wall time)."""
        self._kept.append((identity, list(metrics), when, meta))

    def flush(self) -> None:
        """Dispatch what was kept, in the order in which it came."""
        kept, self._kept = self._kept, []
        for each in kept:
            self._sink.dispatch(*each)


class Outbox:
    """The records of one reader's workers.

    Arguments:
        names: the identity of all domains.
        sink: where metrics go.
        notify: where texts go that libvirt has among numbers; nowhere by default.
    """

    def __init__(self, names: Names, sink: Sink, notify: Notify | None = None) -> None:
        self._names = names
        self._sink = sink
        self._notify = notify
        self._records: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._said: set[Trouble] = set()
        self._noted: dict[Note, str] = {}
        """The text that went out last, by the note without it."""

    def put(self, record: Record) -> None:
        """Take a record; called by workers."""
        self._records.put(record)

    def take(self, domains: Mapping[str, Domain], healths: Mapping[str, Health]) -> list[Outcome]:
        """Dispatch the samples that came in; returns how jobs ended.

        Records of domains that are gone, or have another reader now, are dropped, and so is a sample when a newer one
        of its kind went out before: a series must not run backwards.
        """
        outcomes = []
        identities: dict[str, Identity] = {}
        # Not until it is empty: a worker that reports as fast as this thread takes must not keep it here.
        for record in [self._records.get_nowait() for _ in range(self._records.qsize())]:
            health = healths.get(record.uuid)
            if health is None:
                continue
            if isinstance(record, Sample):
                domain = domains[record.uuid]
                identity = identities.get(record.uuid)
                if identity is None:
                    identity = identities[record.uuid] = self._names.of(domain)
                self._dispatch(record, domain, identity, health)
            elif isinstance(record, Outcome):
                outcomes.append(record)
            elif isinstance(record, Note):
                self._note(record, domains)
            else:
                self._say(record, domains)
        return outcomes

    def _dispatch(self, sample: Sample, domain: Domain, identity: Identity, health: Health) -> None:
        key = (sample.call, sample.device)
        if sample.taken > health.newest.get(key, 0.0):
            health.newest[key] = sample.taken
            device = _label(sample, domain.description)
            mapping = MAPPING.get(sample.call)
            made = self._compare(sample, device, health) if mapping is None else mapping(sample.reply, device)
            self._sink.dispatch(identity, made, sample.time)

    def _compare(self, sample: Sample, device: str, health: Health) -> Iterable[Metric]:
        """Make metrics of a sample and the one before it."""
        key = (sample.call, sample.device)
        before = health.baselines.get(key)
        health.baselines[key] = sample
        if before is None:
            return ()
        return RATES[sample.call](before.reply, sample.reply, sample.taken - before.taken, device)

    def _note(self, note: Note, domains: Mapping[str, Domain]) -> None:
        """Send a text where it is another one than before."""
        self._noted = {noted: text for noted, text in self._noted.items() if noted.uuid in domains}
        key = note._replace(text="")
        if self._noted.get(key) != note.text and self._notify is not None:
            self._noted[key] = note.text
            identity = self._names.of(domains[note.uuid])
            instance = presentable(note.type_instance)
            self._notify(OKAY, note.text, identity, type=note.type, type_instance=instance)

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
