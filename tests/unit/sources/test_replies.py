"""What libvirts of several versions said, from XML and replies to metrics (see tests/unit/replies)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tests.unit import replies
from tests.unit.fakes import TAG_NAMESPACE
from tests.unit.replies import Recording
from virt2.description import domainxml, storage
from virt2.domains.health import Health
from virt2.metrics.metric import Metric
from virt2.metrics.selectors import LIBVIRT_NAMES, Selection
from virt2.model.domain import Domain
from virt2.output.naming import Identity, Names
from virt2.readers.gate import Gate
from virt2.readers.needs import ServerNeeds
from virt2.readers.records import Outcome, Record, Trouble
from virt2.readers.results import Results
from virt2.readers.sampling import Sampler
from virt2.workers.job import Job

RECORDINGS = {recording.name: recording for recording in replies.recordings()}
DERIVED = "derived"
REAL = sorted(RECORDINGS.keys() - {DERIVED})
SIZES = ("disk_allocation", "disk_capacity", "disk_physical")
MOUNTS = storage.Mounts.parse("")
DISK_TYPES = ("disk_octets", "disk_ops")
NIC_TYPES = ("if_octets", "if_packets", "if_errors", "if_dropped")


class Read:
    """One read of a replayed domain: what went out, and what was said."""

    def __init__(self, recording: Recording, name: str, extra: Iterable[str] = ()) -> None:
        self.said: list[str] = []
        self.answered: list[bool] = []
        self.metrics: dict[str, tuple[int | float, ...]] = {}
        """Values by type and type instance."""
        connection = recording.connection(name)
        (listed,) = connection.active()
        self.description = domainxml.describe(
            connection.xml(listed.uuid), namespace=TAG_NAMESPACE, element="tag", mounts=MOUNTS
        )
        self._domain = Domain(listed.uuid, listed.name, listed.id, self.description)
        self._health = Health(0.0)
        self._results = Results(Names(("name",), (), "host"), self)
        selection = Selection(tuple(extra))
        sampler = Sampler(self._put, Gate(), extra=lambda uuid: selection)
        self._run(connection, sampler.server_job(self._domain, self._health, ServerNeeds(), False, lambda uuid: None))
        self._run(connection, sampler.monitor_job(self._domain, self._health))
        self._run(connection, sampler.storage_job(self._domain, self._health))
        self._run(connection, sampler.outside_job(self._domain, self._health))

    def of(self, *types: str) -> dict[str, tuple[int | float, ...]]:
        """The metrics of these types."""
        return {name: values for name, values in self.metrics.items() if name.partition("-")[0] in types}

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        """Stand in for collectd."""
        for metric in metrics:
            name = "-".join(filter(None, metric[:2]))
            assert name not in self.metrics, f"{name} goes out twice"
            self.metrics[name] = metric.values

    def _put(self, record: Record) -> None:
        if isinstance(record, Trouble):
            self.said.append(record.text)
        elif isinstance(record, Outcome):
            self.answered.append(record.answered)
        self._results.put(record)

    def _run(self, connection: object, job: Job) -> None:
        job.work(connection, job)
        self._results.take({self._domain.uuid: self._domain}, {self._domain.uuid: self._health})


def every_domain() -> list[object]:
    return [
        pytest.param(recording, name, id=f"{recording.name} {name}")
        for recording in RECORDINGS.values()
        for name in recording.domains
    ]


@pytest.fixture(params=REAL)
def recording(request) -> Recording:
    return RECORDINGS[request.param]


@pytest.fixture
def derived() -> Recording:
    return RECORDINGS[DERIVED]


def test_there_are_recordings_of_several_versions_and_each_says_where_it_comes_from():
    assert len(REAL) >= 3
    for name in REAL:
        assert RECORDINGS[name].origin.startswith("recorded by tests/record_replies.py")
        assert name.removeprefix("libvirt-") in RECORDINGS[name].origin
    assert "by hand" in RECORDINGS[DERIVED].origin


@pytest.mark.parametrize(("recording", "name"), every_domain())
def test_every_domain_is_described_and_answers_and_nothing_is_complained_of(recording, name):
    read = Read(recording, name, LIBVIRT_NAMES)
    assert recording.note(name)
    assert not read.description.problems
    assert read.said == []
    assert all(read.answered)
    assert {"virt_cpu_total", "memory-total"} <= set(read.metrics)


def test_disks_and_interfaces_of_a_usual_domain(recording):
    read = Read(recording, "balloon", (*SIZES, "disk_err"))
    nics = [nic.target for nic in read.description.nics]
    assert len(nics) == 2
    assert set(read.of(*NIC_TYPES)) == {f"{kind}-{nic}" for kind in NIC_TYPES for nic in nics}
    stats = recording.bulk("balloon", "BLOCK")
    for number, disk in enumerate(("vda", "vdb")):
        block = {key: stats[f"block.{number}.{key}"] for key in ("rd.bytes", "wr.bytes", "rd.reqs", "wr.reqs")}
        assert block["rd.bytes"] > 0
        assert block["wr.bytes"] == 512 * block["wr.reqs"] > 0
        # The guest went on between the two calls.
        assert 0 <= block["rd.bytes"] - read.metrics[f"disk_octets-{disk}"][0] <= 2048
        assert 0 <= block["wr.reqs"] - read.metrics[f"disk_ops-{disk}"][1] <= 4
        assert read.metrics[f"disk_capacity-{disk}"] == (1 << 20,)
        assert read.metrics[f"disk_error-{disk}"] == (0,)


def test_a_domain_without_balloon_and_interface_has_everything_else(recording):
    read = Read(recording, "no-balloon")
    assert read.metrics["memory-total"] == (16 << 20,)
    assert not read.of(*NIC_TYPES)
    assert set(read.of(*DISK_TYPES)) == {"disk_octets-vda", "disk_ops-vda"}


def test_a_drive_without_a_medium_counts_nothing_and_has_no_size(recording):
    read = Read(recording, "empty-drive", SIZES)
    assert read.of(*DISK_TYPES).keys() >= {"disk_octets-hdc", "disk_ops-hdc"}
    assert read.metrics["disk_octets-hdc"] == (0, 0)
    assert set(read.of(*SIZES)) == {f"{kind}-vda" for kind in SIZES}


def test_each_disk_keeps_its_values_when_another_one_changes_the_order(recording):
    before, after = Read(recording, "disks-before"), Read(recording, "disks-after")
    order = [
        [stats[f"block.{number}.name"] for number in range(stats["block.count"])]
        for stats in (recording.bulk("disks-before", "BLOCK"), recording.bulk("disks-after", "BLOCK"))
    ]
    assert order[0].index("vdf") != order[1].index("vdf")
    assert [disk.target for disk in after.description.disks] == order[1]
    assert set(after.of(*DISK_TYPES)) - set(before.of(*DISK_TYPES)) == {"disk_octets-vde", "disk_ops-vde"}
    for name, values in before.of(*DISK_TYPES).items():
        assert all(old <= new for old, new in zip(values, after.metrics[name]))
    # The guest drives the first four only.
    assert after.metrics["disk_ops-vda"] > (0, 0)
    assert after.metrics["disk_ops-vdf"] == (0, 0)


def test_a_disk_with_a_backing_chain_is_one_disk(recording):
    read = Read(recording, "chain", SIZES)
    assert set(read.of(*DISK_TYPES, *SIZES)) == {f"{kind}-vda" for kind in (*DISK_TYPES, *SIZES)}
    assert read.description.disks[0].source.endswith("overlay.qcow2")


def test_a_network_disk_has_its_counters_and_sizes(recording):
    read = Read(recording, "network-disk", SIZES)
    assert {f"{kind}-vdb" for kind in (*DISK_TYPES, *SIZES)} <= set(read.metrics)
    assert read.metrics["disk_capacity-vdb"] == (1 << 20,)


def test_a_paused_domain_has_all_its_values(recording):
    read = Read(recording, "paused")
    (nic,) = read.description.nics
    assert {f"{kind}-vda" for kind in DISK_TYPES} | {f"{kind}-{nic.target}" for kind in NIC_TYPES} <= set(read.metrics)


def test_requests_have_times_in_ns_and_flushes(recording):
    read = Read(recording, "balloon", ("disk",))
    stats = recording.bulk("balloon", "BLOCK")
    for number, disk in enumerate(("vda", "vdb")):
        times = read.metrics[f"disk_time-{disk}"]
        assert 0 < times[0] <= stats[f"block.{number}.rd.times"]
        assert 0 < times[1] <= stats[f"block.{number}.wr.times"]
        assert read.metrics[f"total_requests-flush-{disk}"] == (0,)
        assert read.metrics[f"total_time_in_ms-flush-{disk}"] == (0,)
    # The call serves the default metrics as well.
    assert {"disk_octets-vda", "disk_ops-vdb"} <= set(read.metrics)


def test_memory_without_a_balloon_driver_is_what_the_host_knows(recording):
    read = Read(recording, "balloon", ("memory",))
    assert set(read.of("memory", "swap_io", "ps_pagefaults")) == {"memory-total", "memory-actual_balloon", "memory-rss"}
    assert read.metrics["memory-actual_balloon"] == (16 << 20,)
    assert read.metrics["memory-rss"] == (recording.bulk("balloon", "BALLOON")["balloon.rss"] * 1024,)


def test_memory_without_a_balloon_is_that_too(recording):
    read = Read(recording, "no-balloon", ("memory",))
    assert read.metrics["memory-actual_balloon"] == (16 << 20,)
    assert read.metrics["memory-rss"] > (1 << 20,)


def test_memory_with_a_balloon_driver_has_sizes_in_bytes_and_counts_as_they_are(derived):
    assert Read(derived, "balloon-driver", ("memory",)).of("memory", "swap_io", "ps_pagefaults") == {
        "memory-total": (1 << 30,),
        "memory-actual_balloon": (1 << 30,),
        "memory-available": (1000000 * 1024,),
        "memory-disk_caches": (200000 * 1024,),
        "memory-rss": (900000 * 1024,),
        "memory-unused": (400000 * 1024,),
        "memory-usable": (700000 * 1024,),
        "memory-hugetlb_pgalloc": (3,),
        "memory-hugetlb_pgfail": (1,),
        "swap_io-in": (12 * 1024,),
        "swap_io-out": (34 * 1024,),
        "ps_pagefaults": (7890, 56),
    }


def test_a_virtual_cpu_that_is_plugged_in_is_there_and_one_that_is_not_is_not(recording):
    before, after = (Read(recording, f"vcpus-{when}", ("vcpu", "vcpupin")) for when in ("before", "after"))
    assert set(before.of("virt_vcpu")) == {"virt_vcpu-0"}
    assert set(after.of("virt_vcpu")) == {"virt_vcpu-0", "virt_vcpu-1"}
    assert recording.bulk("vcpus-after", "VCPU")["vcpu.maximum"] == 3
    host_cpus = {name.partition("-cpu_")[2] for name in after.of("cpu_affinity")}
    assert set(after.of("cpu_affinity")) == {
        f"cpu_affinity-vcpu_{vcpu}-cpu_{cpu}" for vcpu in (0, 1) for cpu in host_cpus
    }


def test_events_that_are_enabled_go_out_under_the_c_plugins_names(recording):
    read = Read(recording, "balloon", ("perf",))
    assert set(read.of("perf")) == {"perf-perf_cpu_clock", "perf-perf_page_faults"}
    assert not Read(recording, "chain", ("perf",)).of("perf")


def test_where_cpu_times_are_refused_everything_else_is_there():
    # That host has no CPU accounting in its cgroups: libvirt 7.0 finds none in version 2.
    read = Read(RECORDINGS["libvirt-7.0"], "balloon", LIBVIRT_NAMES)
    assert not read.of("ps_cputime")
    assert read.of("virt_vcpu")
    assert read.said == []
    for name in ("libvirt-9.0", "libvirt-11.3"):
        assert Read(RECORDINGS[name], "balloon", ("pcpu",)).metrics["ps_cputime"] > (0, 0)


def test_without_a_job_nothing_is_said_of_one(recording):
    assert not Read(recording, "balloon", ("job_stats_background", "job_stats_completed")).of("job_stats")


def test_state_and_reason_are_libvirts_numbers(recording):
    assert Read(recording, "balloon", ("domain_state",)).metrics["domain_state"] == (1, 1)
    assert Read(recording, "paused", ("domain_state",)).metrics["domain_state"] == (3, 1)


def test_an_image_in_a_ceph_pool_goes_by_its_target_and_lies_on_its_pool(derived):
    read = Read(derived, "rbd", SIZES)
    assert {f"{kind}-vdb" for kind in (*DISK_TYPES, *SIZES)} <= set(read.metrics)
    (disk,) = (disk for disk in read.description.disks if disk.target == "vdb")
    assert "ceph-mon-1.example.org" in disk.storage
    assert disk.source == "vms/web-1"


def test_of_a_vhost_user_interface_the_direction_that_is_known_goes_out(derived):
    read = Read(derived, "vhost-user")
    assert read.metrics["if_tx_errors-vhu1"] == (2,)
    assert "if_rx_errors-vhu1" not in read.metrics
    assert read.metrics["if_octets-vhu1"] == (5000, 7000)
    assert read.metrics["if_packets-vhu1"] == (50, 70)
    assert read.metrics["if_dropped-vhu1"] == (3, 4)
    assert "if_errors-vhu1" not in read.metrics


def test_an_interface_that_is_passed_through_is_absent_and_its_neighbour_is_not(derived):
    read = Read(derived, "passthrough")
    assert len(read.of(*NIC_TYPES)) == len(NIC_TYPES)
    assert "net.0.name" not in derived.bulk("passthrough", "INTERFACE")
