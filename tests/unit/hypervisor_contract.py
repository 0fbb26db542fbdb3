"""What virt2 takes for granted of a hypervisor: run against the fake, libvirt's test driver and a real QEMU.

Each function is a test. A module that imports them gives the fixtures `hypervisor`, to connect to, and `subject`, one
domain that is running there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.unit import fakes
from virt2.description import domainxml, storage
from virt2.errors import Disconnected, DomainGone, Unsupported
from virt2.model.domain import Description

NOBODY = "11111111-2222-3333-4444-555555555555"


class Subject(NamedTuple):
    """A running domain, and what it is known to have."""

    name: str
    tag: str
    disk: str
    nic: str


def connection_to(hypervisor: Any, subject: Subject) -> tuple[Any, str]:
    connection = hypervisor.connect()
    return connection, connection.find(subject.name).uuid


def test_every_active_domain_is_listed_once(hypervisor, subject):
    listed = hypervisor.connect().active()
    assert [line.name for line in listed].count(subject.name) == 1
    assert len({line.uuid for line in listed}) == len(listed)


def test_a_line_of_the_list_has_uuid_name_and_a_positive_id(hypervisor, subject):
    line = next(line for line in hypervisor.connect().active() if line.name == subject.name)
    assert line._fields == fakes.Listed._fields
    assert len(line.uuid) == 36
    assert line.id > 0


def test_the_state_of_every_domain_is_told_and_active_ones_are_known_by_their_id(hypervisor, subject):
    connection = hypervisor.connect()
    statuses = {status.uuid: status for status in connection.statuses()}
    (listed,) = [line for line in connection.active() if line.name == subject.name]
    status = statuses[listed.uuid]
    assert (status.name, status.id, status.active) == (subject.name, listed.id, True)
    assert (status.state, status.reason) == connection.state(listed.uuid)
    assert isinstance(status.persistent, bool)


def test_a_domain_that_runs_is_not_among_those_that_are_paused(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    paused = connection.paused()
    assert isinstance(paused, list)
    assert uuid not in paused
    assert set(paused) <= {line.uuid for line in connection.active()}


def test_a_look_up_by_name_gives_what_the_list_says(hypervisor, subject):
    connection = hypervisor.connect()
    assert connection.find(subject.name) in connection.active()


def test_its_xml_is_one_that_virt2_can_describe(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    description = domainxml.describe(
        connection.xml(uuid), namespace=fakes.TAG_NAMESPACE, element="tag", mounts=storage.Mounts.parse("")
    )
    assert not description.problems
    assert description.tag == subject.tag
    assert [disk.target for disk in description.disks] == [subject.disk]
    assert [nic.target for nic in description.nics] == [subject.nic]


def test_metadata_that_is_not_there_is_empty(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    assert connection.metadata(uuid, "http://example.org/nothing/of/the/kind") == ""


def test_the_tag_alone_can_be_had_where_the_metadata_is_broken(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    fetched = []

    def fetch(namespace: str) -> str:
        fetched.append(connection.metadata(uuid, namespace))
        return fetched[0]

    broken = connection.xml(uuid).replace("</metadata>", "<p:undeclared>&nonsense;</p:undeclared></metadata>", 1)
    description: Description = domainxml.describe(
        broken, namespace=fakes.TAG_NAMESPACE, element="tag", mounts=storage.Mounts.parse(""), metadata=fetch
    )
    assert fetched
    assert description.tag == subject.tag


def test_info_has_the_fields_we_use_and_they_make_sense(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    info = connection.info(uuid)
    assert info._fields == fakes.Info._fields
    assert info.state == fakes.RUNNING
    assert info.max_memory >= info.memory > 0
    assert info.vcpus >= 1
    assert info.cpu_time >= 0


def test_state_comes_with_its_reason(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    state, reason = connection.state(uuid)
    assert state == fakes.RUNNING
    assert isinstance(reason, int)


def test_nobody_is_in_the_monitor_of_a_domain_that_is_left_alone(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    control = connection.control(uuid)
    assert control._fields == fakes.Control._fields
    assert (control.state, control.seconds) == (fakes.OK, 0.0)


def test_counters_of_a_disk(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    stats = connection.disk(uuid, subject.disk)
    assert stats._fields == fakes.DiskStats._fields
    assert all(isinstance(value, int) and value >= -1 for value in stats)


def test_counters_of_an_interface(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    stats = connection.nic(uuid, subject.nic)
    assert stats._fields == fakes.NicStats._fields
    assert all(isinstance(value, int) and value >= -1 for value in stats)


def test_sizes_of_a_disk(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    sizes = connection.disk_sizes(uuid, subject.disk)
    assert sizes._fields == fakes.DiskSizes._fields
    assert all(isinstance(value, int) and value >= 0 for value in sizes)
    assert sizes.capacity > 0


def test_errors_of_disks_are_told_by_target_and_only_for_those_that_exist(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    failing = connection.disk_errors(uuid)
    assert isinstance(failing, dict)
    assert failing.keys() <= {subject.disk}
    assert all(isinstance(code, int) and code > 0 for code in failing.values())


def answered(call: Callable[[], Any]) -> Any:
    """The reply, None where the driver does not have the call: the test driver lacks some."""
    try:
        return call()
    except Unsupported:
        return None


def test_the_hosts_cpus(hypervisor, subject):
    cpus = hypervisor.connect().host_cpus()
    assert cpus._fields == fakes.HostCpus._fields
    assert 0 < cpus.active <= cpus.possible


@pytest.mark.parametrize("affinity", [False, True])
def test_virtual_cpus_with_their_affinity_where_it_is_wanted(hypervisor, subject, affinity):
    connection, uuid = connection_to(hypervisor, subject)
    count = connection.info(uuid).vcpus
    vcpus = connection.vcpus(uuid, count, affinity)
    assert len(vcpus) == count
    assert vcpus[0]._fields == fakes.Vcpu._fields
    assert [vcpu.number for vcpu in vcpus] == list(range(count))
    assert all(vcpu.state in (0, 1, 2) and vcpu.cpu_time >= 0 for vcpu in vcpus)
    assert {len(vcpu.affinity) for vcpu in vcpus} == {connection.host_cpus().possible if affinity else 0}
    assert all(any(vcpu.affinity) for vcpu in vcpus) is affinity


def test_cpu_time_in_user_and_in_kernel_mode(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    times = answered(lambda: connection.cpu_times(uuid))
    if times is not None:
        assert times._fields == fakes.CpuTimes._fields
        assert all(isinstance(value, int) and value >= -1 for value in times)


def test_counters_of_a_disk_with_times(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    times = answered(lambda: connection.disk_times(uuid, subject.disk))
    if times is not None:
        assert times._fields == fakes.DiskTimes._fields
        assert all(isinstance(value, int) and value >= -1 for value in times)


def test_counters_of_all_disks_at_once_are_those_of_each(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    found = answered(lambda: connection.disks(uuid))
    if found:
        assert found[subject.disk]._fields == fakes.DiskTimes._fields
        assert found[subject.disk] == connection.disk_times(uuid, subject.disk)


@pytest.mark.parametrize("completed", [False, True])
def test_a_domain_without_a_job_has_only_its_type(hypervisor, subject, completed):
    connection, uuid = connection_to(hypervisor, subject)
    job = answered(lambda: connection.job(uuid, completed))
    if job is not None:
        assert job == {"type": 0}


@pytest.mark.parametrize("groups", [("PERF",), ("BALLOON",), ("BALLOON", "PERF"), ("VCPU", "CPU_TOTAL"), ("BLOCK",)])
def test_bulk_statistics_go_by_libvirts_names_and_what_is_not_known_is_not_there(hypervisor, subject, groups):
    connection, uuid = connection_to(hypervisor, subject)
    stats = answered(lambda: connection.stats(uuid, groups))
    if stats is not None:
        assert isinstance(stats, dict)
        assert {name.split(".")[0].upper() for name in stats} <= {group.split("_")[0] for group in groups}
        assert "balloon.current" not in stats or stats["balloon.rss"] > 0


@pytest.mark.parametrize("call", ["disk", "disk_sizes", "disk_times", "nic"])
def test_a_device_that_is_not_there_is_gone(hypervisor, subject, call):
    connection, uuid = connection_to(hypervisor, subject)
    # The test driver does not have the one with times.
    with pytest.raises((DomainGone, Unsupported) if call == "disk_times" else DomainGone):
        getattr(connection, call)(uuid, "missing9")
    assert connection.alive


@pytest.mark.parametrize("call", ["xml", "info", "state", "control", "disk_errors"])
def test_a_domain_that_is_not_there_is_gone(hypervisor, subject, call):
    connection = hypervisor.connect()
    with pytest.raises(DomainGone):
        getattr(connection, call)(NOBODY)
    assert connection.alive


def test_an_extra_of_a_domain_that_is_not_there_is_gone(hypervisor, subject):
    connection = hypervisor.connect()
    for ask in extras_of(connection, NOBODY):
        with pytest.raises(DomainGone):
            ask()
    assert connection.alive


def test_a_closed_connection_answers_no_extra_of_a_domain_it_knew(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    connection.info(uuid)
    connection.close()
    for ask in extras_of(connection, uuid):
        with pytest.raises(Disconnected):
            ask()


def extras_of(connection: Any, uuid: str) -> list[Callable[[], Any]]:
    return [
        lambda: connection.vcpus(uuid, 1, False),
        lambda: connection.cpu_times(uuid),
        lambda: connection.disk_times(uuid, "vda"),
        lambda: connection.job(uuid, False),
        lambda: connection.job(uuid, True),
        lambda: connection.stats(uuid, ("PERF",)),
        lambda: connection.disks(uuid),
    ]


@pytest.mark.parametrize("call", ["disk", "disk_sizes", "nic", "metadata"])
def test_a_part_of_a_domain_that_is_not_there_is_gone(hypervisor, subject, call):
    with pytest.raises(DomainGone):
        getattr(hypervisor.connect(), call)(NOBODY, "vda")


def test_a_domain_without_a_backup_has_none(hypervisor, subject):
    connection, uuid = connection_to(hypervisor, subject)
    assert connection.backup(uuid) == ""


def test_a_name_that_is_not_there_is_gone(hypervisor, subject):
    with pytest.raises(DomainGone):
        hypervisor.connect().find("nobody is called that")


def test_a_version_reads_like_one(hypervisor, subject):
    assert all(part.isdigit() for part in hypervisor.connect().version().split("."))


def test_a_connection_lives_until_it_is_closed(hypervisor, subject):
    connection = hypervisor.connect()
    assert connection.alive
    connection.close()
    assert not connection.alive


def test_closing_twice_is_nothing(hypervisor, subject):
    connection = hypervisor.connect()
    connection.close()
    connection.close()
    assert not connection.alive


def test_no_active_domain_is_among_those_that_are_not(hypervisor, subject):
    inactive = hypervisor.connect().inactive()
    assert subject.name not in [status.name for status in inactive]
    assert all(not status.active and status.persistent for status in inactive)


@pytest.mark.parametrize("call", ["active", "inactive", "paused", "statuses", "version"])
def test_a_closed_connection_answers_nothing(hypervisor, subject, call):
    connection = hypervisor.connect()
    connection.close()
    with pytest.raises(Disconnected):
        getattr(connection, call)()


@pytest.mark.parametrize("call", ["xml", "info", "state", "control", "disk_errors"])
def test_a_closed_connection_answers_nothing_of_a_domain_it_knew(hypervisor, subject, call):
    connection, uuid = connection_to(hypervisor, subject)
    getattr(connection, call)(uuid)
    connection.close()
    with pytest.raises(Disconnected):
        getattr(connection, call)(uuid)


def test_closing_one_connection_leaves_the_others(hypervisor, subject):
    first, second = hypervisor.connect(), hypervisor.connect()
    first.close()
    assert second.active()
