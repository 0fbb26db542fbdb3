"""The domains that are known, and their descriptions.

Here it is decided when a description is read, from where, and what stands where it cannot be read.
libvirt has the XML of a domain. Where it may not be asked for it, or has no room for it in its messages, a file of
libvirt's has the same. Where that cannot be read either, what was known before stands, or the interfaces alone.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, Union

from virt2.domains.connection import DomainCalls
from virt2.domains.spread import due_since
from virt2.errors import Disconnected, DomainGone, Error, Unsupported
from virt2.model.domain import NO_ID, Description, Domain, Nic
from virt2.model.replies import Listed
from virt2.once import Gatherer

KEPT = 10
"""Times RefreshInterval after which a domain is asked again whatever libvirt's files say."""

MOST_IDLE = 4096
"""Domains that are not active whose description is kept."""

JOB_FOR_XML = ((11, 0), (11, 5))
"""From the first of these versions of libvirt on, and before the second, libvirt takes a domain's job to read its XML,
and so waits for its monitor."""

CONTROL_OK = 0
"""virDomainControlState of a monitor that nobody is in."""

WITHOUT_XML = (
    "; its interfaces are reported, but its disks and its tag are not known. Where its metadata is larger than"
    " libvirt's messages (4 MiB), make it smaller, or run collectd as root"
)
"""What is said of a domain whose XML cannot be read."""

Describe = Callable[[str, str, Callable[[str], str], str], Description]
"""Describes a domain by its name and XML, given a way to get the metadata of one namespace alone, and the XML of the
backup that is under way, if there is one."""

Line = Union[Listed, Domain]
"""What names a domain: a line of a list, or the domain as it is known."""


class StatusFile(Protocol):
    """What libvirt keeps of a running domain in files, by the domain's name (see `virt2.sources.procfs`)."""

    def stamp(self, name: str) -> object:
        """Something that changes with every change of the domain; None where it cannot be seen."""

    def xml(self, name: str) -> str:
        """The domain's XML; empty where it cannot be read."""


class Describing(NamedTuple):
    """How domains are described, and which."""

    describer: Callable[[], Describe]
    """Asked before descriptions are read; makes what turns XML into a description."""
    status_file: StatusFile | None = None
    """Shows what libvirt keeps of a running domain in files; None where that cannot be seen."""
    troubles: Gatherer | None = None
    """Where troubles of domains are said. With None, those of one attempt are said together."""
    backups: bool = False
    """Whether it matters what backups write to, which costs a call for each description."""
    idle: bool = False
    """Whether domains that are not active are described too, because names are made of their metadata."""
    stopped: Callable[[str, str], str] = lambda uuid, name: ""
    """Tells by UUID and name that a domain's QEMU will not answer; empty where it may."""
    surroundings: Callable[[], object] = lambda: None
    """Tells what descriptions depend on beyond what libvirt knows of a domain, asked before the describer."""


class Basis(NamedTuple):
    """What shows that a description is still right.

    It is taken before the description is asked for, so that a change meanwhile shows as one afterwards.
    """

    stamp: object
    """The stamp of the domain's status file."""
    surroundings: object
    """What descriptions depend on beyond what libvirt knows of a domain."""
    since: float
    """When it was taken, monotonic seconds."""


class Entry(NamedTuple):
    """A domain, and how current its description is."""

    domain: Domain
    described: float | None
    """When its description was asked for, or was seen to be still right. None where it is to be read again, as after a
    failure."""
    basis: Basis | None = None
    """What its description rests on; None where that is not known, or something of it could not be read."""


class Means(NamedTuple):
    """What descriptions are made with."""

    describe: Describe
    surroundings: object
    """As they were before."""


class Descriptions:
    """Reads the description of one domain. Any thread may, over a connection of its own.

    Arguments:
        describing: how.
        troubles: where troubles of domains are said.
        clock: monotonic seconds.
    """

    def __init__(self, describing: Describing, troubles: Gatherer, clock: Callable[[], float]) -> None:
        self.surroundings = describing.surroundings
        self._status_file = describing.status_file
        self._backups = describing.backups
        self._stopped = describing.stopped
        self._troubles = troubles
        self._clock = clock
        self.libvirt_version = ""
        """Of the libvirt at the other end; empty before the first connection."""

    def stamp(self, name: str) -> object:
        """The stamp of a running domain's status file as it is now; None where it cannot be seen."""
        return None if self._status_file is None else self._status_file.stamp(name)

    def basis(self, line: Line, surroundings: object) -> Basis | None:
        """What a description rests on that is asked for now; None where changes of the domain cannot be seen."""
        now, stamp = self._clock(), None if line.id < 0 else self.stamp(line.name)
        return None if stamp is None else Basis(stamp, surroundings, now)

    def read(self, connection: DomainCalls, line: Line, known: Description | None, means: Means) -> Entry:
        """A domain with its description; where that cannot be read, with what is known of it, or the least there is.

        Raises:
            DomainGone: there is no such domain any more.
            Disconnected: the connection is lost.
        """
        described: float | None = self._clock()
        basis, describe = self.basis(line, means.surroundings), means.describe
        try:
            if takes_job_for_xml(self.libvirt_version) and not self._looks_free(connection, line):
                return self._without_xml(connection, line, describe, known)
            description, is_whole = self._of_xml(connection.xml(line.uuid), connection, line, describe)
            basis = basis if is_whole else None
        except (DomainGone, Disconnected):
            raise
        except Error as error:
            found, basis = self._of_status_file(connection, line, describe), None
            if found is None:
                # Nothing is known for sure of what the description lacks, so it is tried again.
                described = None
                found = known if known is not None else self._least(connection, line)
                lack = (
                    ""
                    if found.complete
                    else WITHOUT_XML
                    if found.nics
                    else "; only what needs no description is reported"
                )
                self._troubles.add(line.uuid, line.name, f"its description could not be read: {error}{lack}")
            description = found
        for problem in description.problems:
            self._troubles.add(line.uuid, line.name, problem)
        return Entry(_domain(line, description), described, basis)

    def _without_xml(self, connection: DomainCalls, line: Line, describe: Describe, known: Description | None) -> Entry:
        """A domain whose XML may not come now.

        It has the description that libvirt's file gives. Where that cannot be read, it has what is known, and is tried
        again.
        """
        found, described = self._of_status_file(connection, line, describe), self._clock()
        if found is not None:
            return Entry(_domain(line, found), described)
        return Entry(_domain(line, known if known is not None else self._least(connection, line)), None)

    def _looks_free(self, connection: DomainCalls, line: Line) -> bool:
        """Whether a domain's monitor would answer. Then its XML comes at once; else it may not come at all."""
        if line.id < 0:
            return True
        if self._stopped(line.uuid, line.name):
            return False
        try:
            return connection.control(line.uuid).state == CONTROL_OK
        except Unsupported:
            # A driver without control info has no such job either.
            return True

    def _of_status_file(self, connection: DomainCalls, line: Line, describe: Describe) -> Description | None:
        """A domain's description by what libvirt keeps of it in a file, which has the same XML, of any length."""
        xml = "" if self._status_file is None or line.id < 0 else self._status_file.xml(line.name)
        return self._of_xml(xml, connection, line, describe)[0] if xml else None

    def _of_xml(self, xml: str, connection: DomainCalls, line: Line, describe: Describe) -> tuple[Description, bool]:
        """A domain's description, and whether nothing is missing that may be there when it is read again."""
        backup = self._backup(connection, line)
        fetch = functools.partial(connection.metadata, line.uuid)
        description = describe(line.name, xml, fetch, backup or "")
        return description, description.complete and not description.problems and backup is not None

    def _backup(self, connection: DomainCalls, line: Line) -> str | None:
        """The XML of a domain's backup that is under way; empty where there is none, or nobody wants it.

        Where it cannot be read it is None, and the domain is described without it, because that is better than no
        description.
        """
        if not self._backups or line.id < 0:
            return ""
        try:
            return connection.backup(line.uuid)
        except (DomainGone, Disconnected):
            raise
        except Error as error:
            self._troubles.add(line.uuid, line.name, f"its backup could not be read: {error}")
            return None

    def _least(self, connection: DomainCalls, line: Line) -> Description:
        """What can be known of a domain without its XML."""
        try:
            names = connection.nics(line.uuid) if line.id >= 0 else []
        except Disconnected:
            raise
        except Error:
            names = []
        nics = tuple(Nic(name, "", number=number) for number, name in enumerate(names, 1))
        return Description(nics=nics, complete=False)


class Entries:
    """The active domains and their descriptions, and those of domains that are not active where these are wanted.

    Any thread reads. The inventory's thread takes in lists; others may take in single domains meanwhile. The lock is
    held for bookkeeping alone.

    Arguments:
        describing: how domains are described, and which.
        refresh: age at which a description is read again, seconds; 0 or less for never.
        wants: tells by name and UUID whether a domain is reported.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        describing: Describing,
        refresh: float,
        wants: Callable[[str, str], bool],
        clock: Callable[[], float],
    ) -> None:
        self.troubles = Gatherer(0.0) if describing.troubles is None else describing.troubles
        self.descriptions = Descriptions(describing, self.troubles, clock)
        self.describes_idle = describing.idle
        self._describer = describing.describer
        self._refresh = refresh
        self._wants = wants
        self._clock = clock
        self._lock = threading.Lock()
        self._active: dict[str, Entry] = {}
        self._idle: dict[str, Entry] = {}
        """Those of domains that are not active, or not listed yet. The latest come last."""
        self._version = 0

    def __repr__(self) -> str:
        return f"<Entries active={len(self._active)} idle={len(self._idle)} version={self._version}>"

    def __len__(self) -> int:
        return len(self._active)

    @property
    def version(self) -> int:
        """Changes whenever a domain comes, goes or is described again."""
        return self._version

    def domains(self) -> tuple[int, list[Domain]]:
        """The active domains, and the version that they are of."""
        with self._lock:
            return self._version, [entry.domain for entry in self._active.values()]

    def are_described(self) -> bool:
        """Whether every active domain has a description that is not to be tried again."""
        with self._lock:
            return all(entry.described is not None for entry in self._active.values())

    def knows(self, uuid: str) -> bool:
        """Whether a domain is active, as far as is known."""
        return uuid in self._active

    def find(self, uuid: str) -> Domain | None:
        """What is known of a domain, active or not; None where nothing is."""
        with self._lock:
            entry = self._active.get(uuid) or self._idle.get(uuid)
        return None if entry is None else entry.domain

    def is_current(self, domain: Domain) -> bool | None:
        """Whether nothing of a domain has changed since it was described; None where that cannot be seen."""
        return self._is_current(self._active.get(domain.uuid), domain)

    def unchanged_since(self, domain: Domain) -> float | None:
        """Since when at least nothing of a domain has changed, monotonic seconds; None where that cannot be seen."""
        # One entry for both: the list's thread may replace it meanwhile.
        entry = self._active.get(domain.uuid)
        return entry.basis.since if entry is not None and entry.basis and self._is_current(entry, domain) else None

    def _is_current(self, entry: Entry | None, domain: Domain) -> bool | None:
        if entry is None or entry.basis is None:
            return None
        return entry.described is not None and self.descriptions.stamp(domain.name) == entry.basis.stamp

    def is_fresh(self, domain: Domain, since: float) -> bool:
        """Whether a domain is described as it is now, or as it was at `since` at the earliest."""
        entry = self._active.get(domain.uuid)
        if entry is None or entry.described is None:
            return False
        return entry.described >= since or self.is_current(domain) is True

    def expire(self) -> None:
        """Have every active domain described again: nobody told of changes while there was no connection."""
        with self._lock:
            self._active = {uuid: entry._replace(described=None) for uuid, entry in self._active.items()}

    def take(self, connection: DomainCalls, listed: Sequence[Line], stale: Mapping[str, str], asked: float) -> None:
        """Take in a list of all active domains that are reported, and describe those that need it.

        Args:
            connection: describes them.
            listed: the domains.
            stale: names by UUID of domains that something has changed of; they need not be active.
            asked: when the list was asked for.
        """
        known = {line.uuid for line in listed}
        with self._lock:
            gone = [uuid for uuid in self._active if uuid not in known]
            for uuid in gone:
                del self._active[uuid]
                self._version += 1
            new = [line for line in listed if line.uuid in stale or not self._stands(self._active, line, asked)]
            # Those that nobody can read yet do not wait for descriptions that are merely old.
            new.sort(key=lambda line: line.uuid in self._active)
        for uuid in gone:
            self.troubles.forget(uuid)
        if new:
            surroundings = self.descriptions.surroundings()
            new = [line for line in new if line.uuid in stale or not self._renew(line, surroundings)]
        if new:
            means = Means(self._describer(), surroundings)
            for line in new:
                self._describe(connection, line, means)
        self.describe_idle(connection, [(uuid, name) for uuid, name in stale.items() if name and uuid not in known])

    def describe(self, connection: DomainCalls, line: Line) -> None:
        """Describe one domain, and take it in where it is new: then it was found without a list."""
        is_new = line.uuid not in self._active
        self._describe(connection, line, self._means())
        if is_new:
            self._end_namesakes(line.uuid, line.name)

    def _end_namesakes(self, uuid: str, name: str) -> None:
        """Forget domains that had the name of one that was found without a list.

        libvirt's QEMU driver has one domain of a name at a time, so they have ended. As long as a list hangs, it cannot
        tell that, and the new domain would be named as if both were there.
        """
        with self._lock:
            if uuid not in self._active:
                # It has ended as well.
                return
            ended = [other for other, entry in self._active.items() if entry.domain.name == name and other != uuid]
            for other in ended:
                del self._active[other]
                self._version += 1
        for other in ended:
            self.troubles.forget(other)

    def _means(self) -> Means:
        surroundings = self.descriptions.surroundings()
        return Means(self._describer(), surroundings)

    def _describe(self, connection: DomainCalls, line: Line, means: Means) -> None:
        """Describe a domain and keep that, unless it is known better by then.

        Workers describe as well as the list's thread, and a call may take long. Meanwhile a list may have come without
        the domain, which must not be there again, or somebody else may have described it later.
        """
        before = self._active.get(line.uuid)
        entry = self._read(connection, line, before, means)
        if entry is not None:
            with self._lock:
                now = self._active.get(line.uuid)
                if now is not before and (now is None or _is_later(now, entry)):
                    return
                before = now
                self._active[line.uuid] = entry
                if before is None or before.domain != entry.domain:
                    self._version += 1

    def add_unseen(self, uuid: str, name: str) -> None:
        """Take in a domain that runs but cannot be looked up; the next list has the rest of it."""
        with self._lock:
            self._active.setdefault(uuid, Entry(Domain(uuid, name, NO_ID, Description()), None))
            self._version += 1
        self._end_namesakes(uuid, name)

    def describe_idle(self, connection: DomainCalls, domains: Iterable[tuple[str, str]]) -> None:
        """Describe domains that are not active, by UUID and name, where that is wanted and not known."""
        if not self.describes_idle:
            return
        now, means = self._clock(), None
        for uuid, name in domains:
            line = Listed(uuid, name, NO_ID)
            if not self._wants(name, uuid) or self._stands(self._idle, line, now):
                continue
            means = means or self._means()
            entry = self._read(connection, line, self._idle.get(uuid), means)
            if entry is not None:
                with self._lock:
                    self._idle.pop(uuid, None)
                    self._idle[uuid] = entry
                    if len(self._idle) > MOST_IDLE:
                        del self._idle[next(iter(self._idle))]

    def _read(self, connection: DomainCalls, line: Line, before: Entry | None, means: Means) -> Entry | None:
        """A domain with its description, the one it had before if it cannot be read; None where it is gone."""
        known = None if before is None else before.domain.description
        try:
            return self.descriptions.read(connection, line, known, means)
        except DomainGone:
            return None

    def _stands(self, entries: Mapping[str, Entry], line: Line, now: float) -> bool:
        """Whether a domain need not be described, because this run of it was described under this name not long ago."""
        entry = entries.get(line.uuid)
        if entry is None or entry.described is None or not _is_of(entry, line):
            return False
        return self._refresh <= 0 or entry.described >= due_since(line.uuid, self._refresh, now)

    def _renew(self, line: Line, surroundings: object) -> bool:
        """Keep a description that is merely old where nothing has changed that it rests on; returns whether it is kept.

        libvirt writes the status file of a domain with every change, also where no event tells of it. But it goes on
        where the file cannot be written. So now and then a description is read whatever the file says.
        """
        before = self._active.get(line.uuid)
        if before is None or before.described is None or before.basis is None or not _is_of(before, line):
            return False
        now = self.descriptions.basis(line, surroundings)
        if now is None or now[:2] != before.basis[:2] or now.since - before.basis.since >= KEPT * self._refresh:
            return False
        with self._lock:
            if self._active.get(line.uuid) is before:
                self._active[line.uuid] = before._replace(described=now.since)
        return True


def _is_of(entry: Entry, line: Line) -> bool:
    """Whether an entry is of the run that a line names, under this name."""
    return entry.domain.id == line.id and entry.domain.name == line.name


def _is_later(one: Entry, other: Entry) -> bool:
    """Whether a description was asked for after another."""
    return one.described is not None and (other.described is None or one.described > other.described)


def takes_job_for_xml(version: str) -> bool:
    """Whether the libvirt of this version may wait for a domain's monitor when its XML is read."""
    first, fixed = JOB_FOR_XML
    numbers = version.split(".")[:2]
    return all(map(str.isdigit, numbers)) and first <= tuple(map(int, numbers)) < fixed


def _domain(line: Line, description: Description) -> Domain:
    return Domain(line.uuid, line.name, line.id, description)
