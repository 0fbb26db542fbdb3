"""From the replies of what ExtraStats adds to metrics: the C plugin's names and units, without its mistakes."""

from __future__ import annotations

import math
import time

import pytest

from tests.unit.fake_collectd import TYPES
from tests.unit.fakes import CpuTimes, DiskTimes, Vcpu
from virt2.metrics import extras
from virt2.metrics.metric import Metric
from virt2.metrics.selectors import BULK, LAYERS, SELECTORS
from virt2.text.identifiers import LONGEST, presentable

BULK_SELECTORS = [
    selector.name for selector in SELECTORS if selector.call.startswith(BULK) and selector.call != BULK + LAYERS
]

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


# As libvirt 9.0 says of a guest on KVM with two virtual CPUs; the names after vcpu.0 and vm are KVM's own.
VCPU = {
    "vcpu.current": 2,
    "vcpu.maximum": 4,
    "vcpu.0.state": 1,
    "vcpu.0.time": 70,
    "vcpu.0.wait": 5,
    "vcpu.0.halted": True,
    "vcpu.0.delay": 6,
    "vcpu.0.halt_exits.sum": 15,
    "vcpu.0.guest_mode.cur": 1,
    "vcpu.10.state": 1,
    "vcpu.10.wait": 7,
    "vcpu.10.halted": False,
    "vcpu.10.delay": 8,
    "vcpu.10.halt_exits.sum": 2**64 - 1,
}
VM = {"vm.remote_tlb_flush.sum": 3, "vm.pages_4k.cur": 9, "vm.max_mmu_rmap_size.max": 2}
CPU_TOTAL = {
    "cpu.time": 1,
    "cpu.haltpoll.success.time": 100,
    "cpu.haltpoll.fail.time": 200,
    "cpu.cache.monitor.count": 1,
    "cpu.cache.monitor.0.name": "vcpus_0-1",
    "cpu.cache.monitor.0.vcpus": "0-1",
    "cpu.cache.monitor.0.bank.count": 2,
    "cpu.cache.monitor.0.bank.0.id": 0,
    "cpu.cache.monitor.0.bank.0.bytes": 1441792,
    "cpu.cache.monitor.0.bank.1.id": 1,
    "cpu.cache.monitor.0.bank.1.bytes": 65536,
}
BANDWIDTH = {
    "memory.bandwidth.monitor.count": 1,
    "memory.bandwidth.monitor.0.name": "vcpus_0-4",
    "memory.bandwidth.monitor.0.vcpus": "0-4",
    "memory.bandwidth.monitor.0.node.count": 1,
    "memory.bandwidth.monitor.0.node.0.id": 0,
    "memory.bandwidth.monitor.0.node.0.bytes.total": 10208067584,
    "memory.bandwidth.monitor.0.node.0.bytes.local": 4807114752,
}
DIRTY_RATE = {
    "dirtyrate.calc_status": 2,
    "dirtyrate.calc_start_time": 13645,
    "dirtyrate.calc_period": 1,
    "dirtyrate.calc_mode": "dirty-ring",
    "dirtyrate.megabytes_per_second": 3,
    "dirtyrate.vcpu.0.megabytes_per_second": 2,
    "dirtyrate.vcpu.1.megabytes_per_second": 1,
}
IOTHREADS = {
    "iothread.count": 1,
    "iothread.4.poll-max-ns": 32768,
    "iothread.4.poll-grow": 2,
    "iothread.4.poll-shrink": 0,
}
BLOCK = {
    "block.count": 3,
    "block.0.name": "vda",
    "block.0.backingIndex": 2,
    "block.0.rd.bytes": 512,
    "block.0.allocation": 196616,
    "block.0.capacity": 1048576,
    "block.0.physical": 200704,
    "block.0.threshold": 150000,
    "block.1.name": "vda",
    "block.1.backingIndex": 1,
    "block.1.allocation": 1024,
    "block.1.capacity": 1048576,
    "block.1.physical": 4096,
    "block.2.name": "hdc",
}
ALL = {**BALLOON, **VCPU, **VM, **CPU_TOTAL, **BANDWIDTH, **DIRTY_RATE, **IOTHREADS, "perf.cmt": 5}
"""All groups at once, as they come in one reply."""


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("balloon", {("memory", "balloon_maximum"): 2 << 30, ("timestamp", "balloon_last_update"): 1700000000}),
        ("vcpu_wait", {("derive", "vcpu_wait-0"): 5, ("derive", "vcpu_wait-10"): 7}),
        ("vcpu_delay", {("derive", "vcpu_delay-0"): 6, ("derive", "vcpu_delay-10"): 8}),
        ("vcpu_halted", {("gauge", "vcpu_halted-0"): 1, ("gauge", "vcpu_halted-10"): 0}),
        ("vcpu_stats", {("derive", "vcpu_0_halt_exits"): 15, ("gauge", "vcpu_0_guest_mode_cur"): 1}),
        (
            "vm",
            {
                ("derive", "vm_remote_tlb_flush"): 3,
                ("gauge", "vm_pages_4k_cur"): 9,
                ("gauge", "vm_max_mmu_rmap_size_max"): 2,
            },
        ),
        ("halt_polling", {("derive", "haltpoll_success"): 100, ("derive", "haltpoll_fail"): 200}),
        (
            "cache_monitor",
            {("bytes", "cache-vcpus_0-1-bank_0"): 1441792, ("bytes", "cache-vcpus_0-1-bank_1"): 65536},
        ),
        (
            "memory_bandwidth",
            {
                ("memory_bandwidth", "vcpus_0-4-node_0-local"): 4807114752,
                ("memory_bandwidth", "vcpus_0-4-node_0-total"): 10208067584,
            },
        ),
        (
            "dirty_rate",
            {
                ("gauge", "dirty_rate"): 3 << 20,
                ("gauge", "dirty_rate-0"): 2 << 20,
                ("gauge", "dirty_rate-1"): 1 << 20,
                ("gauge", "dirty_rate_start"): 13645,
            },
        ),
        (
            "iothread",
            {
                ("gauge", "iothreads"): 1,
                ("gauge", "iothread_poll_max-4"): 32768,
                ("gauge", "iothread_poll_grow-4"): 2,
                ("gauge", "iothread_poll_shrink-4"): 0,
            },
        ),
        ("perf", {("perf", "perf_cmt"): 5}),
    ],
)
def test_a_selector_takes_its_own_out_of_a_reply_with_all_groups(selector, expected):
    made = mapped(selector, ALL)
    assert {(metric.type, metric.type_instance): metric.values[0] for metric in made} == expected
    assert len(made) == len(expected)


@pytest.mark.parametrize(
    "selector", sorted(extras.MAPPING.keys() - {"disk", "domain_state", "pcpu", "disk_layers", "disk_threshold"})
)
def test_what_libvirt_does_not_tell_is_absent(selector):
    assert mapped(selector, {}) == []


def test_a_balloon_that_never_told_has_no_time():
    assert mapped("balloon", {"balloon.last-update": 0}) == []


@pytest.mark.parametrize("status", [0, 1])
def test_a_dirty_rate_that_was_not_measured_is_absent(status):
    assert mapped("dirty_rate", {**DIRTY_RATE, "dirtyrate.calc_status": status}) == []


def test_the_state_of_each_virtual_cpu():
    assert mapped("vcpu_state", [Vcpu(0, 1, 10, ()), Vcpu(3, 2, 20, ())]) == [
        Metric("gauge", "vcpu_state-0", (1,)),
        Metric("gauge", "vcpu_state-3", (2,)),
    ]


def test_the_images_of_a_disk_go_by_their_place_in_the_chain():
    images = extras.layers(BLOCK)
    assert list(images) == ["vda", "hdc"]
    assert mapped("disk_layers", images["vda"], "vda") == [
        Metric("gauge", "layers-vda", (2,)),
        Metric("disk_allocation", "vda-layer_0", (196616,)),
        Metric("disk_capacity", "vda-layer_0", (1048576,)),
        Metric("disk_physical", "vda-layer_0", (200704,)),
        Metric("disk_allocation", "vda-layer_1", (1024,)),
        Metric("disk_capacity", "vda-layer_1", (1048576,)),
        Metric("disk_physical", "vda-layer_1", (4096,)),
    ]
    assert mapped("disk_threshold", images["vda"], "vda") == [Metric("bytes", "write_threshold-vda", (150000,))]


def test_a_drive_without_a_medium_has_no_sizes_and_no_threshold():
    images = extras.layers(BLOCK)["hdc"]
    assert mapped("disk_layers", images, "hdc") == [Metric("gauge", "layers-hdc", (1,))]
    assert mapped("disk_threshold", images, "hdc") == []


def test_every_type_is_one_of_collectds_with_as_many_values():
    made = [
        *(metric for selector in BULK_SELECTORS for metric in mapped(selector, ALL)),
        *mapped("vcpu_state", [Vcpu(0, 1, 10, ())]),
        *mapped("disk_layers", extras.layers(BLOCK)["vda"], "vda"),
        *mapped("disk_threshold", extras.layers(BLOCK)["vda"], "vda"),
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


@pytest.mark.parametrize("selector", ["disk", "disk_layers", "disk_threshold"])
def test_long_labels_are_told_apart_in_every_type_instance_made_of_them(selector):
    reply = {
        "disk": DiskTimes(1, 1, 1, 1, 1, 1, 1, 1),
        "disk_layers": [{"allocation": 1}, {"allocation": 1}],
        "disk_threshold": [{"threshold": 1}],
    }[selector]
    labels = [presentable("x" * 200 + end) for end in "ab"]
    first, second = ([(m.type, m.type_instance) for m in mapped(selector, reply, label)] for label in labels)
    # collectd keeps 127 bytes.
    assert not {(kind, name[:127]) for kind, name in first} & {(kind, name[:127]) for kind, name in second}


NOT_NUMBERS = ["5", "", None, (), math.nan, math.inf, -math.inf, 2**64, -(2**64), 10**400]
ALL_TOO = {**ALL, **BALLOON, "perf.cmt": 1}


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=lambda value: repr(value)[:10])
@pytest.mark.parametrize("selector", [*BULK_SELECTORS, "memory", "job_stats_completed"])
def test_a_value_that_collectd_cannot_take_is_no_metric_and_costs_no_other(selector, value):
    number = (int, float)
    for key in ALL_TOO:
        if not isinstance(ALL_TOO[key], number) or key.endswith(".id"):
            continue
        found = mapped(selector, {**ALL_TOO, key: value})
        without = mapped(selector, {name: other for name, other in ALL_TOO.items() if name != key})
        assert found == without, key


def test_a_counter_that_is_larger_than_collectds_is_no_metric():
    assert mapped("halt_polling", {"cpu.haltpoll.fail.time": 2**63, "cpu.haltpoll.success.time": 1}) == [
        Metric("derive", "haltpoll_success", (1,))
    ]
    assert mapped("vcpu_wait", {"vcpu.0.wait": 2**63, "vcpu.1.wait": 2**63 - 1}) == [
        Metric("derive", "vcpu_wait-1", (2**63 - 1,))
    ]
    # Pages become bytes.
    assert mapped("memory", {"balloon.swap_in": 2**60, "balloon.swap_out": 1}) == [Metric("swap_io", "out", (1024,))]


@pytest.mark.parametrize("number", ["00", "-0", "1_0", "\u0661", "9" * 5000, "", "x"])
def test_a_number_that_libvirt_does_not_write_is_none(number):
    assert mapped("vcpu_wait", {"vcpu.0.wait": 5, f"vcpu.{number}.wait": "text"}) == [
        Metric("derive", "vcpu_wait-0", (5,))
    ]
    assert mapped("vcpu_wait", {f"vcpu.{number}.wait": 6}) == []
    assert extras.layers({f"block.{number}.name": "vda"}) == {}


def test_an_image_of_a_disk_without_a_name_is_of_no_disk():
    assert extras.layers({"block.0.name": 5, "block.1.name": "vda", "block.2.capacity": 1}) == {
        "vda": [{"name": "vda"}]
    }


@pytest.mark.parametrize(
    ("selector", "key"),
    [("job_stats_completed", "{}"), ("perf", "perf.{}"), ("vm", "vm.{}.sum"), ("vcpu_stats", "vcpu.0.{}.max")],
)
def test_whatever_libvirt_calls_it_a_type_instance_is_one_that_collectd_takes(selector, key):
    (metric,) = mapped(selector, {key.format("x" * 200 + "\n\0"): 1})
    assert len(metric.type_instance.encode()) <= LONGEST
    assert metric.type_instance.isprintable()


@pytest.mark.parametrize(
    ("names", "ask"),
    [
        (["block.{}.name", "block.{}.path", "block.{}.capacity"], extras.layers),
        (["cpu.cache.monitor.{}.name", "cpu.cache.monitor.{}.bank.0.id"], lambda stats: mapped("cache_monitor", stats)),
        (["memory.bandwidth.monitor.{}.name"], lambda stats: mapped("memory_bandwidth", stats)),
    ],
    ids=["images", "cache monitors", "memory monitors"],
)
def test_thousands_of_images_or_monitors_take_a_time_in_proportion(names, ask):
    stats = {name.format(number): "vda" for number in range(10_000) for name in names}
    began = time.process_time()
    ask(stats)
    assert time.process_time() - began < 2.0
