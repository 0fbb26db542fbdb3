"""The callbacks of virt2 as collectd calls them, over a fake libvirt."""

from __future__ import annotations

import time
import types
from typing import Any

from tests.threads import started
from tests.unit.fake_collectd import FakeCollectd, Node
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.fakes import FakeHypervisor
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits

INTERVAL = 4.0


def limits(max_workers: int) -> Limits:
    return Limits(5, max_workers, 5, 5, 5, 0, max_clients=5000, clients=3)


class Session:
    """What asks for the limits, as `virt2.sources.admin` has it."""

    def __init__(self, host: Host, uri: str) -> None:
        self._host = host
        self._uri = uri

    def limits(self) -> Limits:
        return self._host.read_limits(self._uri)

    def close(self) -> None:
        pass


class Host:
    """What there is on the host: a libvirt, its limits, and no process of any domain."""

    def __init__(self, status_socket: str) -> None:
        self.hypervisor = FakeHypervisor()
        self.status_socket = status_socket
        self.limits: Limits | None = None
        self.uris: list[str] = []
        self.asked: list[str] = []
        self.unseen = ""
        """Why no process of a domain can be seen."""
        self.agents = False
        """Whether virt2 wants to be told of agents that come and go."""

    def connect(self, uri: str, *, agents: bool) -> FakeHypervisor:
        self.uris.append(uri)
        self.agents = agents
        return self.hypervisor

    def session(self, uri: str) -> Session:
        return Session(self, uri)

    def read_limits(self, uri: str) -> Limits:
        self.asked.append(uri)
        if self.limits is None:
            raise AdminUnavailable("refused")
        return self.limits


class Daemon:
    """collectd, doing what it does with a plugin."""

    def __init__(self, module: types.ModuleType, collectd: FakeCollectd, host: Host) -> None:
        self.collectd = collectd
        self._host = host
        self.plugin: Any = module.register(collectd)

    def start(self, *options: Node) -> None:
        """Configure and initialise."""
        if not any(option.key == "Interval" for option in options):
            options = (*options, Node("Interval", INTERVAL))
        if not any(option.key == "StatusSocket" for option in options):
            options = (*options, Node("StatusSocket", self._host.status_socket))
        self.collectd.configs["virt2"](Node("Module", "virt2", children=options))
        self.collectd.inits["virt2"]()

    @property
    def assembly(self) -> Any:
        """What the plugin has built."""
        return self.plugin.assembly

    def read(self, name: str = "0") -> None:
        self.collectd.reads[f"virt2/{name}"]()

    def await_notified(self, count: int) -> None:
        """Wait until so many notifications were sent."""
        limit = time.monotonic() + BOUND
        while len(self.collectd.notified) < count:
            assert time.monotonic() < limit, "no notification came"
            time.sleep(LOOK)

    def series(self, host: str) -> set[str]:
        """What was dispatched for a host, by type."""
        return {values.type for values in self.collectd.dispatched if values.host == host}

    @property
    def plan(self) -> list[str]:
        return [text for text in self.collectd.texts("info") if "budget" in text]


def await_log(collectd: FakeCollectd, level: str, count: int) -> None:
    """Wait until so many lines were logged; no more of them may come."""
    limit = time.monotonic() + BOUND
    while len(collectd.texts(level)) < count or any(t.name == "virt2/look" for t in started()):
        assert time.monotonic() < limit, "no line came"
        time.sleep(LOOK)
    assert len(collectd.texts(level)) == count


def labelled(collectd: FakeCollectd, kind: str, host: str = "web") -> set[str]:
    """The type instances of what was dispatched of a type for a domain."""
    return {values.type_instance for values in collectd.dispatched if (values.host, values.type) == (host, kind)}


def asked(host: Host, call: str) -> set[str]:
    return {device for name, _, device in host.hypervisor.calls if name == call}
