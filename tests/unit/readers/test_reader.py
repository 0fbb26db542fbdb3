"""One polling cycle over a fake libvirt: what goes out when all is well, and what still does when it is not."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from tests.unit.fakes import (
    BOUND,
    JOB,
    LXC,
    OCCUPIED,
    OK,
    PAUSED,
    TAG_NAMESPACE,
    XEN,
    Clock,
    Control,
    DiskStats,
    FakeHypervisor,
    FakeProcesses,
    Info,
    NicStats,
)
from virt2.description import domainxml, storage
from virt2.domains.discovery import Discovery
from virt2.domains.entries import Describe, Describing
from virt2.domains.health import Healths
from virt2.domains.inventory import Inventory, Listeners, Schedule
from virt2.errors import CallFailed, Unsupported
from virt2.metrics.defaults import CPU_TIME
from virt2.metrics.metric import Metric
from virt2.metrics.selectors import SELECTORS, Selection
from virt2.model.domain import Description
from virt2.model.events import CHANGED, LIFECYCLE
from virt2.notifications.alarms import OKAY, WARNING, Alarms
from virt2.output.naming import Identity, Names
from virt2.readers.context import Clocks, Domains, Outputs, Timing, Workers
from virt2.readers.gate import Gate
from virt2.readers.groups import Groups, Readers
from virt2.readers.kernel import Host
from virt2.readers.outside import FIRST_PAUSE
from virt2.readers.partition import Explicit
from virt2.readers.reader import HostSources, Reader
from virt2.readers.records import Outcome, Record, Sample
from virt2.readers.sampling import Sampler
from virt2.workers.budget import Budget
from virt2.workers.job import MONITOR
from virt2.workers.pool import BUSY_WORKERS, TICK, Pool, Runtime

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
        """The first values of what the last read dispatched for a domain, by type and type instance."""
        points = [point for point in self.sink.points if point.host == host]
        assert len({point[:4] for point in points}) == len(points), "a series with two points in one read"
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


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make_bench(**options: object) -> Bench:
        made.append(Bench(**options))
        return made[-1]

    yield make_bench
    for bench in made:
        bench.end()


@pytest.fixture
def bench(make) -> Bench:
    """Three domains that have been read once."""
    bench = make()
    for name in ("db", "web", "www"):
        bench.hypervisor.add(name, disks=("vda", "vdb"), nics=("vnet0",))
    bench.inventory.start()
    bench.read()
    return bench


def test_what_came_in_goes_out_where_a_step_of_the_read_fails_and_the_next_read_is_whole(bench, monkeypatch):
    def fail(*_: object) -> None:
        raise ValueError("in the middle of a read")

    with monkeypatch.context() as context:
        context.setattr(bench.readers["0"], "_judge", fail)
        with pytest.raises(ValueError, match="in the middle"):
            bench.read()
    assert bench.types("web") == CLASS_A | CLASS_B
    bench.read()
    assert bench.types("web") >= CLASS_A | CLASS_B
    assert bench.own()["domains"] == 3


def test_all_metrics_of_a_healthy_domain_with_the_time_before_their_calls(make):
    bench = make()
    web = bench.hypervisor.add("web", disks=("vda",), nics=("vnet0",))
    web.info = Info(state=1, max_memory=4096, memory=2048, vcpus=2, cpu_time=123)
    web.disk_stats = DiskStats(read_ops=1, read_octets=2, write_ops=3, write_octets=4, errors=-1)
    web.nic_stats = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
    bench.inventory.start()
    bench.read()
    when = bench.clock.wall()
    expected = [
        ("virt_cpu_total", "", (123,)),
        ("memory", "total", (2048 * 1024,)),
        ("disk_octets", "vda", (2, 4)),
        ("disk_ops", "vda", (1, 3)),
        ("if_octets", "vnet0", (1, 5)),
        ("if_packets", "vnet0", (2, 6)),
        ("if_errors", "vnet0", (3, 7)),
        ("if_dropped", "vnet0", (4, 8)),
        ("duration", "sample_age", (0.0,)),
        ("duration", "monitor_blocked", (0.0,)),
    ]
    assert sorted(point for point in bench.sink.points if point.host == "web") == sorted(
        Point("web", "", *metric, when) for metric in expected
    )


def test_nothing_goes_out_before_all_is_asked_and_the_reader_comes_last(make, monkeypatch):
    bench = make()
    for name in ("web", "db"):
        bench.hypervisor.add(name)
    bench.inventory.start()
    bench.read()
    calls: list[int] = []
    dispatch = bench.sink.dispatch

    def noting(identity: Identity, *what: Any) -> None:
        calls.append(len(bench.hypervisor.calls))
        dispatch(identity, *what)

    monkeypatch.setattr(bench.sink, "dispatch", noting)
    points = bench.read()
    assert set(calls) == {len(bench.hypervisor.calls)}
    assert {point.host for point in points[-7:]} == {""}
    assert {point.host for point in points[:-7]} == {"web", "db"}


def test_a_reader_reports_itself_under_the_hosts_own_name(bench):
    bench.read()
    own = bench.own()
    assert own.pop("workers") >= 1
    assert own == {
        "domains": 3,
        "domains_stuck": 0,
        "domains_skipped": 0,
        "workers_busy": 0,
        "workers_stuck": 0,
        "read": 0.0,
    }


def test_a_domain_comes_with_its_reader_and_tag_as_meta_data(make):
    bench = make(readers="blue")
    bench.hypervisor.add("web", tag="blue")
    bench.inventory.start()
    bench.read("blue")
    assert {"virt2_reader": "blue", "virt2_tag": "blue"} in bench.sink.metas


def test_a_steady_read_makes_these_calls_and_no_others(bench):
    bench.read()
    per_domain = {
        ("info", ""),
        ("interfaceStats", "vnet0"),
        ("controlInfo", ""),
        ("blockStats", "vda"),
        ("blockStats", "vdb"),
    }
    calls = Counter(bench.hypervisor.calls)
    assert calls.pop(("active", "", "")) == 1
    assert {call for call in calls if call[0] != "connect"} == {
        (call, name, device) for name in ("db", "web", "www") for call, device in per_domain
    }
    assert {count for call, count in calls.items() if call[0] != "connect"} == {1}


def test_each_reader_reads_its_own_domains(make):
    bench = make(readers="blue green")
    bench.hypervisor.add("b", tag="blue")
    bench.hypervisor.add("g", tag="green")
    bench.inventory.start()
    bench.read("blue")
    assert (bench.types("b"), bench.types("g")) == (CLASS_A | CLASS_B, set())
    bench.read("green")
    assert (bench.types("b"), bench.types("g")) == (set(), CLASS_A | CLASS_B)
    assert bench.own("green")["domains"] == 1


class TestStuckMonitor:
    """A domain whose monitor does not answer costs itself only, and itself only what needs the monitor."""

    def test_class_a_goes_out_in_the_same_interval_and_no_disk_does(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            for _ in range(3):
                bench.read()
                assert bench.types("db") == CLASS_A
                assert bench.types("web") == bench.types("www") == CLASS_A | CLASS_B

    def test_how_long_it_is_blocked_and_the_age_of_its_sample_grow(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
            since = bench.clock() - TIMEOUT
            for _ in range(3):
                bench.read()
                assert bench.of("db")["duration-monitor_blocked"] == pytest.approx(bench.clock() - since, abs=TICK)
                assert bench.of("db")["duration-sample_age"] > bench.of("db")["duration-monitor_blocked"]
                assert bench.of("web")["duration-monitor_blocked"] == bench.of("web")["duration-sample_age"] == 0.0
                assert (bench.own()["domains_stuck"], bench.own()["workers_stuck"]) == (1, 1)

    def test_it_is_asked_once_and_not_again(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
            for _ in range(3):
                bench.read()
                assert bench.hypervisor.count("blockStats", "db") == 0
        assert bench.hypervisor.most_in_flight["db"] == 1

    def test_later_reads_do_not_wait_for_it(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
            bench.read()
            assert bench.own()["read"] == 0.0

    def test_what_it_says_at_last_goes_out_with_its_own_time(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
            asked = bench.clock() - TIMEOUT
        bench.clock.settle()
        bench.read()
        late = [point for point in bench.sink.points if point.host == "db" and point.type == "disk_ops"]
        assert late[0].time == pytest.approx(asked + 1.7e9, abs=TICK * 2)
        assert [(point.type_instance, point.time) for point in late[2:]] == [
            ("vda", bench.clock.wall()),
            ("vdb", bench.clock.wall()),
        ]
        assert [point.type_instance for point in late] == ["vda", "vdb"] * 2

    def test_it_is_well_again_by_the_next_read(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            bench.read()
        bench.clock.settle()
        bench.read()
        bench.read()
        assert bench.types("db") == CLASS_A | CLASS_B
        assert bench.of("db")["duration-monitor_blocked"] == bench.of("db")["duration-sample_age"] == 0.0
        assert bench.own()["domains_stuck"] == bench.own()["workers_stuck"] == 0

    def test_it_is_told_once_when_it_begins_and_once_when_it_ends(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            for _ in range(4):
                bench.read()
        bench.clock.settle()
        for _ in range(3):
            bench.read()
        assert [(severity, host) for severity, _, host in bench.notifications] == [(WARNING, "db"), (OKAY, "db")]
        assert "blockStats" in bench.notifications[0][1]

    @pytest.mark.parametrize("stuck", [1, 4, 8])
    def test_many_stuck_domains_cost_the_healthy_ones_nothing(self, make, stuck):
        bench = make(size=12, share=11)
        names = [f"d{number:02}" for number in range(24)]
        for name in names:
            bench.hypervisor.add(name)
        bench.inventory.start()
        bench.read()
        for name in names[:stuck]:
            bench.hypervisor.domains[name].stuck.add("monitor")
        for _ in range(3):
            bench.read()
            assert [name for name in names[stuck:] if bench.types(name) != CLASS_A | CLASS_B] == []
            assert [name for name in names if not bench.types(name) >= CLASS_A] == []

    @pytest.mark.parametrize("position", [0, 5, 11])
    def test_one_stuck_domain_in_a_share_of_two_costs_the_others_nothing(self, make, position):
        bench = make(size=10, share=2)
        names = [f"d{number:02}" for number in range(12)]
        for name in names:
            bench.hypervisor.add(name)
        bench.inventory.start()
        bench.read()
        with bench.hypervisor.stuck(names[position], monitor=True):
            for _ in range(3):
                bench.read()
                healthy = [name for name in names if name != names[position]]
                assert [name for name in healthy if bench.types(name) != CLASS_A | CLASS_B] == []


def test_a_sample_older_than_what_went_out_is_dropped(bench):
    bench.read()
    uuid = bench.hypervisor.domains["web"].uuid
    old = Sample(uuid, CPU_TIME, "", bench.clock() - 5.0, bench.clock.wall() - 5.0, 666)
    bench.put["0"](old)
    bench.read()
    assert 666 not in [point.values[0] for point in bench.sink.points]
    bench.put["0"](old._replace(taken=bench.clock() + 1.0))
    bench.read()
    assert 666 in [point.values[0] for point in bench.sink.points]


def test_what_comes_in_for_a_domain_that_is_gone_is_dropped(bench):
    uuid = bench.hypervisor.remove("web").uuid
    bench.put["0"](Sample(uuid, CPU_TIME, "", bench.clock() + 1.0, 1.0, 666))
    bench.read()
    assert [point for point in bench.sink.points if point.host == "web"] == []


class TestLockHeld:
    """A domain whose object lock is held: every call on it blocks, and so does every list."""

    def test_the_others_lose_nothing_and_it_is_reported(self, bench):
        with bench.hypervisor.stuck("db", lock=True):
            for _ in range(3):
                bench.read()
                assert bench.types("web") == bench.types("www") == CLASS_A | CLASS_B
                assert bench.types("db") == set()
                assert bench.of("db")["duration-sample_age"] > 0.0
            assert bench.of("db")["duration-monitor_blocked"] > INTERVAL
            assert bench.own()["domains_stuck"] == 1

    def test_it_costs_the_list_and_one_call_of_each_kind_and_no_more(self, bench):
        with bench.hypervisor.stuck("db", lock=True):
            for _ in range(3):
                bench.read()
            assert bench.hypervisor.stage.blocked == bench.budget.used <= 3
            assert bench.hypervisor.count("interfaceStats", "db") == 0
            assert (bench.own()["domains_skipped"], bench.own()["read"]) == (0, 0.0)

    def test_it_is_well_again_by_itself(self, bench):
        with bench.hypervisor.stuck("db", lock=True):
            bench.read()
        bench.clock.settle()
        bench.read()
        bench.read()
        assert bench.types("db") == CLASS_A | CLASS_B
        assert bench.of("db")["duration-monitor_blocked"] == 0.0


class TestOutside:
    """libvirt asks another program for some interfaces' counters, with the domain's lock held; that may not answer."""

    @pytest.fixture
    def bench(self, make) -> Bench:
        bench = make()
        for name in ("ovs0", "ovs1"):
            domain = bench.hypervisor.add(name, nics=("vhu0",))
            domain.outside.add("vhu0")
        bench.hypervisor.add("web")
        bench.inventory.start()
        bench.read()
        return bench

    def let_it_end(self, bench: Bench) -> None:
        bench.clock.settle()
        bench.read()
        bench.clock.settle()

    def test_where_it_answers_everything_is_reported_in_every_read(self, bench):
        for _ in range(3):
            bench.read()
            for name in ("ovs0", "ovs1", "web"):
                assert bench.types(name) == CLASS_A | CLASS_B
                assert bench.of(name)["duration-sample_age"] == 0.0

    def test_all_else_of_the_domain_is_asked_before(self, bench):
        bench.read()
        for name in ("ovs0", "ovs1"):
            assert [call for call, of, _ in bench.hypervisor.calls if of == name][-1] == "interfaceStats"

    def test_one_call_is_made_and_nobody_is_blamed_for_it(self, bench, caplog):
        with bench.hypervisor.stuck("ovs0", outside=True), bench.hypervisor.stuck("ovs1", outside=True):
            bench.read()
            assert bench.hypervisor.count("interfaceStats") - bench.hypervisor.count("interfaceStats", "web") == 1
            # What was asked before it goes out in the same read.
            for name in ("ovs0", "ovs1"):
                assert bench.types(name) == {"virt_cpu_total", "memory"} | CLASS_B
            assert bench.types("web") == CLASS_A | CLASS_B
            bench.read()
            assert bench.own()["domains_stuck"] == 0
        self.let_it_end(bench)
        assert bench.notifications == []
        assert len(caplog.records) == 1

    def test_then_the_domains_lose_nothing_but_these_interfaces_until_it_is_tried_again(self, bench):
        with bench.hypervisor.stuck("ovs0", outside=True), bench.hypervisor.stuck("ovs1", outside=True):
            bench.read()
        bench.clock.settle()
        with bench.hypervisor.stuck("ovs0", outside=True), bench.hypervisor.stuck("ovs1", outside=True):
            for _ in range(2):
                bench.read()
                assert bench.hypervisor.count("interfaceStats") == 1
                for name in ("ovs0", "ovs1"):
                    assert bench.types(name) >= {"virt_cpu_total", "memory"} | CLASS_B
                    assert bench.of(name)["duration-sample_age"] > 0.0
                    assert bench.of(name)["duration-monitor_blocked"] == 0.0

    def test_once_it_answers_again_they_are_back(self, bench):
        with bench.hypervisor.stuck("ovs0", outside=True):
            bench.read()
        self.let_it_end(bench)
        bench.clock.now += FIRST_PAUSE
        bench.read()
        for name in ("ovs0", "ovs1"):
            assert bench.types(name) == CLASS_A | CLASS_B
            assert bench.of(name)["duration-sample_age"] == 0.0


def test_after_a_read_that_took_all_its_time_what_is_there_goes_out_before_anything_is_asked(make):
    bench = make()
    bench.hypervisor.add("web")
    bench.inventory.start()
    bench.read()
    out: list[bool] = []

    def note(call: str, name: str, device: str) -> None:
        if call == "info":
            out.append(bool(bench.sink.points))

    bench.hypervisor.on_call = note
    reader = bench.readers["0"]
    reader._interfaces = lambda: {"vnet0": NicStats(1, 2, 3, 4, 5, 6, 7, 8)}
    reader._taps = SimpleNamespace(sure=lambda counters, domains, current: counters)
    bench.read()
    with bench.hypervisor.stuck("web", monitor=True):
        bench.read()
        bench.read()
    assert out == [False, False, True]


def test_with_libvirtds_workers_taken_by_others_the_network_is_still_reported(make):
    bench = make()
    names = [f"d{number:02}" for number in range(16)]
    for name in names:
        bench.hypervisor.add(name)
    bench.inventory.start()
    bench.read()
    with bench.hypervisor.full():
        bench.read()
        assert all(bench.types(name) >= {"if_octets", "if_packets"} for name in names)
        for _ in range(2):
            bench.read()
            # Those that were in a call that is no priority call when it happened have to wait for it: those asked at
            # once, and as many again, for a list has to come back before it is known what is the matter.
            assert sum(bench.types(name) == CLASS_NETWORK for name in names) >= len(names) - 2 * BUSY_WORKERS
    bench.clock.settle()
    bench.read()
    bench.read()
    assert all(bench.types(name) == CLASS_A | CLASS_B for name in names)


def test_a_call_that_waits_for_a_worker_by_libvirtds_word_says_nothing_of_its_domain(make):
    # With one slot a call that needs the monitor may be the only one, and nothing of ours tells what it waits for.
    bench = make(size=1, share=1)
    bench.hypervisor.add("web")
    bench.inventory.start()
    bench.read()
    web = bench.hypervisor.domains["web"]
    with bench.hypervisor.stuck("web", monitor=True):
        bench.read()
        assert bench.healths.of(web.uuid, bench.clock()).blocked
        for seen, blocked in [(bench.clock(), False), (None, True)]:
            bench.budget.see_queue(seen)
            bench.read()
            assert bench.healths.of(web.uuid, bench.clock()).blocked == blocked
    bench.budget.see_queue(bench.clock())
    bench.clock.settle()
    bench.read()
    bench.read()
    assert not bench.budget.calls_wait
    assert bench.types("web") == CLASS_A | CLASS_B


def test_that_is_so_too_when_descriptions_are_to_be_read_again_meanwhile(make):
    bench = make()
    names = [f"d{number:02}" for number in range(16)]
    for name in names:
        bench.hypervisor.add(name)
    bench.inventory.start()
    bench.read()
    bench.clock.now += REFRESH
    with bench.hypervisor.full():
        for _ in range(3):
            bench.read()
        assert sum(bench.types(name) == CLASS_NETWORK for name in names) >= len(names) - 2 * BUSY_WORKERS
        assert all(bench.of(name)["duration-monitor_blocked"] == 0.0 for name in names)
    bench.clock.settle()
    bench.read()
    bench.read()
    assert all(bench.types(name) == CLASS_A | CLASS_B for name in names)


def test_that_is_so_too_when_a_domain_that_is_not_active_is_to_be_described_meanwhile(make):
    bench = make(describes_idle=True)
    names = [f"d{number:02}" for number in range(16)]
    for name in names:
        bench.hypervisor.add(name)
    bench.inventory.start()
    bench.read()
    with bench.hypervisor.full():
        bench.hypervisor.tell(LIFECYCLE, "00000000-0000-0000-0000-000000000000", name="defined")
        for _ in range(3):
            bench.read()
        assert sum(bench.types(name) == CLASS_NETWORK for name in names) >= len(names) - 2 * BUSY_WORKERS
        assert all(bench.of(name)["duration-monitor_blocked"] == 0.0 for name in names)
    bench.clock.settle()
    bench.read()
    bench.read()
    assert all(bench.types(name) == CLASS_A | CLASS_B for name in names)


class TestConnections:
    """libvirtd away, restarted, or the connections to it cut."""

    def test_with_libvirtd_away_nothing_is_said_of_domains_but_their_age(self, bench):
        bench.hypervisor.crash()
        bench.read()
        bench.read()
        assert bench.types("web") == set()
        assert set(bench.of("web")) == {"duration-sample_age"}
        assert bench.of("web")["duration-sample_age"] >= INTERVAL
        assert bench.own()["domains"] == 3

    def test_after_a_restart_everything_is_back_with_the_next_read(self, bench):
        bench.hypervisor.cut()
        bench.hypervisor.daemon += 1
        bench.read()
        bench.read()
        assert bench.types("web") == bench.types("db") == CLASS_A | CLASS_B

    def test_a_call_that_was_cut_off_is_not_made_again_while_libvirtd_is_in_it(self, bench):
        with bench.hypervisor.stuck("db", monitor=True) as db:
            bench.read()
            # A young job would be let pass.
            db.control = db.control._replace(state=JOB, seconds=0.5)
            bench.hypervisor.cut()
            bench.clock.settle()
            for _ in range(3):
                bench.read()
                assert bench.hypervisor.count("blockStats", "db") == 0
                assert bench.types("web") == CLASS_A | CLASS_B
                assert bench.budget.used == 1
            assert bench.of("db")["duration-monitor_blocked"] > INTERVAL
            db.control = db.control._replace(state=OK, seconds=0.0)
        # The very next read finds that it is over, and asks.
        bench.read()
        assert bench.budget.used == 0
        assert bench.types("db") == CLASS_A | CLASS_B

    def test_before_the_first_list_a_read_returns_and_reports_itself(self, make):
        bench = make()
        bench.hypervisor.down = "not yet"
        bench.inventory.start()
        bench.read()
        assert bench.own()["domains"] == 0
        assert {point.host for point in bench.sink.points} == {""}


@pytest.mark.parametrize(("reason", "expected"), [(1, CLASS_A | CLASS_B), (2, CLASS_A), (11, CLASS_A)])
def test_a_paused_domain_is_reported_and_its_monitor_left_alone_while_it_comes_in(bench, reason, expected):
    web = bench.hypervisor.domains["web"]
    web.info = web.info._replace(state=PAUSED)
    web.reason = reason
    bench.read()
    bench.read()
    assert bench.types("web") == expected
    assert bench.of("web")["duration-monitor_blocked"] == 0.0


def test_a_domain_without_disks_is_complete_without_its_monitor(make):
    bench = make()
    bench.hypervisor.add("web", disks=())
    bench.inventory.start()
    bench.read()
    bench.read()
    assert bench.types("web") == CLASS_A
    assert bench.of("web")["duration-sample_age"] == 0.0


def test_whether_a_monitor_is_blocked_that_nobody_uses_is_looked_at(make):
    bench = make()
    web = bench.hypervisor.add("web", disks=())
    bench.inventory.start()
    bench.read()
    assert bench.of("web")["duration-monitor_blocked"] == 0.0
    web.control = Control(OCCUPIED, 0, 7.0)
    bench.read()
    assert bench.of("web")["duration-monitor_blocked"] >= 7.0
    assert bench.own()["domains_stuck"] == 1
    web.control = Control(OK, 0, 0.0)
    bench.read()
    assert bench.of("web")["duration-monitor_blocked"] == 0.0


def test_where_nobody_can_look_at_a_monitor_that_is_not_used_nothing_is_said_of_it(make):
    bench = make()
    bench.hypervisor.lacks = XEN
    bench.hypervisor.add("bare", disks=())
    bench.hypervisor.add("web")
    bench.inventory.start()
    for _ in range(2):
        bench.read()
        assert "duration-monitor_blocked" not in bench.of("bare")
        assert bench.of("bare")["duration-sample_age"] == 0.0
        assert bench.of("web")["duration-monitor_blocked"] == 0.0


@pytest.mark.parametrize("lacks", [XEN, LXC], ids=["Xen", "LXC"])
def test_a_driver_without_control_info_costs_no_series(make, caplog, lacks):
    bench = make()
    bench.hypervisor.lacks = lacks
    bench.hypervisor.add("web")
    bench.hypervisor.add("db")
    bench.inventory.start()
    bench.read()
    for _ in range(2):
        bench.read()
        for name in ("web", "db"):
            assert bench.types(name) == CLASS_A | CLASS_B
            assert bench.of(name)["duration-sample_age"] == 0.0
            assert bench.of(name)["duration-monitor_blocked"] == 0.0
        assert bench.hypervisor.count("controlInfo") == 0
    assert [record.getMessage() for record in caplog.records] == [
        "this libvirt does not have the call controlInfo, so whether somebody is inside a domain's monitor is found out"
        " only by a call that does not come back: this function is not supported by the connection driver"
    ]


def test_a_call_that_was_cut_off_is_over_when_a_driver_without_control_info_answers_for_the_domain(make):
    bench = make()
    bench.hypervisor.lacks = XEN
    web = bench.hypervisor.add("web")
    bench.inventory.start()
    bench.read()
    with bench.hypervisor.stuck("web", monitor=True):
        bench.read()
        bench.hypervisor.cut()
        bench.clock.settle()
        assert bench.budget.charged(web.uuid) is not None
    bench.read()
    bench.read()
    assert bench.budget.charged(web.uuid) is None
    assert bench.types("web") == CLASS_A | CLASS_B


def test_a_device_that_was_unplugged_is_absent_and_harms_nothing(bench, caplog):
    bench.hypervisor.domains["web"].disks.remove("vdb")
    bench.hypervisor.domains["web"].nics.remove("vnet0")
    bench.read()
    assert bench.types("web") == {"virt_cpu_total", "memory"} | CLASS_B
    # Something is missing until the domain is described anew.
    assert bench.of("web")["duration-sample_age"] == INTERVAL
    bench.hypervisor.tell(CHANGED, bench.hypervisor.domains["web"].uuid)
    bench.read()
    assert bench.of("web")["duration-sample_age"] == 0.0
    assert {point.type_instance for point in bench.sink.points if point.type == "disk_ops" and point.host == "web"} == {
        "vda"
    }
    assert caplog.records == []


def test_a_disk_whose_counters_fail_in_every_read_is_not_well(bench, caplog):
    bench.hypervisor.domains["web"].failures["blockStats vda"] = CallFailed("internal error: no such node")
    for count in (1, 2, 3):
        bench.read()
        assert bench.of("web")["duration-sample_age"] == count * INTERVAL
        assert bench.of("web")["duration-monitor_blocked"] == 0.0
    assert [record.getMessage() for record in caplog.records] == [
        "domain web: blockStats vda: internal error: no such node"
    ]
    bench.hypervisor.domains["web"].failures.clear()
    bench.read()
    assert bench.of("web")["duration-sample_age"] == 0.0


def test_a_domain_that_is_not_wholly_described_is_not_well(make):
    bench = make()
    bench.hypervisor.add("web").broken_metadata = INCOMPLETE
    bench.inventory.start()
    for _ in range(3):
        bench.read()
    assert bench.types("web") == CLASS_A | CLASS_B
    assert bench.of("web")["duration-sample_age"] >= 2 * INTERVAL


@pytest.mark.parametrize("call", ["info", "interfaceStats", "blockStats"])
def test_what_fails_for_a_domain_that_is_just_being_destroyed_is_not_said(bench, caplog, call):
    bench.hypervisor.domains["web"].failures[call] = CallFailed("internal error: Interface not found")
    bench.read()
    bench.hypervisor.remove("web")
    for _ in range(3):
        bench.read()
    assert caplog.records == []


def test_what_fails_for_a_device_that_is_just_being_unplugged_is_not_said(bench, caplog):
    web = bench.hypervisor.domains["web"]
    web.failures["interfaceStats vnet0"] = CallFailed("internal error: /proc/net/dev: Interface not found")
    bench.read()
    web.nics.remove("vnet0")
    bench.hypervisor.tell(CHANGED, web.uuid)
    for _ in range(3):
        bench.read()
    assert caplog.records == []


def test_what_failed_for_a_domain_that_was_started_anew_is_not_said_of_its_new_run(bench, caplog):
    web = bench.hypervisor.domains["web"]
    web.failures["info"] = CallFailed("internal error: no cgroup")
    bench.read()
    web.failures.clear()
    bench.hypervisor.restart("web")
    for _ in range(3):
        bench.read()
    assert caplog.records == []


def test_what_a_disk_could_not_do_the_one_that_took_its_name_is_asked_for(bench):
    web = bench.hypervisor.domains["web"]
    web.failures["blockStats vda"] = Unsupported("no counters for this disk")
    for _ in range(2):
        bench.read()
    web.failures.clear()
    web.sources["vda"] = "/elsewhere"
    bench.read()
    assert ("blockStats", "web", "vda") not in bench.hypervisor.calls
    bench.hypervisor.tell(CHANGED, web.uuid)
    bench.read()
    assert ("blockStats", "web", "vda") in bench.hypervisor.calls
    assert "disk_ops-vda" in bench.of("web")


def test_a_disk_without_counters_is_said_once_and_not_asked_again(bench, caplog):
    bench.hypervisor.domains["web"].failures["blockStats vda"] = Unsupported("no counters for this disk")
    for _ in range(3):
        bench.read()
    assert [record.getMessage() for record in caplog.records] == [
        "domain web: blockStats vda: no counters for this disk"
    ]
    assert ("blockStats", "web", "vda") not in bench.hypervisor.calls
    assert bench.of("web")["duration-sample_age"] == 0.0


def test_a_counter_libvirt_does_not_know_is_absent(bench):
    bench.hypervisor.domains["web"].disk_stats = DiskStats(-1, 1, -1, 2, -1)
    bench.read()
    assert "disk_ops" not in bench.types("web")
    assert "disk_octets" in bench.types("web")


def test_domains_for_which_there_was_no_slot_are_counted(make):
    bench = make(size=2, share=2)
    for name in ("a", "b", "c", "d"):
        bench.hypervisor.add(name)
    bench.inventory.start()
    bench.read()
    for name in ("a", "b"):
        bench.hypervisor.domains[name].stuck.add("monitor")
    reader = bench.readers["0"]
    assert (reader.skipped, reader.stuck) == ((), 0)
    bench.read()
    bench.read()
    assert bench.own()["domains_skipped"] == len(reader.skipped) > 0
    assert (reader.domains, reader.stuck) == (4, 2)
    assert set(reader.skipped) <= set("abcd")


def test_where_a_read_has_no_time_for_all_each_domain_is_asked_in_its_turn(make):
    bench = make(size=1, share=1)
    for name in "abcdefgh":
        bench.hypervisor.add(name, disks=("vda",), nics=())
    bench.inventory.start()
    began: list[str] = []

    def slow(call: str, name: str, device: str) -> None:
        """Each read has time for three domains' disks; the last of them takes the rest of it."""
        if call == "blockStats":
            began.append(name)
            if len(began) == 3:
                bench.hypervisor.domains[name].stuck.add("monitor")

    bench.read()
    bench.hypervisor.on_call = slow
    asked = []
    for _ in range(6):
        began.clear()
        bench.read()
        asked.append("".join(began))
        bench.hypervisor.domains[began[-1]].stuck.clear()
        bench.hypervisor.stage.review()
        bench.clock.settle()
    assert asked == ["abc", "def", "gha", "bcd", "efa", "ghb"]


class TestConnectionsThatDoNotCome:
    """libvirtd accepts no more of them: no domain is blamed, and what can be had over those there are is had."""

    @pytest.fixture
    def crowd(self, make) -> Bench:
        bench = make()
        for name in ("a", "b", "c"):
            bench.hypervisor.add(name)
        bench.inventory.start()
        assert bench.inventory.refresh(max_age=INTERVAL, timeout=BOUND)
        return bench

    def test_without_any_nothing_is_said_of_domains_and_all_comes_with_them(self, crowd):
        with crowd.hypervisor.crowded():
            for _ in range(3):
                crowd.read()
                assert crowd.of("a")["duration-sample_age"] >= 0.0
                assert [crowd.of(name).get("duration-monitor_blocked", 0.0) for name in "abc"] == [0.0] * 3
                assert crowd.own()["workers_stuck"] == 0
            assert (crowd.notifications, crowd.budget.used) == ([], 0)
            assert crowd.budget.connects.pending == 1
            assert crowd.own()["domains_skipped"] == 3
        crowd.clock.settle()
        crowd.read()
        assert [name for name in "abc" if crowd.types(name) != CLASS_A | CLASS_B] == []

    def test_with_one_all_domains_are_asked(self, crowd):
        with crowd.hypervisor.crowded(more=1):
            for _ in range(3):
                crowd.read()
                assert [name for name in "abc" if crowd.types(name) != CLASS_A | CLASS_B] == []
                assert crowd.own()["domains_skipped"] == 0
        assert crowd.notifications == []


def test_a_domain_that_comes_is_reported_with_the_next_read(bench):
    bench.hypervisor.add("new")
    bench.read()
    assert bench.types("new") == CLASS_A | CLASS_B
    assert bench.own()["domains"] == 4


EVERY = {kind: {selector.name for selector in SELECTORS if selector.kind == kind} for kind in "ABC"}
EXTRA_A = {"percent", "domain_state", "ps_cputime", "virt_vcpu", "cpu_affinity", "gauge"}
EXTRA_B = {"disk_time", "total_requests", "total_time_in_ms", "derive"}


class TestExtras:
    """What ExtraStats adds, in a whole read."""

    @pytest.fixture
    def bench(self, make) -> Bench:
        bench = make(extra=EVERY["A"] | EVERY["B"])
        for name in ("web", "db"):
            bench.hypervisor.add(name, disks=("vda", "vdb"))
        bench.inventory.start()
        # What takes two samples comes with the second.
        bench.read()
        return bench

    def test_everything_goes_out_once(self, bench):
        bench.read()
        for name in ("web", "db"):
            assert bench.types(name) == CLASS_A | CLASS_B | EXTRA_A | EXTRA_B
            series = Counter((point.type, point.type_instance) for point in bench.sink.points if point.host == name)
            assert set(series.values()) == {1}
            assert bench.of(name)["duration-sample_age"] == 0.0

    def test_a_steady_read_makes_one_call_each_whatever_the_number_of_selectors(self, bench):
        bench.read()
        calls = Counter((call, name) for call, name, _ in bench.hypervisor.calls if name)
        assert calls == {
            (call, name): 2 if call == "blockStatsFlags" else 1
            for name in ("web", "db")
            for call in CALLS_WITH_EVERYTHING
        } | {("jobStats", name): 2 for name in ("web", "db")} | {("bulk", name): 2 for name in ("web", "db")}

    def test_a_domain_with_a_stuck_monitor_keeps_class_a_in_the_same_interval(self, bench):
        with bench.hypervisor.stuck("db", monitor=True):
            for _ in range(3):
                bench.read()
                assert bench.types("db") == CLASS_A | EXTRA_A
                assert bench.types("web") == CLASS_A | CLASS_B | EXTRA_A | EXTRA_B
                assert bench.of("db")["duration-sample_age"] > 0

    def test_a_domain_without_disks_is_complete_only_when_its_monitor_answered(self, bench):
        bench.hypervisor.add("bare", disks=())
        bench.read()
        assert bench.of("bare")["duration-sample_age"] == 0.0
        with bench.hypervisor.stuck("bare", monitor=True):
            bench.read()
            bench.read()
            assert bench.of("bare")["duration-monitor_blocked"] > 0
            assert bench.of("bare")["duration-sample_age"] > 0

    def test_with_libvirtd_full_the_state_still_goes_out(self, bench):
        names = [f"d{number:02}" for number in range(16)]
        for name in names:
            bench.hypervisor.add(name)
        bench.read()
        with bench.hypervisor.full():
            for _ in range(2):
                bench.read()
            expected = CLASS_NETWORK | {"domain_state"}
            assert sum(bench.types(name) == expected for name in names) >= len(names) - 2 * BUSY_WORKERS

    def test_cpu_use_is_what_was_used_between_the_two_samples(self, bench):
        db = bench.hypervisor.domains["db"]
        before = bench.clock()
        db.info = db.info._replace(cpu_time=db.info.cpu_time + 5_000_000_000)
        bench.read()
        used = 100 * 5 / (bench.clock() - before)
        points = {
            point.type_instance: point.values[0]
            for point in bench.sink.points
            if point.type == "percent" and point.host == "db"
        }
        assert points == pytest.approx({"virt_cpu_total": used / 2, "guest_cpu": used / 2})

    def test_cpu_use_survives_that_descriptions_are_read_again(self, bench):
        bench.clock.now += REFRESH
        bench.read()
        assert "percent" in bench.types("db")

    def test_a_counter_set_back_gives_no_point_and_the_next_read_does(self, bench):
        db = bench.hypervisor.domains["db"]
        db.info = db.info._replace(cpu_time=1)
        bench.read()
        assert "percent" not in bench.types("db")
        bench.read()
        assert "percent" in bench.types("db")

    def test_a_domain_that_was_started_anew_is_not_compared_with_itself_before(self, bench):
        db = bench.hypervisor.domains["db"]
        bench.hypervisor.restart("db")
        db.info = db.info._replace(cpu_time=db.info.cpu_time + 1)
        bench.read()
        assert "percent" not in bench.types("db")

    def test_a_text_goes_out_when_it_is_another_one(self, bench):
        db = bench.hypervisor.domains["db"]
        for text in ("first", "first", "second"):
            db.completed_job = {"type": 4, "errmsg": text}
            bench.read()
        assert bench.texts == [("okay", "db", "job_stats", "completed_errmsg", text) for text in ("first", "second")]


CALLS_WITH_EVERYTHING = ("state", "interfaceStats", "info", "vcpus", "getCPUStats", "controlInfo", "blockStatsFlags")


@pytest.mark.parametrize(
    ("looks", "answered"),
    [
        ([(1.0, False), (2.0, True)], True),
        ([(1.0, True), (2.0, False)], False),
        ([(2.0, False), (1.0, True)], False),
        ([(2.0, True), (1.0, False)], True),
    ],
    ids=[
        "it answered since",
        "found since",
        "it had answered before",
        "it has answered since, and the look is told later",
    ],
)
def test_of_two_looks_the_one_that_found_something_counts_unless_the_monitor_has_answered_since(bench, looks, answered):
    domains = bench.inventory.domains()[1]
    healths = {domain.uuid: bench.healths.of(domain.uuid, 0.0) for domain in domains}
    uuid, reader = domains[0].uuid, bench.readers["0"]
    for taken, is_answered in looks:
        cause = "" if is_answered else "by another client"
        reader._results.put(Outcome(uuid, MONITOR, bench.clock.now + taken, is_answered, cause))
    outcomes = reader._take(domains, healths, bench.clock.now)
    assert outcomes[uuid, MONITOR].answered is answered
