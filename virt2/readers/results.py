"""The way from workers to collectd: records come in from any thread, and a read takes them out and dispatches."""

from __future__ import annotations

import logging
import queue
from collections.abc import Iterable, Mapping

from virt2.domains.health import Health
from virt2.metrics import defaults, extras
from virt2.metrics.defaults import OF_NICS
from virt2.metrics.metric import Metric
from virt2.metrics.rates import RATES
from virt2.model.domain import Description, Disk, Domain, Nic
from virt2.notifications.notification import OKAY, Notify
from virt2.once import Gatherer
from virt2.output.batch import Sink
from virt2.output.naming import Identity, Names
from virt2.readers.records import Note, Outcome, Record, Sample, Trouble
from virt2.text.identifiers import presentable

log = logging.getLogger(__name__)

MAPPING = {**defaults.MAPPING, **extras.MAPPING}
"""What a sample becomes by itself, by what it is for; all others are compared with the one before (`RATES`)."""

OF_DISKS = defaults.OF_DISKS | extras.OF_DISKS

ENDING = 5.0
"""Seconds for which libvirt may still list a domain whose QEMU has ended. It takes the domain's devices apart then, in
a tenth of a second as a rule and longer on a busy host or with hooks, and calls fail for any reason."""


class Results:
    """The records of one reader's workers.

    Arguments:
        names: the identity of all domains.
        sink: where metrics go.
        notify: where texts go that libvirt has among numbers; nowhere by default.
        troubles: where troubles of domains are said; by default those of one `take` together.
    """

    def __init__(
        self, names: Names, sink: Sink, notify: Notify | None = None, troubles: Gatherer | None = None
    ) -> None:
        self._names = names
        self._sink = sink
        self._notify = notify
        self._records: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._failed: set[str] = set()
        self._gatherer = Gatherer(0.0) if troubles is None else troubles
        self._troubles: dict[tuple[str, str], Trouble] = {}
        """What is to be said where a later list still has the domain: the first of each kind in a run of the domain."""
        self._noted: dict[Note, str] = {}
        """The text that went out last, by the note without it."""

    def __repr__(self) -> str:
        return f"<Results waiting={self._records.qsize()}>"

    def put(self, record: Record) -> None:
        """Take a record; called by workers."""
        self._records.put(record)

    def take(
        self, domains: Mapping[str, Domain], healths: Mapping[str, Health], listed: float | None = None
    ) -> list[Outcome]:
        """Dispatch the samples that came in; returns how jobs ended.

        Arguments:
            domains: those of this reader, by UUID.
            healths: theirs.
            listed: when the list that they are from was asked for, monotonic seconds; None where that is unknown. What
                went wrong before then is said of the domains that the list still has.

        Records of domains that are gone, or have another reader now, are dropped, and so is a sample when a newer one
        of its kind went out before: a series must not run backwards.
        """
        outcomes = []
        identities: dict[str, Identity] = {}
        tidied = False
        # Only what is there now: a worker that reports as fast as this thread takes must not keep it here.
        for record in [self._records.get_nowait() for _ in range(self._records.qsize())]:
            health = healths.get(record.uuid)
            if health is None:
                continue
            if isinstance(record, Sample):
                if health.incoming:
                    # It runs elsewhere, where it has the same names.
                    continue
                domain = domains[record.uuid]
                identity = identities.get(record.uuid)
                if identity is None:
                    identity = identities[record.uuid] = self._names.of(domain)
                try:
                    self._dispatch(record, domain, identity, health)
                except Exception:
                    # The records behind it are out of the queue as well, and must not be lost.
                    self._fail(record.call, domain)
            elif isinstance(record, Outcome):
                outcomes.append(record)
            elif isinstance(record, Note):
                if not tidied:
                    self._noted = {noted: text for noted, text in self._noted.items() if noted.uuid in domains}
                    tidied = True
                self._note(record, domains)
            else:
                before = self._troubles.get((record.uuid, record.text))
                if before is None or before.run != record.run:
                    self._troubles[record.uuid, record.text] = record
        if self._troubles and listed is not None:
            self._say(domains, listed)
        return outcomes

    def _fail(self, call: str, domain: Domain) -> None:
        """Say once per call that its reply could not be dealt with."""
        if call not in self._failed:
            self._failed.add(call)
            log.exception("unexpected failure with the reply of %s, domain %s, said once", call, domain.name)

    def _dispatch(self, sample: Sample, domain: Domain, identity: Identity, health: Health) -> None:
        key = (sample.call, sample.device)
        if sample.taken > health.newest.get(key, 0.0):
            health.newest[key] = sample.taken
            device = label_of_device(sample.call, sample.device, domain.description)
            mapping = MAPPING.get(sample.call)
            made = self._compare(sample, device, health) if mapping is None else mapping(sample.reply, device)
            if sample.call in defaults.DEFAULTS:
                health.last[key] = sample
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
        key = note._replace(text="")
        if self._noted.get(key) != note.text and self._notify is not None:
            self._noted[key] = note.text
            identity = self._names.of(domains[note.uuid])
            instance = presentable(note.type_instance)
            self._notify(OKAY, note.text, identity, type=note.type, type_instance=instance)

    def _say(self, domains: Mapping[str, Domain], listed: float) -> None:
        """Have a call's failure logged, once for a domain.

        Nothing is said of a domain that was destroyed, or of a device that was unplugged, while it was asked: whatever
        libvirt said of it then is normal.
        """
        for key, trouble in tuple(self._troubles.items()):
            if trouble.when + ENDING < listed or trouble.uuid not in domains:
                del self._troubles[key]
                domain = domains.get(trouble.uuid)
                if domain is not None and _is_there(domain, trouble):
                    self._gatherer.add(domain.uuid, domain.name, trouble.text)
        self._gatherer.say()


def _is_there(domain: Domain, trouble: Trouble) -> bool:
    """Whether what a call failed for is still there, in the same run of the domain."""
    if domain.id != trouble.run:
        return False
    targets = {disk.target for disk in domain.description.disks} | {nic.target for nic in domain.description.nics}
    return not trouble.device or trouble.device in targets


def label_of_device(call: str, target: str, description: Description) -> str:
    """Give what a device is called at collectd that a call was made for."""
    devices: tuple[Disk, ...] | tuple[Nic, ...] = ()
    if call in OF_DISKS:
        devices = description.disks
    elif call in OF_NICS:
        devices = description.nics
    for device in devices:
        if device.target == target and device.label:
            return device.label
    return presentable(target)
