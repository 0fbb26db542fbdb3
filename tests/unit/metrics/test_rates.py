"""What two samples say that one does not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.fakes import DiskTimes
from virt2.metrics.metric import Metric
from virt2.metrics.rates import CpuUse, cpu_util, disk_latency


def used(before: int, now: int, elapsed: float, vcpus: int = 2, host_cpus: int = 8) -> dict[str, float]:
    made = cpu_util(CpuUse(before, vcpus, host_cpus), CpuUse(now, vcpus, host_cpus), elapsed, "")
    assert all(metric.type == "percent" for metric in made)
    return {metric.type_instance: metric.values[0] for metric in made}


def test_cpu_use_is_of_the_time_that_passed_and_of_all_cpus():
    assert used(1_000_000_000, 3_000_000_000, 4.0) == {"virt_cpu_total": 6.25, "guest_cpu": 25.0}


def test_a_counter_that_stands_is_no_use_and_that_is_a_value():
    assert used(5, 5, 10.0) == {"virt_cpu_total": 0.0, "guest_cpu": 0.0}


def test_a_counter_that_was_set_back_gives_nothing():
    assert used(2_000_000_000, 1_000_000_000, 10.0) == {}


def test_what_qemu_does_beside_the_guest_does_not_lead_out_of_range():
    assert used(0, 30_000_000_000, 10.0, vcpus=1) == {"virt_cpu_total": 37.5, "guest_cpu": 100.0}


@pytest.mark.parametrize(("vcpus", "host_cpus", "named"), [(1, 0, {"guest_cpu"}), (0, 1, {"virt_cpu_total"})])
def test_where_the_number_of_cpus_is_not_known_the_other_one_is_told(vcpus, host_cpus, named):
    assert used(0, 1_000_000_000, 10.0, vcpus, host_cpus).keys() == named


def test_a_virtual_cpu_that_was_added_counts_from_the_later_sample_on():
    (_, guest) = cpu_util(CpuUse(0, 1, 8), CpuUse(2_000_000_000, 2, 8), 2.0, "")
    assert guest == Metric("percent", "guest_cpu", (50.0,))


counters = st.integers(0, 2**63 - 1)


@given(counters, counters, st.floats(1e-3, 1e5), st.integers(0, 512), st.integers(0, 512))
def test_cpu_use_is_never_out_of_what_the_type_admits(before, now, elapsed, vcpus, host_cpus):
    assert all(0 <= value <= 100.1 for value in used(before, now, elapsed, vcpus, host_cpus).values())


BEFORE = DiskTimes(
    read_ops=100,
    read_octets=0,
    read_time=1_000_000_000,
    write_ops=200,
    write_octets=0,
    write_time=2_000_000_000,
    flush_ops=10,
    flush_time=500_000_000,
)


def latency(**changed: int) -> list[Metric]:
    """What is told ten seconds after `BEFORE` with these counters grown by so much."""
    now = BEFORE._replace(**{field: getattr(BEFORE, field) + more for field, more in changed.items()})
    return list(disk_latency(BEFORE, now, 10.0, "vda"))


def test_latency_is_the_average_of_the_requests_in_between_in_ms():
    assert latency(read_ops=4, read_time=10_000_000, write_ops=2, write_time=7_000_000) == [
        Metric("disk_latency", "vda", (2.5, 3.5))
    ]


def test_latency_of_flushes_goes_by_itself():
    assert latency(flush_ops=2, flush_time=9_000_000) == [Metric("latency", "flush-vda", (4.5,))]


def test_where_nothing_was_asked_of_the_disk_there_is_no_latency():
    assert latency() == []


@pytest.mark.parametrize(("kind", "place"), [("read", 0), ("write", 1)])
def test_beside_the_kind_that_was_asked_for_the_other_one_is_no_number(kind, place):
    (metric,) = latency(**{f"{kind}_ops": 1, f"{kind}_time": 3_000_000})
    assert metric.values[place] == 3.0
    assert math.isnan(metric.values[1 - place])


@pytest.mark.parametrize("field", ["read_ops", "read_time"])
def test_counters_that_were_set_back_give_no_latency(field):
    assert latency(**{"read_ops": 1, "read_time": 1, field: -50}) == []


@pytest.mark.parametrize("field", ["read_ops", "read_time"])
def test_counters_that_are_not_known_give_no_latency(field):
    unknown = BEFORE._replace(**{field: -1})
    later = BEFORE._replace(read_ops=101, read_time=2_000_000_000)
    assert list(disk_latency(unknown, later, 1.0, "vda")) == list(disk_latency(later, unknown, 1.0, "vda")) == []


counts = st.integers(-1, 2**63 - 1)


@given(st.builds(DiskTimes, *[counts] * 8), st.builds(DiskTimes, *[counts] * 8))
def test_latency_is_never_negative(before, now):
    values = [value for metric in disk_latency(before, now, 1.0, "vda") for value in metric.values]
    assert all(math.isnan(value) or value >= 0 for value in values)


def test_flushes_of_disks_with_long_names_are_told_apart():
    before, now = DiskTimes(*[0] * 8), DiskTimes(*[10**9] * 8)
    names = {metric.type_instance[:127] for end in "ab" for metric in disk_latency(before, now, 1.0, "x" * 126 + end)}
    assert len(names) == 4
