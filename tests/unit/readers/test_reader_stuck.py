"""What still goes out of a read in which domains, libvirtd or connections do not answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.unit.fake_time import BOUND
from tests.unit.fakes import JOB, OK, NicStats
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, CLASS_NETWORK, INTERVAL, REFRESH, TIMEOUT, Bench
from virt2.model.events import LIFECYCLE
from virt2.notifications.alarms import OKAY, WARNING
from virt2.readers.outside import FIRST_PAUSE
from virt2.workers.pool import BUSY_WORKERS, TICK


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
