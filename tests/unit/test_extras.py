"""From the replies of what ExtraStats adds to metrics: the C plugin's names and units, without its mistakes."""

from __future__ import annotations

import pytest

from tests.unit.fakes import TYPES, CpuTimes, DiskTimes, Vcpu
from virt2 import extras
from virt2.metrics import Metric

# As libvirt 9.0 says of a guest whose balloon driver reports (bulk statistics, KiB, counts and seconds).
BALLOON = {
    "balloon.current": 1048576,
    "balloon.maximum": 2097152,
    "balloon.swap_in": 12,
    "balloon.swap_out": 34,
    "balloon.major_fault": 185,
    "balloon.minor_fault": 94063,
    "balloon.unused": 734768,
    "balloon.available": 997812,
    "balloon.usable": 800000,
    "balloon.last-update": 1700000000,
    "balloon.disk_caches": 102400,
    "balloon.hugetlb_pgalloc": 7,
    "balloon.hugetlb_pgfail": 1,
    "balloon.rss": 500000,
}
# As libvirt 9.0 says of a migration that is under way, and of one that ended with an error.
MIGRATION = {
    "type": 2,
    "operation": 5,
    "time_elapsed": 3001,
    "data_total": 1091379200,
    "memory_bps": 132120576,
    "memory_dirty_rate": 2.5,
    "disk_bps": 2**64 - 1,
    "success": True,
    "errmsg": "connection reset",
}


def mapped(selector: str, reply: object, device: str = "") -> list[Metric]:
    return list(extras.MAPPING[selector](reply, device))


def test_a_disk_gives_times_in_ns_and_flushes_in_ms():
    assert mapped("disk", DiskTimes(1, 2, 3, 4, 5, 6, 7, 8_999_999), "vda") == [
        Metric("disk_time", "vda", (3, 6)),
        Metric("total_requests", "flush-vda", (7,)),
        Metric("total_time_in_ms", "flush-vda", (8,)),
    ]


@pytest.mark.parametrize(
    ("field", "missing"),
    [
        ("read_time", "disk_time"),
        ("write_time", "disk_time"),
        ("flush_ops", "total_requests"),
        ("flush_time", "total_time_in_ms"),
    ],
)
def test_a_time_libvirt_does_not_know_is_absent(field, missing):
    types = {metric.type for metric in mapped("disk", DiskTimes(*range(8))._replace(**{field: -1}), "vda")}
    assert types == {"disk_time", "total_requests", "total_time_in_ms"} - {missing}


def test_state_comes_with_its_reason():
    assert mapped("domain_state", (3, 5)) == [Metric("domain_state", "", (3, 5))]


@pytest.mark.parametrize("prefix", ["", "completed_"])
@pytest.mark.parametrize("selector", ["job_stats_background", "job_stats_completed"])
def test_a_job_gives_every_number_that_a_counter_can_hold_and_not_its_type(selector, prefix):
    assert mapped(selector, MIGRATION, prefix) == [
        Metric("job_stats", prefix + name, (value,))
        for name, value in {
            "operation": 5,
            "time_elapsed": 3001,
            "data_total": 1091379200,
            "memory_bps": 132120576,
            "memory_dirty_rate": 2,
            "success": 1,
        }.items()
    ]


def test_the_texts_of_a_job_are_notes():
    assert extras.notes_of_job(MIGRATION, "completed_") == [("completed_errmsg", "connection reset")]


@pytest.mark.parametrize("selector", ["job_stats_background", "job_stats_completed"])
def test_no_job_gives_nothing(selector):
    assert mapped(selector, {"type": 0}) == []
    assert extras.notes_of_job({"type": 0}, "") == []


def test_memory_gives_bytes_counters_and_counts():
    kib = {"actual_balloon": 1048576, "available": 997812, "disk_caches": 102400, "rss": 500000, "unused": 734768}
    kib["usable"] = 800000
    assert mapped("memory", BALLOON) == [
        *(Metric("memory", tag, (size * 1024,)) for tag, size in kib.items()),
        Metric("memory", "hugetlb_pgalloc", (7,)),
        Metric("memory", "hugetlb_pgfail", (1,)),
        Metric("swap_io", "in", (12 * 1024,)),
        Metric("swap_io", "out", (34 * 1024,)),
        Metric("ps_pagefaults", "", (94063, 185)),
    ]


def test_without_a_balloon_driver_there_is_what_the_host_knows():
    made = mapped("memory", {"balloon.current": 16384, "balloon.maximum": 16384, "balloon.rss": 42688})
    assert [metric.type_instance for metric in made] == ["actual_balloon", "rss"]


def test_of_faults_both_kinds_or_none():
    assert mapped("memory", {"balloon.minor_fault": 1}) == []


def test_cpu_time_in_user_mode_comes_before_that_in_kernel_mode():
    assert mapped("pcpu", CpuTimes(user=1, system=2)) == [Metric("ps_cputime", "", (1, 2))]
    assert mapped("pcpu", CpuTimes(user=1, system=-1)) == []


def test_of_an_events_name_only_the_first_dot_becomes_an_underscore():
    made = mapped("perf", {"perf.cmt": 5, "perf.cache.misses": 6, "memory.bandwidth.monitor.count": 1})
    assert made == [Metric("perf", "perf_cmt", (5,)), Metric("perf", "perf_cache.misses", (6,))]


def test_virtual_cpus_go_by_their_number():
    vcpus = [Vcpu(0, 1, 10, (True, False, True)), Vcpu(3, 2, 20, (False, False, True))]
    assert mapped("vcpu", vcpus) == [Metric("virt_vcpu", "0", (10,)), Metric("virt_vcpu", "3", (20,))]
    assert mapped("vcpupin", vcpus) == [
        Metric("cpu_affinity", f"vcpu_{vcpu}-cpu_{cpu}", (allowed,))
        for vcpu, cpu, allowed in [(0, 0, 1), (0, 1, 0), (0, 2, 1), (3, 0, 0), (3, 1, 0), (3, 2, 1)]
    ]


def test_every_type_is_one_of_collectds_with_as_many_values():
    made = [
        *mapped("disk", DiskTimes(*range(8)), "vda"),
        *mapped("domain_state", (1, 1)),
        *mapped("job_stats_background", MIGRATION),
        *mapped("memory", BALLOON),
        *mapped("pcpu", CpuTimes(1, 2)),
        *mapped("perf", {"perf.cmt": 5}),
        *mapped("vcpu", [Vcpu(0, 1, 10, (True,))]),
        *mapped("vcpupin", [Vcpu(0, 1, 10, (True,))]),
    ]
    assert {metric.type: len(metric.values) for metric in made} == {
        name: len(TYPES[name]) for name in {metric.type for metric in made}
    }
