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


class _Named(NamedTuple):
    """An identity, and what of the domain it was made from."""

    name: str
    metadata: str | None
    identity: Identity


class Names:
    """The identity of every active domain.

    A part that is empty stays so, with the ``:`` beside it, as in the C plugin. But the metadata of a domain that has
    none does not make it nameless: where neither format has ``name`` or ``uuid``, its name stands in for its metadata,
    and where the host would be empty, its name is the host.

    Arguments:
        hostname_format: of ``name``, ``uuid``, ``hostname``, ``metadata``; joined with ``:``.
        plugin_instance_format: of ``name``, ``uuid``, ``metadata``; may be empty.
        hostname: the host's own name as collectd has it.
    """

    def __init__(self, hostname_format: Sequence[str], plugin_instance_format: Sequence[str], hostname: str) -> None:
        self._host = tuple(hostname_format)
        self._instance = tuple(plugin_instance_format)
        self._hostname = hostname
        words = {*self._host, *self._instance}
        self._has_metadata = "metadata" in words
        self._stand_in = not words & {"name", "uuid"}
        self._named: dict[str, _Named] = {}
        self._owners: dict[Identity, str] = {}
        self._former: dict[str, _Named] = {}
        """Of domains that are not active; the latest last."""
        self._to_say: dict[str, Identity] = {}
        """Identities that are not what the domain asks for, by domain."""
        self._lock = threading.Lock()

    def of(self, domain: Domain) -> Identity:
        """The domain's identity: the same as long as it is active, unless it is renamed or its metadata changes."""
        named = self._named.get(domain.uuid)
        if named is None or not self._stands(named, domain):
            with self._lock:
                named = self._name(domain)
        if domain.uuid in self._to_say and self._to_say.pop(domain.uuid, None) is not None:
            self._say(domain, named.identity)
        return named.identity

    def of_any(self, domain: Domain) -> Identity:
        """The identity of a domain that need not be active: the one it has, had last, or will have.

        One that is not active owns none: another that becomes active may take it.
        """
        with self._lock:
            known = self._named.get(domain.uuid) or self._former.get(domain.uuid)
            if known is not None and self._stands(known, domain):
                return known.identity
            identity = self._free(self._wanted(domain, domain.description.metadata), domain.uuid)
            if domain.uuid not in self._named:
                self._remember(domain.uuid, _Named(domain.name, domain.description.metadata, identity))
            return identity

    def settle(self, domains: Iterable[Domain]) -> None:
        """Give each domain its identity, the longest running one first: of equal names the older domain has the plain.

        So who bears a mark does not depend on who is read first. Says nothing yet.
        """
        with self._lock:
            for domain in sorted(domains, key=lambda domain: (domain.id < 0, domain.id)):
                self._name(domain)

    def retain(self, uuids: Iterable[str]) -> None:
        """Let every other domain go: its identity is free, and remembered for when it comes back."""
        with self._lock:
            for uuid in self._named.keys() - set(uuids):
                named = self._named.pop(uuid)
                del self._owners[named.identity]
                self._to_say.pop(uuid, None)
                self._remember(uuid, named)

    def _remember(self, uuid: str, named: _Named) -> None:
        self._former.pop(uuid, None)
        self._former[uuid] = named
        if len(self._former) > FORMER:
            del self._former[next(iter(self._former))]

    def _stands(self, named: _Named, domain: Domain) -> bool:
        """Whether an identity is still what the domain asks for; metadata that cannot be had now changes nothing."""
        return named.name == domain.name and (
            not self._has_metadata or domain.description.metadata in (None, named.metadata)
        )

    def _name(self, domain: Domain) -> _Named:
        """Give a domain an identity; to be called with the lock held: two domains must not find the same one free."""
        named = self._named.get(domain.uuid)
        if named is not None:
            if self._stands(named, domain):
                return named
            del self._owners[named.identity]
        former = self._former.pop(domain.uuid, None)
        if former is not None and self._stands(former, domain) and former.identity not in self._owners:
            named = former
        else:
            identity = self._free(self._wanted(domain, domain.description.metadata), domain.uuid)
            named = _Named(domain.name, domain.description.metadata, identity)
        self._named[domain.uuid] = named
        self._owners[named.identity] = domain.uuid
        if named.identity != self._wanted(domain, named.metadata):
            self._to_say[domain.uuid] = named.identity
        return named

    def _say(self, domain: Domain, identity: Identity) -> None:
        log.warning(
            "domain %s: reported as host %s, plugin instance %s: the name it asks for is too long, taken, or holds"
            " characters that collectd's writers cannot take",
            domain.name,
            identity.host or "(this host)",
            identity.plugin_instance or "(none)",
        )

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

    def _wanted(self, domain: Domain, metadata: str | None) -> Identity:
        metadata = metadata or (domain.name if self._stand_in else "")
        values = {"name": domain.name, "uuid": domain.uuid, "hostname": self._hostname, "metadata": metadata}
        host, instance = (":".join(values[part] for part in parts) for parts in (self._host, self._instance))
        # Empty means to collectd the host's own name, so that no domain may have it by accident.
        return Identity("" if self._host == ("hostname",) else host or domain.name, instance)
