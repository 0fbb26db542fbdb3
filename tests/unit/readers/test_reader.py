"""One polling cycle over a fake libvirt: what goes out when all is well, and what still does when it is not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.unit.fakes import OCCUPIED, OK, PAUSED, XEN, Control, DiskStats, Info, NicStats
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, Point
from virt2.metrics.defaults import CPU_TIME
from virt2.output.naming import Identity
from virt2.readers.records import Outcome, Sample
from virt2.workers.job import MONITOR


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


@pytest.mark.parametrize(("reason", "expected"), [(1, CLASS_A | CLASS_B), (2, set()), (11, set())])
def test_a_paused_domain_is_reported_unless_it_is_being_moved_or_built(bench, reason, expected):
    web = bench.hypervisor.domains["web"]
    web.info = web.info._replace(state=PAUSED)
    web.reason = reason
    bench.read()
    bench.read()
    assert bench.types("web") == expected
    assert bench.of("web").get("duration-monitor_blocked") == (0.0 if expected else None)


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


def test_a_domain_that_comes_is_reported_with_the_next_read(bench):
    bench.hypervisor.add("new")
    bench.read()
    assert bench.types("new") == CLASS_A | CLASS_B
    assert bench.own()["domains"] == 4


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
