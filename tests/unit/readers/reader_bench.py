"""Readers over a fake libvirt, with all that a daemon gives them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

from tests.unit.fake_time import Clock
from tests.unit.fakes import TAG_NAMESPACE, FakeHypervisor, FakeProcesses, NicStats
from virt2.description import domainxml, storage
from virt2.domains.discovery import Discovery
from virt2.domains.entries import Describe, Describing
from virt2.domains.health import Healths
from virt2.domains.inventory import Inventory, Listeners, Schedule
from virt2.metrics.metric import Metric
from virt2.metrics.selectors import Selection
from virt2.model.domain import Description
from virt2.notifications.alarms import Alarms
from virt2.output.naming import Identity, Names
from virt2.readers.context import Clocks, Domains, Outputs, Timing, Workers
from virt2.readers.gate import Gate
from virt2.readers.groups import Groups, Readers
from virt2.readers.kernel import Host
from virt2.readers.partition import Explicit
from virt2.readers.reader import HostSources, Reader
from virt2.readers.records import Record
from virt2.readers.sampling import Sampler
from virt2.workers.budget import Budget
from virt2.workers.pool import TICK, Pool, Runtime

INTERVAL = 10.0
TIMEOUT = 1.5
STUCK_AFTER = 2.0
REFRESH = 7200.0
"""Longer than a test, because a domain is due at some time of it."""
CLASS_NETWORK = {"if_octets", "if_packets", "if_errors", "if_dropped"}
CLASS_A = {"virt_cpu_total", "memory"} | CLASS_NETWORK
CLASS_B = {"disk_octets", "disk_ops"}
INCOMPLETE = "<incomplete/>"
"""In a domain's metadata: not all of it is known."""
FOLDERS = ("/images", "/nfs", "/san")
"""Where images may lie: each a storage domain of its own."""


class Guest(NamedTuple):
    """A process of a domain."""

    name: str
    uuid: str


class Stamps(NamedTuple):
    """What libvirt keeps of running domains in files, of which only changes can be seen."""

    stamps: Mapping[str, object]

    def stamp(self, name: str) -> object:
        return self.stamps.get(name)

    def xml(self, name: str) -> str:
        return ""


class Point(NamedTuple):
    host: str
    plugin_instance: str
    type: str
    type_instance: str
    values: tuple[float, ...]
    time: float


class Sink:
    """Takes what is dispatched."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.metas: list[Mapping[str, str]] = []

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        self.points += [Point(*identity, *metric, when) for metric in metrics]
        if meta is not None:
            self.metas.append(meta)


class Bench:
    """Readers over a fake libvirt, as `virt2.plugin` puts them together."""

    def __init__(
        self,
        readers: str = "",
        size: int = 10,
        share: int = 9,
        extra: Collection[str] = (),
        describes_idle: bool = False,
        kernel: bool = False,
        refresh: float = REFRESH,
    ) -> None:
        self.hypervisor = FakeHypervisor()
        self.clock = Clock(self.hypervisor.stage)
        self.budget = Budget(size, lambda: self.hypervisor.daemon)
        self.sink = Sink()
        self.texts: list[tuple[str, str, str, str, str]] = []
        """Notifications of texts that libvirt has among numbers."""
        self.notifications: list[tuple[str, str, str]] = []
        self.stamps: dict[str, object] = {}
        """Those of the domains' status files, where they can be seen."""
        self.inventory = Inventory(
            self.hypervisor,
            self.budget,
            Describing(describer, Stamps(self.stamps), idle=describes_idle),
            schedule=Schedule(retry=INTERVAL, refresh=refresh, paused=kernel),
            listeners=Listeners(on_event=lambda event: self.healths.tell(event, self.clock())),
            clock=self.clock,
        )
        self.clock.watch_inventory(self.inventory)
        self.healths = Healths()
        self.refresh = refresh
        self.processes = FakeProcesses(self.hypervisor) if kernel else None
        self.counters: dict[str, NicStats] = {}
        """Those of the host's network devices."""
        self.names = Names(("name",), (), "node1")
        self.groups = Groups(
            self.inventory,
            Readers([Explicit(name, (name.__eq__,)) for name in readers.split()], automatic=1),
            interval=INTERVAL,
            on_change=lambda uuids: self.healths.retain(uuids),
            clock=self.clock,
        )
        self.gate = Gate(
            processes=self.processes,
            check_workers=self.inventory.check_workers,
            doubt=self.budget.doubt,
            stuck_after=STUCK_AFTER,
            clock=self.clock,
        )
        self.alarms = Alarms(STUCK_AFTER, self._notify, clock=self.clock)
        self.waits: dict[str, Callable[[threading.Event, float], bool]] = {}
        """What the reads of a pool do instead of waiting, by its name."""
        self.guests: list[Guest] = []
        self.discovery_pool = self._pool("scout", 1)
        discovery = Discovery(self.inventory, self.budget, self.discovery_pool, lambda: self.guests)
        self.domains = Domains(self.inventory, discovery, self.groups, self.healths, self.names, self.alarms)
        self.selection = Selection(extra)
        self.put: dict[str, Callable[[Record], None]] = {}
        self.pools = {name: self._pool(name, share) for name in [*readers.split(), "0"]}
        self.readers = {name: self._reader(name) for name in self.pools}

    def _notify_text(self, severity: str, message: str, identity: Identity, *, type: str, type_instance: str) -> None:
        self.texts.append((severity, identity.host, type, type_instance, message))

    def _pool(self, name: str, share: int) -> Pool:
        def wait(event: threading.Event, seconds: float) -> bool:
            return self.waits.get(name, self.clock.wait)(event, seconds)

        pool = Pool(name, self.budget, self.hypervisor.connect, share=share, runtime=Runtime(self.clock, wait))
        self.clock.watch(self.budget, pool)
        return pool

    def _reader(self, name: str) -> Reader:
        def sampler(put: Callable[[Record], None], host: Host) -> Sampler:
            self.put[name] = put
            return Sampler(
                put,
                self.gate,
                host=host,
                extra=lambda uuid: self.selection,
                clocks=Clocks(self.clock, self.clock.wall),
            )

        return Reader(
            name,
            domains=self.domains,
            workers=Workers(self.pools[name], self.budget, lambda: self.inventory.silent),
            sampler=sampler,
            outputs=Outputs(self.sink, self._notify_text),
            timing=self.timing(INTERVAL, INTERVAL),
            host=HostSources(lambda: self.counters, self.processes),
        )

    def timing(self, interval: float, tick: float) -> Timing:
        return Timing(TIMEOUT, interval, tick, Clocks(self.clock, self.clock.wall), self.refresh)

    def _notify(self, severity: str, message: str, identity: Identity) -> None:
        self.notifications.append((severity, message, identity.host))

    def read(self, name: str = "0") -> list[Point]:
        """Let an interval pass and a reader read; returns what it dispatched."""
        self.clock.now += INTERVAL
        self.sink.points.clear()
        self.hypervisor.calls.clear()
        began = self.clock()
        self.readers[name].read()
        assert self.clock() - began <= TIMEOUT + TICK
        return list(self.sink.points)

    def of(self, host: str) -> dict[str, float]:
        """The first values of what the last read dispatched for a domain, by type and type instance.

        Only what the read before could not tell comes with an earlier point.
        """
        points = [point for point in self.sink.points if point.host == host]
        times: dict[tuple[str, ...], float] = {}
        for point in points:
            assert point.type_instance == "monitor_blocked" or point[:4] not in times, "a series with two points"
            assert times.get(point[:4], -1.0) < point.time, "a series that runs backwards"
            times[point[:4]] = point.time
        return {"-".join(filter(None, (point.type, point.type_instance))): point.values[0] for point in points}

    def types(self, host: str) -> set[str]:
        """The types of libvirt's own counters that the last read dispatched for a domain."""
        return {point.type for point in self.sink.points if point.host == host} - {"duration"}

    def own(self, name: str = "0") -> dict[str, float]:
        """What the last read said of a reader."""
        return {
            point.type_instance: point.values[0]
            for point in self.sink.points
            if (point.host, point.plugin_instance) == ("", name)
        }

    def end(self) -> None:
        self.inventory.stop()
        for pool in (*self.pools.values(), self.discovery_pool):
            pool.stop()
        self.hypervisor.cut()


def describer() -> Describe:
    mounts = storage.Mounts.parse("".join(f"1 1 0:1 / {folder} rw - ext4 /dev/x rw\n" for folder in FOLDERS))

    def describe(name: str, xml: str, fetch: Callable[[str], str], backup: str) -> Description:
        description = domainxml.describe(xml, namespace=TAG_NAMESPACE, element="tag", mounts=mounts)
        return description._replace(complete=INCOMPLETE not in xml)

    return describe
