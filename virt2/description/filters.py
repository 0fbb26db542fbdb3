"""Which domains, disks and interfaces are reported: the lists `Domain`, `BlockDevice` and `InterfaceDevice`.

The rules are those of collectd's ignorelist. An empty list leaves nothing out. In any other list one matching entry
decides, and `IgnoreSelected` says for all three lists how. The lists do not depend on each other: a `BlockDevice` entry
for one domain's disk leaves out the disks of all other domains, unless `IgnoreSelected` reverses that.
"""

from __future__ import annotations

from collections.abc import Sequence

from virt2.once import Once
from virt2.text.patterns import Match, is_pattern

DOMAIN, DISK, NIC = "Domain", "BlockDevice", "InterfaceDevice"
_WHAT = {DOMAIN: "domain", DISK: "disk", NIC: "interface"}
_SAMPLE = {DOMAIN: "name", DISK: "name:device", NIC: "name:device"}
"""What collectd's sample configuration has behind these keys. Operators use these lines unchanged."""
_SHOWN = 3
_SHOWN_CHARACTERS = 60


class Filters:
    """Decides what is reported. It remembers only whether each list ever matched anything.

    Arguments:
        domains: entries for a domain's name. An entry that is not a pattern may also be a UUID.
        disks: entries for ``DOMAIN:DISK``, with the disk as `BlockDeviceFormat` writes it.
        nics: entries for ``DOMAIN:INTERFACE``, with the interface as `InterfaceFormat` writes it.
        ignore: whether what matches is left out, instead of everything else.
    """

    def __init__(
        self,
        domains: Sequence[Match] = (),
        disks: Sequence[Match] = (),
        nics: Sequence[Match] = (),
        ignore: bool = False,
    ) -> None:
        self._lists = {DOMAIN: tuple(domains), DISK: tuple(disks), NIC: tuple(nics)}
        self._uuids = frozenset(entry.text.lower() for entry in domains if not is_pattern(entry.text))
        self._ignore = ignore
        self._examples: dict[str, str] = {}
        self._matched: set[str] = set()
        self._said = Once()

    def __repr__(self) -> str:
        counts = " ".join(f"{key}={len(entries)}" for key, entries in self._lists.items())
        return f"<Filters {counts} ignore={self._ignore}>"

    def domain(self, name: str, uuid: str) -> bool:
        """Tell whether a domain is reported. A pattern is compared with the name alone."""
        return self._reported(DOMAIN, name, uuid.lower() in self._uuids)

    def disk(self, domain: str, device: str) -> bool:
        """Tell whether a disk of a domain is reported."""
        return self._reported(DISK, f"{domain}:{device}")

    def nic(self, domain: str, device: str) -> bool:
        """Tell whether an interface of a domain is reported."""
        return self._reported(NIC, f"{domain}:{device}")

    def complaints(self) -> list[str]:
        """Give what an operator should know about lists that were used and have never matched, each list once."""
        # Other threads add examples at the same time.
        idle = [key for key in self._lists if key in self._examples and key not in self._matched]
        return [self._complaint(key) for key in idle if self._said.first(key)]

    def _reported(self, key: str, text: str, named: bool = False) -> bool:
        entries = self._lists[key]
        if not entries:
            return True
        self._examples.setdefault(key, text)
        matches = named or any(entry.matches(text) for entry in entries)
        if matches:
            self._matched.add(key)
        return matches != self._ignore

    def _complaint(self, key: str) -> str:
        entries = [entry.text for entry in self._lists[key]]
        shown = " ".join(map(_quoted, entries[:_SHOWN])) + (" ..." if len(entries) > _SHOWN else "")
        what = _WHAT[key]
        effect = f"no {what} is left out" if self._ignore else f"no {what} is reported"
        if _SAMPLE[key] in entries:
            hint = f"{_SAMPLE[key]!r} in the sample configuration stands for an entry of your own"
        else:
            hint = "case counts, and only an entry between slashes is a pattern"
        example = _quoted(self._examples[key])
        return f"{key} {shown} matches no {what} of this host: {effect}. Entries are compared with {example}; {hint}"


def _quoted(text: str) -> str:
    return repr(text[:_SHOWN_CHARACTERS]) + ("..." if len(text) > _SHOWN_CHARACTERS else "")
