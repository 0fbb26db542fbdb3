"""Tells whether a host's device of some name is still the one that a domain's description means.

Names of taps are used again: the ``vnet3`` of a domain that has ended soon belongs to another one. Counters that are
read off the host by name are a domain's own only while libvirt's list, and the descriptions, are known to be current.
Where they are not, and where two domains claim one name, the device is left to libvirt, which knows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from virt2.model.domain import Domain
from virt2.model.replies import NicStats


class ActiveDomains(Protocol):
    """The active domains (see `virt2.domains.inventory.Inventory`)."""

    @property
    def version(self) -> int:
        """Changes whenever a domain comes, goes or is described again."""

    def domains(self) -> tuple[int, list[Domain]]:
        """All of them, and the version."""


class Taps:
    """Tells the devices of one reader's domains from others that go by the same name now.

    Arguments:
        inventory: the active domains of all readers.
        index: the kernel's number for a device, which is never used again; OSError where there is none of that name.
    """

    def __init__(self, inventory: ActiveDomains, index: Callable[[str], int] = socket.if_nametoindex) -> None:
        self._inventory = inventory
        self._index = index
        self._version: int | None = None
        self._claimed_twice: frozenset[str] = frozenset()
        self._known: dict[str, tuple[Domain, dict[str, int]]] = {}
        """By domain: what it was when its devices were looked up last, and their numbers."""

    def sure(
        self, counters: Mapping[str, NicStats], domains: Sequence[Domain], current: bool
    ) -> Mapping[str, NicStats]:
        """The counters without those of devices that may not be the domains' own.

        Args:
            counters: of the host's devices by name.
            domains: the reader's.
            current: whether they are as libvirt listed them just now.
        """
        if not counters:
            return counters
        if self._version != self._inventory.version:
            self._review(domains)
        unsure = set(self._claimed_twice)
        for domain in domains:
            known = self._known.get(domain.uuid)
            if known is None or known[0] is not domain:
                if known is None or current or not _is_same(known[0], domain):
                    self._known[domain.uuid] = (domain, self._look_up(domain))
                    continue
                known = (domain, known[1])
            if not current:
                unsure |= self._exchanged(known[1])
        return {name: counters[name] for name in counters.keys() - unsure} if unsure else counters

    def _review(self, domains: Sequence[Domain]) -> None:
        """Find the names that more than one domain claims, and forget domains that are not the reader's any more."""
        self._version, everybody = self._inventory.domains()
        seen: set[str] = set()
        twice: set[str] = set()
        for domain in everybody:
            for nic in domain.description.nics:
                if nic.tap:
                    (twice if nic.target in seen else seen).add(nic.target)
        self._claimed_twice = frozenset(twice)
        own = {domain.uuid for domain in domains}
        self._known = {uuid: known for uuid, known in self._known.items() if uuid in own}

    def _look_up(self, domain: Domain) -> dict[str, int]:
        return {nic.target: self._number(nic.target) for nic in domain.description.nics if nic.tap}

    def _exchanged(self, numbers: Mapping[str, int]) -> set[str]:
        """The names that are another device's now."""
        return {name for name, number in numbers.items() if self._number(name) != number}

    def _number(self, name: str) -> int:
        """The kernel's number for a device, 0 where there is none."""
        try:
            return self._index(name)
        except (OSError, ValueError):
            # The second where the locale of the daemon has no such characters as are in the name.
            return 0


def _is_same(one: Domain, other: Domain) -> bool:
    return (one.id, one.description.nics) == (other.id, other.description.nics)
