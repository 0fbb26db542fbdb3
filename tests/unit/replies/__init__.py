"""What libvirts of several versions said of their domains, recorded by tests/record_replies.py, and replayed.

Each file says where it comes from. Those named after a version are recordings of real ones; `derived.json` is written
by hand where no real one could be had, after a recording and libvirt's documentation, and says for each domain what
was changed.

A recording is replayed below the real `virt2.sources.hypervisor`. It and all else that imports libvirt is loaded once
more for each recording, with a stand-in for libvirt-python that knows the names its version knew: libvirt itself need
not be there.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.unit import doors
from tests.unit.doors import LibvirtError

FOLDER = Path(__file__).parent
NO_DOMAIN = 42
"""VIR_ERR_NO_DOMAIN."""
NO_DOMAIN_METADATA = 80
"""VIR_ERR_NO_DOMAIN_METADATA."""


class Recording:
    """One file."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._said = json.loads(path.read_text())
        self.origin: str = self._said["origin"]
        self.domains = tuple(self._said["domains"])
        self.constants: dict[str, int] = self._said["constants"]
        """The numbers that its libvirt-python knew, by their names."""
        self.doors = doors.load(self.constants, virDomain=ReplayedDomain)
        """The modules that import libvirt, loaded for this one."""

    def __repr__(self) -> str:
        return f"<Recording {self.name}>"

    def note(self, domain: str) -> str:
        """What is special about a domain."""
        return str(self._said["domains"][domain]["note"])

    def xml(self, domain: str) -> str:
        """Its live XML."""
        return "\n".join(self._said["domains"][domain]["xml"])

    def bulk(self, domain: str, group: str) -> dict[str, Any]:
        """Its bulk statistics of one group, as recorded; KeyError for a group its libvirt did not have."""
        return dict(_replay(self._said["domains"][domain]["bulk"][group]))

    def connection(self, domain: str) -> Any:
        """A `virt2.sources.hypervisor.Connection` to a libvirt with this domain only."""
        raw = ReplayedConnection(self._said, ReplayedDomain(domain, self._said["domains"][domain]))
        return self.doors["hypervisor"].Connection(raw, events=False)


class ReplayedDomain:
    """A `libvirt.virDomain`."""

    def __init__(self, name: str, said: dict[str, Any]) -> None:
        self._name = name
        self.said = said
        self._xml = "\n".join(said["xml"])

    def name(self) -> str:
        return self._name

    def ID(self) -> int:
        return 1

    def UUIDString(self) -> str:
        return self._xml.partition("<uuid>")[2].partition("</uuid>")[0]

    def XMLDesc(self, flags: int = 0) -> str:
        return self._xml

    def isActive(self) -> int:
        return 1

    def metadata(self, kind: int, uri: str, flags: int = 0) -> str:
        raise LibvirtError(NO_DOMAIN_METADATA, 0, "metadata not found: Requested metadata element is not present")

    def jobStats(self, flags: int = 0) -> Any:
        return _replay(self.said["replies"]["jobStats completed" if flags else "jobStats"])

    def __getattr__(self, call: str) -> Callable[..., Any]:
        """Any other call: those of a disk or an interface have its name first, others have flags at most."""
        replies = self.said["replies"].get(call)
        if replies is None:
            raise AttributeError(call)

        def answer(*arguments: Any) -> Any:
            device = next((one for one in arguments if isinstance(one, str)), None)
            return _replay(replies if device is None else replies[device])

        return answer


class ReplayedConnection:
    """A `libvirt.virConnect`."""

    def __init__(self, said: dict[str, Any], domain: ReplayedDomain) -> None:
        self._said = said
        self._domain = domain

    def isAlive(self) -> int:
        return 1

    def getInfo(self) -> Any:
        return _replay(self._said["host"])

    def lookupByUUIDString(self, uuid: str) -> ReplayedDomain:
        if uuid != self._domain.UUIDString():
            raise LibvirtError(NO_DOMAIN, 0, "Domain not found")
        return self._domain

    def listAllDomains(self, flags: int) -> list[ReplayedDomain]:
        return [self._domain]

    def domainListGetStats(
        self, domains: list[ReplayedDomain], groups: int, flags: int = 0
    ) -> list[tuple[ReplayedDomain, dict[str, Any]]]:
        """Those of the groups asked for that were recorded; libvirt leaves out what it does not know."""
        prefix = "VIR_DOMAIN_STATS_"
        found: dict[str, Any] = {}
        for name, number in self._said["constants"].items():
            if name.startswith(prefix) and number & groups:
                found.update(_replay(self._domain.said["bulk"][name[len(prefix) :]]))
        return [(self._domain, found)]


def recordings() -> list[Recording]:
    """All there are."""
    return [Recording(path) for path in sorted(FOLDER.glob("*.json"))]


def _replay(reply: dict[str, Any]) -> Any:
    if "error" in reply:
        raise LibvirtError(*reply["error"])
    return reply["value"]
