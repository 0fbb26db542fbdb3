"""Under which host and plugin instance a domain's values go out: two domains must never share an identity."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from virt2.domain import Domain
from virt2.identifiers import MARK, digest, marked, presentable

log = logging.getLogger(__name__)

FORMER = 1024
"""Domains that are not active whose identity is remembered."""


class Identity(NamedTuple):
    """What names a domain's values in collectd, besides plugin and type."""

    host: str
    """Empty for the host's own name, which collectd fills in."""
    plugin_instance: str


class Names:
    """The identity of every active domain.

    Arguments:
        hostname_format: of ``name``, ``uuid``, ``hostname``; joined with ``:``.
        plugin_instance_format: of ``name``, ``uuid``; may be empty.
        hostname: the host's own name as collectd has it.
    """

    def __init__(self, hostname_format: Sequence[str], plugin_instance_format: Sequence[str], hostname: str) -> None:
        self._host = tuple(hostname_format)
        self._instance = tuple(plugin_instance_format)
        self._hostname = hostname
        self._identities: dict[str, tuple[str, Identity]] = {}
        self._owners: dict[Identity, str] = {}
        self._former: dict[str, tuple[str, Identity]] = {}
        """Of domains that are not active, with the name each had; the latest last."""
        self._lock = threading.Lock()

    def of(self, domain: Domain) -> Identity:
        """The domain's identity: the same as long as it is active."""
        known = self._identities.get(domain.uuid)
        if known is not None and known[0] == domain.name:
            return known[1]
        wanted = Identity(self._join(self._host, domain), self._join(self._instance, domain))
        with self._lock:
            # Readers ask at the same time: two domains must not find the same identity free.
            if known is not None:
                self._owners.pop(known[1], None)
            former = self._former.pop(domain.uuid, None)
            if former is not None and former[0] == domain.name and former[1] not in self._owners:
                identity = former[1]
            else:
                identity = self._free(wanted, domain.uuid)
            self._identities[domain.uuid] = (domain.name, identity)
            self._owners[identity] = domain.uuid
        if identity != wanted:
            log.warning(
                "domain %s: reported as host %s, plugin instance %s: the name it asks for is too long, taken, or holds"
                " characters that collectd's writers cannot take",
                domain.name,
                identity.host or "(this host)",
                identity.plugin_instance or "(none)",
            )
        return identity

    def of_any(self, domain: Domain) -> Identity:
        """The identity of a domain that need not be active: the one it has, had last, or will have.

        One that is not active owns none: another that becomes active may take it.
        """
        with self._lock:
            known = self._identities.get(domain.uuid) or self._former.get(domain.uuid)
            if known is not None and known[0] == domain.name:
                return known[1]
            identity = self._free(
                Identity(self._join(self._host, domain), self._join(self._instance, domain)), domain.uuid
            )
            if domain.uuid not in self._identities:
                self._remember(domain.uuid, domain.name, identity)
            return identity

    def retain(self, uuids: Iterable[str]) -> None:
        """Let every other domain go: its identity is free, and remembered for when it comes back."""
        with self._lock:
            for uuid in self._identities.keys() - set(uuids):
                name, identity = self._identities.pop(uuid)
                del self._owners[identity]
                self._remember(uuid, name, identity)

    def _remember(self, uuid: str, name: str, identity: Identity) -> None:
        self._former.pop(uuid, None)
        self._former[uuid] = name, identity
        if len(self._former) > FORMER:
            del self._former[next(iter(self._former))]

    def _free(self, wanted: Identity, uuid: str) -> Identity:
        """Make an identity fit, and mark it where another domain has it."""
        identity = Identity(presentable(wanted.host), presentable(wanted.plugin_instance))
        return self._apart(identity, uuid) if identity in self._owners else identity

    def _apart(self, taken: Identity, uuid: str) -> Identity:
        """Mark an identity that another domain has; by the UUID's first digits, unless these are taken as well."""
        part = "plugin_instance" if self._host == ("hostname",) else "host"
        digits, identity, attempts = uuid.replace("-", ""), taken, 0
        while identity in self._owners:
            identity = taken._replace(**{part: marked(getattr(taken, part), digits[:MARK])})
            attempts += 1
            digits = digest(f"{uuid} {attempts}")
        return identity

    def _join(self, parts: Sequence[str], domain: Domain) -> str:
        if tuple(parts) == ("hostname",):
            return ""
        values = {"name": domain.name, "uuid": domain.uuid, "hostname": self._hostname}
        return ":".join(values[part] for part in parts)
