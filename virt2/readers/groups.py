"""Which reader reads which domains now.

Follows the inventory: where a domain comes, goes or is retagged, the groups are made again at the next read. A domain
that changes readers is not read by both in one interval.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from virt2.domains.inventory import Inventory
from virt2.model.domain import Domain
from virt2.readers.partition import Explicit, Partition, automatic_count, partition

APART = 0.25
"""Part of an interval that lies at least between the reads of one domain by two readers."""
LATE = 1.4
"""Intervals after a domain's last read from which its next one would be a gap. It is clear of the promised 1.5. It is
clear of 1 plus APART, by as much of an interval as a read may take, because otherwise a domain would stay with its
former reader."""

PATIENCE = 0.2
"""Seconds for which a read waits for the groups that another one is making. That takes some milliseconds with hundreds
of domains. The wait is small against the 1.5 s of a read."""


class _Turn:
    """A reader's last read."""

    __slots__ = ("began", "ended", "uuids")

    def __init__(self, uuids: frozenset[str], began: float) -> None:
        self.uuids = uuids
        self.began = began
        self.ended: float | None = None


class Readers(NamedTuple):
    """Which readers there are to be."""

    explicit: Sequence[Explicit] = ()
    """Those that the configuration names, in its order."""
    automatic: int | None = None
    """How many automatic ones; None to tell from the first list."""
    limit: Callable[[], int] = lambda: 1
    """Gives the most automatic ones there may be; asked when the first list is there."""
    partition_by: Collection[str] = ("tag", "storage")
    """What places a domain: ``tag``, ``storage`` or both."""


class Groups:
    """The readers and their groups.

    Arguments:
        inventory: the active domains.
        readers: which readers there are to be.
        interval: seconds between two reads of a reader.
        on_change: told the UUIDs of the active domains whenever they changed, before anybody reads them; must not log.
        afterwards: told the same when the new groups are there. It may log, and so may never return.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        inventory: Inventory,
        readers: Readers,
        *,
        interval: float = 10.0,
        on_change: Callable[[Collection[str]], None] = lambda uuids: None,
        afterwards: Callable[[Collection[str]], None] = lambda uuids: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._inventory = inventory
        self._explicit = readers.explicit
        self._partition_by = readers.partition_by
        self._interval = interval
        self._on_change = on_change
        self._afterwards = afterwards
        self._clock = clock
        self._lock = threading.Lock()
        self._making = threading.Lock()
        """Held by who makes the groups. Nobody waits for it without a bound."""
        self._limit = readers.limit
        self._automatic = readers.automatic
        self._seen = -1
        self._partition = partition([], readers.explicit, readers.automatic or 1, readers.partition_by, {})
        self._readers: dict[str, str] = {}
        self._turns: dict[str, _Turn] = {}

    def __repr__(self) -> str:
        return f"<Groups { ({name: len(group) for name, group in self._partition.groups.items()}) }>"

    def sizes(self) -> dict[str, int]:
        """The number of domains of each reader, explicit ones first."""
        return {name: len(group) for name, group in self._current().groups.items()}

    def reader_of(self, uuid: str) -> str | None:
        """The reader that has a domain, None where none has."""
        self._current()
        return self._readers.get(uuid)

    @property
    def made(self) -> Partition:
        """The groups as they were made last. Unlike the rest, this makes none, so that any thread may ask."""
        return self._partition

    @property
    def assigned(self) -> Mapping[str, str]:
        """The reader of each domain as it was decided last, by UUID. Any thread may ask."""
        return self._readers

    def begin(self, reader: str) -> list[Domain]:
        """The domains a reader is to read now. The reader calls `end` when it has dispatched what it read.

        A domain that has just been given to this reader waits while the former one may still be at it; one that has
        just been taken from it is read once more where the new one will come to it too late for the next point.
        """
        groups = self._current(PATIENCE).groups
        group = groups.get(reader, ())
        now = self._clock()
        with self._lock:
            taken: set[str] = set()
            for name, turn in self._turns.items():
                if name != reader and (turn.ended is None or now - turn.ended < APART * self._interval):
                    taken |= turn.uuids
            mine = [domain for domain in group if domain.uuid not in taken]
            uuids = frozenset(domain.uuid for domain in mine)
            before = self._turns.get(reader)
            if before is not None and not before.uuids <= uuids:
                mine += self._left_behind(before, groups, uuids | taken)
                uuids = frozenset(domain.uuid for domain in mine)
            self._turns[reader] = _Turn(uuids, now)
        return mine

    def _left_behind(
        self, before: _Turn, groups: Mapping[str, Sequence[Domain]], known: Collection[str]
    ) -> list[Domain]:
        """Domains of a reader's last turn that went to a reader which comes to them only after its next-but-one."""
        wanted = before.uuids - set(known)
        late = [
            (name, wanted - turn.uuids)
            for name, turn in self._turns.items()
            if turn.began + self._interval > before.began + LATE * self._interval
        ]
        return [domain for name, uuids in late for domain in groups[name] if domain.uuid in uuids]

    def end(self, reader: str) -> None:
        """The reader has dispatched what it read."""
        with self._lock:
            self._turns[reader].ended = self._clock()

    def _current(self, patience: float = 0.0) -> Partition:
        """The groups as they are now, made again where domains have changed.

        One reader makes them. The others wait for `patience` seconds, since all of them come at the same moment when a
        list is there, and then go on with the groups there are.
        """
        if (self._seen != self._inventory.version or self._to_settle()) and self._making.acquire(timeout=patience):
            try:
                changed = self._make()
            finally:
                self._making.release()
            if changed is not None:
                self._afterwards(changed)
        return self._partition

    def _make(self) -> Collection[str] | None:
        """Make the groups, where that is due; returns the UUIDs of the active domains where it was."""
        previous: Mapping[str, str] = self._partition.assignment
        version, domains = self._inventory.domains()
        if self._to_settle():
            # What was assigned while there was only one reader says nothing about where it belongs.
            previous = {}
            self._automatic = automatic_count(domains, self._explicit, self._partition_by, self._limit())
        elif version == self._seen:
            return None
        made = partition(domains, self._explicit, self._automatic or 1, self._partition_by, previous)
        uuids = [domain.uuid for domain in domains]
        self._on_change(uuids)
        self._readers = {domain.uuid: name for name, group in made.groups.items() for domain in group}
        self._partition = made
        self._seen = version
        return uuids

    def _to_settle(self) -> bool:
        """Whether the number of readers is still open, and there is a complete list to tell it from."""
        return self._automatic is None and self._inventory.listed
