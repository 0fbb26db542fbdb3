"""Under which host and plugin instance a domain's values go out.

Domain names are hostile: libvirt admits newlines, ``..`` and 240 bytes; collectd's writers make paths and lines of
them, and collectd cuts what is too long without a word. Two domains must never share an identity.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from virt2.domain import Domain

log = logging.getLogger(__name__)

LONGEST = 127
"""Bytes in a part of an identifier: collectd's DATA_MAX_NAME_LEN of 128, less the final zero."""
_MARK = 9
"""Bytes of the mark that keeps shortened or equal names apart: ``~`` and 8 hexadecimal digits."""
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that break a line, a path or an encoding: controls, surrogates, line and paragraph ends."""


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

    def retain(self, uuids: Iterable[str]) -> None:
        """Forget every other domain; its identity is free again."""
        with self._lock:
            for uuid in self._identities.keys() - set(uuids):
                del self._owners[self._identities.pop(uuid)[1]]

    def _free(self, wanted: Identity, uuid: str) -> Identity:
        """Make an identity fit, and mark it where another domain has it."""
        identity = Identity(presentable(wanted.host), presentable(wanted.plugin_instance))
        return self._apart(identity, uuid) if identity in self._owners else identity

    def _apart(self, taken: Identity, uuid: str) -> Identity:
        """Mark an identity that another domain has; by the UUID's first digits, unless these are taken as well."""
        part = "plugin_instance" if self._host == ("hostname",) else "host"
        digits, identity, attempts = uuid.replace("-", ""), taken, 0
        while identity in self._owners:
            identity = taken._replace(**{part: _marked(getattr(taken, part), digits[: _MARK - 1])})
            attempts += 1
            digits = _digest(f"{uuid} {attempts}")
        return identity

    def _join(self, parts: Sequence[str], domain: Domain) -> str:
        if tuple(parts) == ("hostname",):
            return ""
        values = {"name": domain.name, "uuid": domain.uuid, "hostname": self._hostname}
        return ":".join(values[part] for part in parts)


@functools.lru_cache(maxsize=4096)
def presentable(name: str) -> str:
    """A name that collectd and its writers take: no control characters, no path of dots, not over `LONGEST` bytes.

    A pure function of the name, so that a domain keeps its series; different long names stay different.
    """
    safe = "".join("_" if unicodedata.category(char) in _UNFIT else char for char in name)
    if safe and not safe.strip("."):
        safe = "_" * len(safe)
    if len(safe.encode()) > LONGEST:
        safe = _marked(safe, _digest(name)[: _MARK - 1])
    return safe


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _marked(name: str, digits: str) -> str:
    """Put a mark behind a name, cut so that both fit and no character is torn."""
    return name.encode()[: LONGEST - _MARK].decode(errors="ignore") + "~" + digits
