"""Under which host and plugin instance a domain's values go out: two domains must never share an identity.

Neither does a domain share one with what virt2 says of itself, under the host's own name. What counts is what collectd
writes: ``shop/db`` and ``shop_db`` are the same to it, and so are no host at all and the host's own name.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from virt2.model.domain import Domain
from virt2.text.identifiers import MARK, digest, marked, whole, written

log = logging.getLogger(__name__)

FORMER = 1024
"""Domains that are not active whose identity is remembered, besides those that are listed as inactive."""


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
    active: bool
    """Whether the domain had it while it was active: then it keeps it. One that was not gives way."""


class Names:
    """The identity of every active domain.

    A part that is empty stays so, with the ``:`` beside it, as in the C plugin. But the metadata of a domain that has
    none does not make it nameless: where neither format has ``name`` or ``uuid``, its name stands in for its metadata,
    and where the host would be empty, its name is the host.

    Arguments:
        hostname_format: of ``name``, ``uuid``, ``hostname``, ``metadata``; joined with ``:``.
        plugin_instance_format: of ``name``, ``uuid``, ``metadata``; may be empty.
        hostname: the host's own name as collectd has it.
        reserved: plugin instances that virt2 has for itself under the host's own name: its readers, and libvirtd.
    """

    def __init__(
        self,
        hostname_format: Sequence[str],
        plugin_instance_format: Sequence[str],
        hostname: str,
        reserved: Collection[str] = (),
    ) -> None:
        self._host = tuple(hostname_format)
        self._instance = tuple(plugin_instance_format)
        self._hostname = hostname
        self._own_host = whole(hostname)
        self._reserved = frozenset(Identity(self._own_host, whole(instance)) for instance in reserved)
        words = {*self._host, *self._instance}
        self._has_metadata = "metadata" in words
        self._stand_in = not words & {"name", "uuid"}
        self._named: dict[str, _Named] = {}
        """Of active domains."""
        self._former: dict[str, _Named] = {}
        """Of domains that are not active; the latest last."""
        self._idle: frozenset[str] = frozenset()
        """Domains that are listed as inactive."""
        self._owners: dict[Identity, str] = {}
        """The domain of each identity as collectd writes it, active or not."""
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

        One that is not active gives its identity up where another that is active asks for it.
        """
        with self._lock:
            return self._of_any(domain)

    def settle(self, domains: Iterable[Domain]) -> None:
        """Give each domain its identity, the longest running one first: of equal names the older domain has the plain.

        So who bears a mark does not depend on who is read first. Says nothing yet.
        """
        with self._lock:
            for domain in sorted(domains, key=lambda domain: (domain.id < 0, domain.id)):
                self._name(domain)

    def settle_idle(self, domains: Iterable[Domain]) -> None:
        """Give identities to all domains that are listed as inactive, by UUID, after the active ones.

        However many there are, each keeps its own for as long as it is listed.
        """
        with self._lock:
            listed = sorted(domains, key=lambda domain: domain.uuid)
            self._idle = frozenset(domain.uuid for domain in listed)
            for domain in listed:
                self._of_any(domain)

    def retain(self, uuids: Iterable[str]) -> None:
        """Let every other domain go: it keeps its identity for when it comes back, unless an active one takes it."""
        with self._lock:
            for uuid in self._named.keys() - set(uuids):
                self._to_say.pop(uuid, None)
                self._remember(uuid, self._named.pop(uuid))

    def _of_any(self, domain: Domain) -> Identity:
        """Caller holds the lock."""
        known = self._named.get(domain.uuid) or self._former.get(domain.uuid)
        if known is not None and self._stands(known, domain):
            return known.identity
        active = domain.id >= 0
        identity = self._free(self._wanted(domain, domain.description.metadata), domain.uuid, active)
        if domain.uuid not in self._named:
            self._forget(domain.uuid)
            self._take(identity, domain.uuid)
            self._remember(domain.uuid, _Named(domain.name, domain.description.metadata, identity, active))
        return identity

    def _remember(self, uuid: str, named: _Named) -> None:
        """Keep the identity of a domain that is not active. Caller holds the lock."""
        self._former[uuid] = named
        if len(self._former) > FORMER + len(self._idle):
            self._forget(next(uuid for uuid in self._former if uuid not in self._idle))

    def _forget(self, uuid: str) -> None:
        """Free the identity of a domain that is not active. Caller holds the lock."""
        former = self._former.pop(uuid, None)
        if former is not None:
            self._release(former.identity, uuid)

    def _take(self, identity: Identity, uuid: str) -> None:
        """Make an identity the domain's; another that is not active has to look for one anew. Caller holds the lock."""
        written = self._written(identity)
        owner = self._owners.get(written)
        if owner is not None and owner != uuid:
            self._forget(owner)
        self._owners[written] = uuid

    def _release(self, identity: Identity, uuid: str) -> None:
        """Caller holds the lock."""
        written = self._written(identity)
        if self._owners.get(written) == uuid:
            del self._owners[written]

    def _stands(self, named: _Named, domain: Domain) -> bool:
        """Whether an identity is still what the domain asks for; metadata that cannot be had now changes nothing."""
        return named.name == domain.name and (
            not self._has_metadata or domain.description.metadata in (None, named.metadata)
        )

    def _name(self, domain: Domain) -> _Named:
        """Give an active domain an identity; with the lock held: two domains must not find the same one free."""
        named = self._named.get(domain.uuid)
        if named is not None:
            if self._stands(named, domain):
                return named
            self._release(named.identity, domain.uuid)
        former = self._former.pop(domain.uuid, None)
        if former is not None and former.active and self._stands(former, domain):
            named = former
        else:
            if former is not None:
                self._release(former.identity, domain.uuid)
            metadata = domain.description.metadata
            if metadata is None and former is not None and former.name == domain.name:
                metadata = former.metadata
            identity = self._free(self._wanted(domain, metadata), domain.uuid, active=True)
            named = _Named(domain.name, metadata, identity, active=True)
        self._named[domain.uuid] = named
        self._take(named.identity, domain.uuid)
        if self._written(named.identity) != self._written(_slashless(self._wanted(domain, named.metadata))):
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

    def _free(self, wanted: Identity, uuid: str, active: bool) -> Identity:
        """Make an identity fit, and mark it where it is not to be had. Caller holds the lock."""
        identity = Identity(whole(wanted.host), whole(wanted.plugin_instance))
        return identity if self._is_free(identity, uuid, active) else self._apart(identity, uuid, active)

    def _is_free(self, identity: Identity, uuid: str, active: bool) -> bool:
        """Whether a domain may have an identity: an active one may have that of one that is not."""
        written = self._written(identity)
        owner = self._owners.get(written, uuid)
        return written not in self._reserved and (owner == uuid or (active and owner not in self._named))

    def _apart(self, taken: Identity, uuid: str, active: bool) -> Identity:
        """Mark an identity that is taken; by the UUID's first digits, unless these are taken as well."""
        part = "plugin_instance" if self._host == ("hostname",) else "host"
        digits, identity, attempts = uuid.replace("-", ""), taken, 0
        while not self._is_free(identity, uuid, active):
            identity = taken._replace(**{part: marked(getattr(taken, part), digits[:MARK])})
            attempts += 1
            digits = digest(f"{uuid} {attempts}")
        return identity

    def _written(self, identity: Identity) -> Identity:
        """The same as collectd writes it, which fills in the host's own name."""
        return identity if identity.host else identity._replace(host=self._own_host)

    def _wanted(self, domain: Domain, metadata: str | None) -> Identity:
        metadata = metadata or (domain.name if self._stand_in else "")
        values = {"name": domain.name, "uuid": domain.uuid, "hostname": self._hostname, "metadata": metadata}
        host, instance = (":".join(values[part] for part in parts) for parts in (self._host, self._instance))
        # Empty means to collectd the host's own name, so that no domain may have it by accident.
        return Identity("" if self._host == ("hostname",) else host or domain.name, instance)


def _slashless(identity: Identity) -> Identity:
    """What every operator expects of collectd: that is nothing to say."""
    return Identity(*map(written, identity))
