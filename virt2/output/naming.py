"""Under which host and plugin instance a domain's values go out. Two domains must never share an identity.

A domain must not share one with what virt2 reports about itself either, which is under the host's own name. Identities
are compared as collectd writes them: ``shop/db`` and ``shop_db`` are the same to it, and no host at all is the same as
the host's own name.
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
"""How many domains that are gone are remembered with their identity, in addition to those listed as inactive."""


class Identity(NamedTuple):
    """What a domain's values are called in collectd, in addition to plugin and type."""

    host: str
    """Empty for the host's own name, which collectd adds."""
    plugin_instance: str


class _Named(NamedTuple):
    """An identity, and the domain's name and metadata that it was made from."""

    name: str
    metadata: str | None
    identity: Identity
    active: bool
    """Whether the domain had it while it was active. Then it keeps the identity, else another domain may take it."""


class Names:
    """The identity of every active domain.

    A part that is empty stays empty, with the ``:`` beside it, as in the C plugin. But a domain without metadata still
    has a name: where neither format has ``name`` or ``uuid``, its name is used instead of its metadata, and where the
    host would be empty, its name is the host.

    Arguments:
        hostname_format: some of ``name``, ``uuid``, ``hostname``, ``metadata``; joined with ``:``.
        plugin_instance_format: some of ``name``, ``uuid``, ``metadata``; may be empty.
        hostname: the host's own name in collectd.
        reserved: plugin instances that virt2 uses under the host's own name: its readers, and libvirtd.
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
        """Of domains that are not active. The one that was active last is the last."""
        self._idle: frozenset[str] = frozenset()
        """Domains that are listed as inactive."""
        self._owners: dict[Identity, str] = {}
        """The domain of each identity as collectd writes it, whether the domain is active or not."""
        self._to_say: dict[str, Identity] = {}
        """By domain, the identities that are still to be logged, because they are not what the domain asks for."""
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Names {len(self._named)} domains>"

    def of(self, domain: Domain) -> Identity:
        """Give the domain's identity. It stays while the domain is active, unless its name or metadata changes."""
        named = self._named.get(domain.uuid)
        if named is None or not self._stands(named, domain):
            with self._lock:
                named = self._name(domain)
        if domain.uuid in self._to_say and self._to_say.pop(domain.uuid, None) is not None:
            self._say(domain, named.identity)
        return named.identity

    def known(self) -> dict[str, Identity]:
        """Give the identities that active domains have, by UUID. This gives none, and any thread may ask."""
        return {uuid: named.identity for uuid, named in self._named.copy().items()}

    def changed(self, domain: Domain) -> Identity | None:
        """Give the identity of an active domain, where that is not what the domain asks for; else None.

        `of` logs the same. Whoever asks here says it in words of its own, and `of` says it no more.
        """
        with self._lock:
            named = self._name(domain)
            self._to_say.pop(domain.uuid, None)
            return named.identity if self._is_changed(domain, named) else None

    def of_any(self, domain: Domain) -> Identity:
        """Give the identity of a domain that may be inactive: the one that it has, had last, or will have.

        A domain that is not active loses its identity if an active one asks for it.
        """
        with self._lock:
            return self._of_any(domain)

    def settle(self, domains: Iterable[Domain]) -> None:
        """Give each domain its identity, first the one that runs longest.

        If several domains have the same name, the oldest has the name without a mark. So it does not depend on the
        order of reads which domain has a mark. Nothing is logged yet.
        """
        with self._lock:
            for domain in sorted(domains, key=lambda domain: (domain.id < 0, domain.id)):
                self._name(domain)

    def settle_idle(self, domains: Iterable[Domain]) -> None:
        """Give identities to all domains that are listed as inactive, in the order of UUIDs, after the active ones.

        Each keeps its identity while it is listed, even if there are many.
        """
        with self._lock:
            listed = sorted(domains, key=lambda domain: domain.uuid)
            self._idle = frozenset(domain.uuid for domain in listed)
            for domain in listed:
                self._of_any(domain)

    def retain(self, uuids: Iterable[str]) -> None:
        """Note that all other domains are gone.

        When one of them is back it has its identity again, unless an active domain has taken it.
        """
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
        wanted = self._wanted(domain, domain.description.metadata)
        if active and self._is_namesakes(wanted, domain):
            return _fit(wanted)
        identity = self._free(wanted, domain.uuid, active)
        if domain.uuid not in self._named:
            self._forget(domain.uuid)
            self._take(identity, domain.uuid)
            self._remember(domain.uuid, _Named(domain.name, domain.description.metadata, identity, active))
        return identity

    def _is_namesakes(self, wanted: Identity, domain: Domain) -> bool:
        """Whether another domain of the same name has what an active one asks for. Caller holds the lock.

        libvirt has one domain of a name at a time, so that one has ended, as the next list will tell. A few drivers
        have several. So nothing is kept of this: if both are in the next list, the later one gets its mark then.
        """
        owner = self._named.get(self._owners.get(self._written(_fit(wanted)), ""))
        return owner is not None and owner.name == domain.name and domain.uuid not in self._named

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
        """Make an identity the domain's own. Another domain that had it and is not active loses it.

        Caller holds the lock.
        """
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
        """Whether an identity is still what the domain asks for. Metadata that cannot be read now changes nothing."""
        return named.name == domain.name and (
            not self._has_metadata or domain.description.metadata in (None, named.metadata)
        )

    def _name(self, domain: Domain) -> _Named:
        """Give an active domain an identity. Caller holds the lock: two domains must not find the same one free."""
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
        if self._is_changed(domain, named):
            self._to_say[domain.uuid] = named.identity
        return named

    def _is_changed(self, domain: Domain, named: _Named) -> bool:
        """Whether an identity is not what the domain asks for."""
        return self._written(named.identity) != self._written(_slashless(self._wanted(domain, named.metadata)))

    def _say(self, domain: Domain, identity: Identity) -> None:
        log.warning(
            "domain %s: it is reported as host %s, plugin instance %s, because the name it asks for is too long, is"
            " taken, or has characters that collectd's writers cannot take",
            domain.name,
            identity.host or "(this host)",
            identity.plugin_instance or "(none)",
        )

    def _free(self, wanted: Identity, uuid: str, active: bool) -> Identity:
        """Make an identity that collectd accepts, with a mark if it is taken. Caller holds the lock."""
        identity = _fit(wanted)
        return identity if self._is_free(identity, uuid, active) else self._apart(identity, uuid, active)

    def _is_free(self, identity: Identity, uuid: str, active: bool) -> bool:
        """Whether a domain may have an identity. An active domain may have the identity of one that is not active."""
        written = self._written(identity)
        owner = self._owners.get(written, uuid)
        return written not in self._reserved and (owner == uuid or (active and owner not in self._named))

    def _apart(self, taken: Identity, uuid: str, active: bool) -> Identity:
        """Put a mark behind an identity that is taken: the UUID's first digits, or others if these are taken."""
        part = "plugin_instance" if self._host == ("hostname",) else "host"
        digits, identity, attempts = uuid.replace("-", ""), taken, 0
        while not self._is_free(identity, uuid, active):
            identity = taken._replace(**{part: marked(getattr(taken, part), digits[:MARK])})
            attempts += 1
            digits = digest(f"{uuid} {attempts}")
        return identity

    def _written(self, identity: Identity) -> Identity:
        """Give an identity as collectd writes it: collectd adds the host's own name."""
        return identity if identity.host else identity._replace(host=self._own_host)

    def _wanted(self, domain: Domain, metadata: str | None) -> Identity:
        metadata = metadata or (domain.name if self._stand_in else "")
        values = {"name": domain.name, "uuid": domain.uuid, "hostname": self._hostname, "metadata": metadata}
        host, instance = (":".join(values[part] for part in parts) for parts in (self._host, self._instance))
        # To collectd, an empty host means the host's own name. So no domain may have an empty host by accident.
        return Identity("" if self._host == ("hostname",) else host or domain.name, instance)


def _fit(identity: Identity) -> Identity:
    """Make an identity one that collectd accepts."""
    return Identity(*map(whole, identity))


def _slashless(identity: Identity) -> Identity:
    """Replace slashes as collectd does. Every operator expects that, so nothing is logged for it."""
    return Identity(*map(written, identity))
