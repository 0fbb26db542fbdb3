"""From libvirt's replies to metrics: the C plugin's names, and no value that libvirt does not know."""

from __future__ import annotations

import pytest

from tests.unit.fake_collectd import TYPES
from tests.unit.fakes import DiskStats, NicStats
from virt2.metrics.defaults import BALLOON_SIZE, CPU_TIME, DISK, MAPPING, NIC, RSS
from virt2.metrics.metric import Metric, gauge, monitor_blocked, sample_age


def mapped(call: str, reply: object, device: str = "") -> list[Metric]:
    return list(MAPPING[call](reply, device))


def test_cpu_time_is_in_ns_and_memory_in_bytes():
    assert mapped(CPU_TIME, 123456789) == [Metric("virt_cpu_total", "", (123456789,))]
    assert mapped(BALLOON_SIZE, 1024) == [Metric("memory", "total", (1024 * 1024,))]
    assert mapped(RSS, 4096) == [Metric("memory", "rss", (4096,))]


def test_no_cpu_time_is_what_libvirt_says_of_a_process_that_has_just_ended():
    assert mapped(CPU_TIME, 0) == []


def test_a_disk_gives_read_before_write():
    stats = DiskStats(read_ops=1, read_octets=2, write_ops=3, write_octets=4, errors=5)
    assert mapped(DISK, stats, "vda") == [
        Metric("disk_octets", "vda", (2, 4)),
        Metric("disk_ops", "vda", (1, 3)),
    ]


def test_an_interface_gives_received_before_sent():
    stats = NicStats(
        rx_octets=1, rx_packets=2, rx_errors=3, rx_dropped=4, tx_octets=5, tx_packets=6, tx_errors=7, tx_dropped=8
    )
    assert mapped(NIC, stats, "vnet3") == [
        Metric("if_octets", "vnet3", (1, 5)),
        Metric("if_packets", "vnet3", (2, 6)),
        Metric("if_errors", "vnet3", (3, 7)),
        Metric("if_dropped", "vnet3", (4, 8)),
    ]


@pytest.mark.parametrize(
    ("fields", "types"),
    [
        pytest.param({"errors": -1}, ["disk_octets", "disk_ops"], id="errors are not reported"),
        pytest.param({"read_octets": -1}, ["disk_ops"], id="bytes read"),
        pytest.param({"write_octets": -1}, ["disk_ops"], id="bytes written"),
        pytest.param({"read_ops": -1}, ["disk_octets"], id="reads"),
        pytest.param({"write_ops": -1}, ["disk_octets"], id="writes"),
        pytest.param({"read_ops": -1, "read_octets": -1}, [], id="nothing known"),
    ],
)
def test_a_disk_counter_libvirt_does_not_know_is_absent(fields, types):
    stats = DiskStats(1, 2, 3, 4, 5)._replace(**fields)
    assert [metric.type for metric in mapped(DISK, stats, "vda")] == types


@pytest.mark.parametrize("counter", ["octets", "packets", "errors", "dropped"])
@pytest.mark.parametrize("direction", ["rx", "tx"])
def test_of_an_interface_counter_known_for_one_direction_that_one_goes_out_alone(counter, direction):
    stats = NicStats(1, 2, 3, 4, 5, 6, 7, 8)._replace(**{f"{direction}_{counter}": -1})
    other = {"rx": "tx", "tx": "rx"}[direction]
    made = {metric.type: metric.values for metric in mapped(NIC, stats, "vnet0")}
    assert made.pop(f"if_{other}_{counter}") == (getattr(stats, f"{other}_{counter}"),)
    assert list(made) == [f"if_{kind}" for kind in ("octets", "packets", "errors", "dropped") if kind != counter]


def test_an_interface_counter_libvirt_does_not_know_at_all_is_absent():
    stats = NicStats(1, 2, -1, 4, 5, 6, -1, 8)
    assert [metric.type for metric in mapped(NIC, stats, "vnet0")] == ["if_octets", "if_packets", "if_dropped"]


def test_zero_is_a_value():
    assert mapped(DISK, DiskStats(0, 0, 0, 0, 0), "vda") == [
        Metric("disk_octets", "vda", (0, 0)),
        Metric("disk_ops", "vda", (0, 0)),
    ]


def test_every_type_is_one_of_collectds_with_as_many_values():
    made = [
        *mapped(CPU_TIME, 1),
        *mapped(BALLOON_SIZE, 2),
        *mapped(RSS, 3),
        *mapped(DISK, DiskStats(1, 2, 3, 4, 5), "vda"),
        *mapped(NIC, NicStats(1, 2, 3, 4, 5, 6, 7, 8), "vnet0"),
        monitor_blocked(1.0),
        sample_age(1.0),
        gauge("workers", 3),
    ]
    assert {metric.type: len(metric.values) for metric in made} == {
        name: len(TYPES[name]) for name in {metric.type for metric in made}
    }


def test_what_virt2_says_itself():
    assert monitor_blocked(12.5) == Metric("duration", "monitor_blocked", (12.5,))
    assert sample_age(3.0) == Metric("duration", "sample_age", (3.0,))
    assert gauge("workers_busy", 2) == Metric("gauge", "workers_busy", (2,))
