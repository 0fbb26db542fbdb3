"""What a driver lacks, a device that goes and a call that fails cost no more than they must, and are told once."""

from __future__ import annotations

import pytest

from tests.unit.fakes import LXC, XEN, DiskStats
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, INCOMPLETE, INTERVAL
from virt2.errors import CallFailed, Unsupported
from virt2.model.events import CHANGED


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
