"""Which reader a domain belongs to. Pure: it takes domains and readers, and gives one group per reader.

A domain's *label* is what places it: its tag, or its storage domain where it has no tag. A domain goes to

1. the first explicit reader, in order of configuration, that matches its label;
2. otherwise, with a label ``virt-K``, automatic reader K, if there is one;
3. otherwise the automatic reader its label is assigned to. A label keeps its reader while any domain carries it. A new
   one goes to the lowest reader without labels, or to the one with the fewest domains (the lowest of equals);
4. (an untagged domain is labelled with its storage domain, where ``storage`` is asked for;)
5. without a label to automatic reader 0.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from virt2.model.domain import Domain

_CONVENTION = "virt-"
"""A label of this and a reader's number names its reader (the C plugin's convention)."""


class Explicit(NamedTuple):
    """A reader that the configuration asks for by name."""

    name: str
    matchers: tuple[Callable[[str], bool], ...]
    """The reader takes a label that any of these holds for."""


class Partition(NamedTuple):
    """Who reads what."""

    groups: dict[str, tuple[Domain, ...]]
    """The domains of each reader, by UUID; every reader is there, explicit ones first, a group may be empty."""
    assignment: dict[str, str]
    """The automatic reader of each label: what the next partition needs to leave everything where it is."""


def partition(
    domains: Iterable[Domain],
    explicit: Sequence[Explicit],
    automatic: int,
    partition_by: Collection[str],
    previous: Mapping[str, str],
) -> Partition:
    """Give every domain to exactly one reader; the order of the domains does not matter.

    Args:
        domains: the active domains; of two records with one UUID the later run counts.
        explicit: the readers asked for by name, in order of configuration. One with the name of another, or of an
            automatic reader, shares its group.
        automatic: how many automatic readers there are, at least 1; their names are ``0``, ``1`` and so on.
        partition_by: ``tag``, ``storage`` or both.
        previous: the assignment of the last partition. Labels no domain carries any more are forgotten, those of a
            reader that does not exist any more are new.
    """
    readers = _automatic_names(automatic)
    groups: dict[str, list[Domain]] = {name: [] for name in (*(reader.name for reader in explicit), *readers)}
    by_label = _by_label(domains, partition_by)
    groups[readers[0]] += by_label.pop("", [])
    assignment: dict[str, str] = {}
    new: list[str] = []
    for label, members in by_label.items():
        name = _explicit_reader(label, explicit)
        if name is None:
            name = _reader_by_convention(label, readers) or previous.get(label, "")
            if name not in readers:
                new.append(label)
                continue
            assignment[label] = name
        groups[name] += members
    free = deque(name for name in readers if name not in assignment.values())
    # The largest first: they fill the readers without labels, and the small ones even out what is left.
    for label in sorted(new, key=lambda label: (-len(by_label[label]), label)):
        # min() takes the first of equals, and readers are in order of their number.
        name = free.popleft() if free else min(readers, key=lambda name: len(groups[name]))
        assignment[label] = name
        groups[name] += by_label[label]
    ordered = {name: tuple(sorted(members, key=lambda domain: domain.uuid)) for name, members in groups.items()}
    return Partition(ordered, assignment)


def automatic_count(
    domains: Iterable[Domain], explicit: Sequence[Explicit], partition_by: Collection[str], limit: int
) -> int:
    """Tell how many automatic readers ``Instances auto`` makes: at least 1, at most the limit.

    There is one for each label that is left to automatic readers, and more where a label ``virt-K`` within these bounds
    would have no reader K. A reader without domains costs nothing. Domains without a label ask for no reader of their
    own, because they belong to reader 0, which the first label is given too.
    """
    most = max(1, limit)
    labels = {label_of(domain, partition_by) for domain in domains} - {""}
    labels = {label for label in labels if _explicit_reader(label, explicit) is None}
    possible = _automatic_names(most)
    named = [_reader_by_convention(label, possible) for label in labels]
    return min(most, max(1, len(labels), *(int(name) + 1 for name in named if name)))


def label_of(domain: Domain, partition_by: Collection[str]) -> str:
    """Return what places a domain: its tag or its storage domain, as far as asked for; empty where it has neither."""
    tag = domain.description.tag if "tag" in partition_by else ""
    return tag or (domain.placement if "storage" in partition_by else "")


def _automatic_names(count: int) -> list[str]:
    """Return the names of `count` automatic readers, in order."""
    if count < 1:
        raise ValueError("there is at least one automatic reader")
    return [str(number) for number in range(count)]


def _by_label(domains: Iterable[Domain], partition_by: Collection[str]) -> dict[str, list[Domain]]:
    """Sort domains by label, each domain once."""
    latest = {domain.uuid: domain for domain in sorted(domains, key=lambda domain: (domain.uuid, domain.id))}
    by_label: dict[str, list[Domain]] = {}
    for domain in latest.values():
        by_label.setdefault(label_of(domain, partition_by), []).append(domain)
    return by_label


def _explicit_reader(label: str, explicit: Sequence[Explicit]) -> str | None:
    """Return the name of the first explicit reader that takes a label."""
    return next((reader.name for reader in explicit if any(match(label) for match in reader.matchers)), None)


def _reader_by_convention(label: str, readers: Collection[str]) -> str | None:
    """Return the reader a label ``virt-K`` names; K is compared as text, so ``virt-01`` names none."""
    number = label[len(_CONVENTION) :]
    return number if label.startswith(_CONVENTION) and number in readers else None
