"""What a read asks beyond the defaults."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, CLASS_NETWORK, REFRESH, Bench
from virt2.metrics.selectors import SELECTORS
from virt2.workers.pool import BUSY_WORKERS

EVERY = {kind: {selector.name for selector in SELECTORS if selector.kind == kind} for kind in "ABC"}
EXTRA_A = {"percent", "domain_state", "ps_cputime", "virt_vcpu", "cpu_affinity", "gauge"}
EXTRA_B = {"disk_time", "total_requests", "total_time_in_ms", "derive"}
CALLS_WITH_EVERYTHING = ("state", "interfaceStats", "info", "vcpus", "getCPUStats", "controlInfo", "blockStatsFlags")


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
