"""What is asked of a domain, and what keeps its monitor from being asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.fake_time import Clock
from tests.unit.fakes import (
    ERROR,
    JOB,
    OCCUPIED,
    OK,
    PAUSED,
    Control,
    CpuTimes,
    DiskSizes,
    DiskStats,
    DiskTimes,
    FakeDomain,
    FakeHypervisor,
    NicStats,
)
from virt2.domains.health import Health
from virt2.errors import CallFailed, Disconnected, DomainBusy, Missing, Refused, Unsupported
from virt2.metrics.defaults import BALLOON_SIZE, CPU_TIME
from virt2.metrics.selectors import SELECTORS, Selection
from virt2.model.domain import Description, Disk, Domain, Nic
from virt2.readers.context import Clocks
from virt2.readers.gate import LOOKS, Gate
from virt2.readers.needs import ServerNeeds
from virt2.readers.records import Note, Outcome, Record, Sample, Trouble
from virt2.readers.sampling import Sampler
from virt2.readers.unsupported import MissingCalls
from virt2.workers.job import MONITOR, SERVER, Again, Job

STUCK_AFTER = 2.0
GATE = {"processes", "pre_scan", "alone", "check_workers", "stuck_after"}
"""Options of the bench that are the gate's."""
SIZE_TYPES = ("disk_allocation", "disk_capacity", "disk_physical")
DISK_ERRORS = "disk_err"


class Processes:
    """What /proc would say."""

    def __init__(self) -> None:
        self.letter = ""

    def stopped(self, uuid: str, name: str) -> str:
        return self.letter


def stays(domain: Domain) -> bool:
    """A domain whose disks are asked in bulk, because it lies where it always did."""
    return False


class Bench:
    """One domain of two disks and two interfaces, whose jobs are run on the test's own thread."""

    def __init__(self, **options: Any) -> None:
        self.hypervisor = FakeHypervisor()
        self.fake: FakeDomain = self.hypervisor.add("web", disks=("vda", "vdb"), nics=("vnet0", "vnet1"))
        self.clock = Clock(self.hypervisor.stage)
        self.records: list[Record] = []
        self.health = Health(self.clock())
        self.health.incoming = False
        self.done_with: list[str] = []
        self.processes = Processes()
        self.domain = Domain(
            self.fake.uuid,
            "web",
            1,
            Description(
                disks=tuple(Disk(target, "", "") for target in self.fake.disks),
                nics=tuple(Nic(target, "") for target in self.fake.nics),
            ),
        )
        self.gate = Gate(
            **{
                "processes": self.processes,
                "stuck_after": STUCK_AFTER,
                "clock": self.clock,
                **{name: value for name, value in options.items() if name in GATE},
            }
        )
        self.gate.missing = options.pop("missing", self.gate.missing)
        self.sampler = Sampler(
            self.records.append,
            self.gate,
            clocks=Clocks(self.clock, self.clock.wall),
            **{name: value for name, value in options.items() if name not in GATE},
        )
        self.hypervisor.on_call = self._tick
        self.connection = self.hypervisor.connect()
        self.hypervisor.calls.clear()

    def _tick(self, call: str, name: str, device: str) -> None:
        """Each call takes a second."""
        self.clock.now += 1.0

    def server(self, probe: bool = False) -> None:
        self._run(self.sampler.server_job(self.domain, self.health, ServerNeeds(), probe, self.done_with.append))

    def monitor(self) -> None:
        self._run(self.sampler.monitor_job(self.domain, self.health))

    def monitor_to_the_last_look(self) -> list[float]:
        return self.to_the_last_look(self.sampler.monitor_job(self.domain, self.health))

    def to_the_last_look(self, job: Job) -> list[float]:
        """Run the job as often as it asks for; returns the pauses it asked for."""
        pauses = []
        while True:
            try:
                self._run(job)
            except Again as wish:
                pauses.append(wish.delay)
            else:
                return pauses

    def _run(self, job: Job) -> None:
        job.clock = self.clock
        job.work(self.connection, job)

    @property
    def outcome(self) -> Outcome:
        (outcome,) = [record for record in self.records if isinstance(record, Outcome)]
        return outcome

    @property
    def samples(self) -> list[Sample]:
        return [record for record in self.records if isinstance(record, Sample)]

    @property
    def troubles(self) -> list[str]:
        return [record.text for record in self.records if isinstance(record, Trouble)]

    @property
    def asked(self) -> list[tuple[str, str]]:
        return [(call, device) for call, _, device in self.hypervisor.calls]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_the_server_job_asks_for_interfaces_and_info_and_nothing_else(bench):
    bench.server()
    assert bench.asked == [("interfaceStats", "vnet0"), ("interfaceStats", "vnet1"), ("info", "")]
    assert bench.outcome.answered


def test_the_monitor_job_looks_who_is_inside_once_and_asks_for_each_disk(bench):
    bench.monitor()
    assert bench.asked == [("controlInfo", ""), ("blockStats", "vda"), ("blockStats", "vdb")]
    assert bench.outcome.answered


def test_every_sample_carries_the_time_before_its_call(bench):
    began = bench.clock()
    bench.server()
    assert [(sample.call, sample.taken) for sample in bench.samples] == [
        ("interfaceStats", began),
        ("interfaceStats", began + 1),
        (BALLOON_SIZE, began + 2),
        (CPU_TIME, began + 2),
    ]
    assert all(sample.time - sample.taken == 1.7e9 for sample in bench.samples)


def test_the_monitor_answered_at_the_time_before_its_first_disk(bench):
    began = bench.clock()
    bench.monitor()
    assert bench.outcome.taken == began + 1


def test_replies_are_handed_on_as_they_are(bench):
    bench.fake.disk_stats = DiskStats(9, 8, 7, 6, 5)
    bench.fake.nic_stats = NicStats(1, 2, 3, 4, 5, 6, 7, 8)
    bench.server()
    bench.monitor()
    replies = {(sample.call, sample.device): sample.reply for sample in bench.samples}
    assert replies["blockStats", "vdb"] == bench.fake.disk_stats
    assert replies["interfaceStats", "vnet1"] == bench.fake.nic_stats
    assert replies[CPU_TIME, ""] == bench.fake.info.cpu_time
    assert replies[BALLOON_SIZE, ""] == bench.fake.info.memory


@pytest.mark.parametrize(
    ("reason", "incoming"),
    [
        pytest.param(1, False, id="by its user"),
        pytest.param(5, False, id="by an I/O error"),
        pytest.param(2, True, id="for a migration"),
        pytest.param(9, True, id="while it is fetched by another host"),
        pytest.param(11, True, id="while it is being started"),
    ],
)
def test_a_paused_domain_is_asked_why(bench, reason, incoming):
    bench.fake.info = bench.fake.info._replace(state=PAUSED)
    bench.fake.reason = reason
    bench.health.incoming = None
    bench.server()
    assert bench.asked[-1] == ("state", "")
    assert bench.health.incoming is incoming
    bench.records.clear()
    bench.monitor()
    assert bench.hypervisor.count("blockStats") == (0 if incoming else 2)
    assert bench.outcome.answered


def test_a_running_domain_is_incoming_no_more(bench):
    bench.health.incoming = True
    bench.server()
    assert bench.health.incoming is False
    assert bench.hypervisor.count("state") == 0


@pytest.mark.parametrize(("kind", "device"), [(SERVER, "vnet0"), (MONITOR, "vda")])
def test_a_device_that_is_gone_is_no_failure(bench, kind, device):
    (bench.fake.nics if kind == SERVER else bench.fake.disks).remove(device)
    bench.server() if kind == SERVER else bench.monitor()
    assert bench.outcome.answered
    assert device not in {sample.device for sample in bench.samples}
    assert bench.troubles == []


def test_a_device_without_counters_is_said_once_and_not_asked_again(bench):
    bench.fake.failures["blockStats vda"] = Unsupported("no counters here")
    bench.monitor()
    bench.records.clear()
    bench.hypervisor.calls.clear()
    bench.monitor()
    assert bench.asked == [("controlInfo", ""), ("blockStats", "vdb")]
    assert bench.outcome.answered
    assert bench.troubles == []


def test_what_a_device_cannot_is_told_in_libvirts_words(bench):
    bench.fake.failures["blockStats vda"] = Unsupported("no counters here")
    bench.monitor()
    assert bench.troubles == ["blockStats vda: no counters here"]


def test_one_device_that_fails_leaves_the_others(bench):
    bench.fake.failures["interfaceStats vnet0"] = CallFailed("internal error", 1)
    bench.server()
    assert [(sample.call, sample.device) for sample in bench.samples] == [
        ("interfaceStats", "vnet1"),
        (BALLOON_SIZE, ""),
        (CPU_TIME, ""),
    ]
    assert bench.troubles == ["interfaceStats vnet0: internal error"]


def test_a_domain_that_is_gone_is_no_trouble_and_no_answer(bench):
    bench.hypervisor.remove("web")
    bench.server()
    assert (bench.outcome.answered, bench.troubles, bench.samples) == (False, [], [])


def test_a_lost_connection_is_the_pools(bench):
    bench.hypervisor.cut()
    with pytest.raises(Disconnected):
        bench.server()
    with pytest.raises(Disconnected):
        bench.monitor()
    assert bench.records == []


@pytest.mark.parametrize(("state", "done"), [(OK, True), (OCCUPIED, False), (JOB, False), (ERROR, False)])
def test_a_probe_asks_first_whether_libvirtd_is_done(bench, state, done):
    bench.fake.control = Control(state, 0, 0.0)
    bench.server(probe=True)
    assert bench.asked[0] == ("controlInfo", "")
    assert bench.done_with == ([bench.fake.uuid] if done else [])
    assert bench.outcome.answered


def test_with_libvirtd_out_of_workers_only_priority_calls_are_made():
    bench = Bench(check_workers=lambda: True)
    bench.server()
    # Control info is one of them, too.
    assert bench.asked == [("interfaceStats", "vnet0"), ("interfaceStats", "vnet1"), ("controlInfo", "")]
    assert not bench.outcome.answered
    bench.records.clear()
    bench.hypervisor.calls.clear()
    bench.monitor()
    assert bench.asked == [("controlInfo", "")]
    assert (bench.outcome.answered, bench.outcome.cause) == (False, "")
    bench.records.clear()
    bench.fake.control = Control(OCCUPIED, 0, 7.0)
    bench.monitor()
    assert (bench.outcome.answered, bench.outcome.cause) == (False, "by another client")


def test_in_bulk_a_domain_that_may_have_moved_is_asked_without_touching_its_storage():
    moved = [False]
    bench = Bench(notice_move=lambda domain: moved[0])
    assert bench.sampler.monitor_job(bench.domain, bench.health).storage
    moved[0] = True
    assert not bench.sampler.monitor_job(bench.domain, bench.health).storage
    bench.monitor()
    assert bench.asked == [("controlInfo", ""), ("blockStats", "vda"), ("blockStats", "vdb")]


class TestStorage:
    """What touches the storage."""

    def bench(self, *extra: str, storage: tuple[str, str] = ("nfs", "nfs"), **options: Any) -> Bench:
        bench = Bench(extra=lambda uuid: Selection(extra), **options)
        disks = tuple(Disk(target, "/image", where) for target, where in zip(bench.fake.disks, storage))
        bench.domain = bench.domain._replace(description=Description(disks=disks))
        return bench

    def job(self, bench: Bench) -> Job:
        return bench.sampler.storage_job(bench.domain, bench.health)

    def test_it_looks_who_is_inside_once_and_asks_for_each_disk_and_for_all_errors_at_once(self):
        bench = self.bench(*SIZE_TYPES, DISK_ERRORS)
        bench._run(self.job(bench))
        assert bench.asked == [("controlInfo", ""), ("blockInfo", "vda"), ("blockInfo", "vdb"), ("diskErrors", "")]
        assert bench.outcome.answered

    @pytest.mark.parametrize(
        ("extra", "asked"),
        [((DISK_ERRORS,), ["diskErrors"]), (("disk_physical",), ["blockInfo"] * 2), ((), [])],
        ids=["errors", "a size", "nothing"],
    )
    def test_only_what_was_asked_for(self, extra, asked):
        bench = self.bench(*extra)
        bench._run(self.job(bench))
        assert [call for call, _ in bench.asked[1:]] == asked

    def test_the_sizes_that_were_asked_for_and_no_others(self):
        bench = self.bench("disk_physical", "disk_allocation")
        bench.fake.disk_sizes = DiskSizes(capacity=30, allocation=10, physical=20)
        bench._run(self.job(bench))
        assert [sample.reply for sample in bench.samples] == [{"disk_physical": 20, "disk_allocation": 10}] * 2

    def test_disks_without_errors_are_said_to_be_well(self):
        bench = self.bench(DISK_ERRORS)
        bench.fake.disk_errors = {"vdb": 2, "unplugged": 1}
        began = bench.clock()
        bench._run(self.job(bench))
        assert [(sample.device, sample.reply) for sample in bench.samples] == [("vda", 0), ("vdb", 2)]
        assert {sample.taken for sample in bench.samples} == {began + 1}

    def test_where_errors_cannot_be_had_nothing_is_said_of_them(self):
        bench = self.bench("disk_capacity", DISK_ERRORS)
        bench.fake.failures["diskErrors"] = CallFailed("internal error", 1)
        bench._run(self.job(bench))
        assert {sample.call for sample in bench.samples} == {"blockInfo"}
        assert bench.troubles == ["diskErrors: internal error"]
        assert (bench.outcome.answered, bench.outcome.complete) == (True, False)

    def test_a_drive_without_a_medium_is_not_asked_for_its_size(self):
        bench = self.bench("disk_capacity", storage=("nfs", ""))
        bench._run(self.job(bench))
        assert bench.asked[1:] == [("blockInfo", "vda")]

    @pytest.mark.parametrize(
        ("storage", "held"),
        [(("nfs", "nfs"), {"nfs"}), (("nfs", "san"), {"nfs", "san"}), (("", "san"), {"san"})],
        ids=["one", "two", "one known"],
    )
    def test_it_holds_the_storage_domains_of_all_disks(self, storage, held):
        bench = self.bench("disk_capacity", storage=storage)
        assert self.job(bench).storage == held

    def test_where_nothing_can_be_said_of_it_the_domain_holds_its_own(self):
        bench = self.bench(DISK_ERRORS, storage=("", ""))
        assert self.job(bench).storage == {bench.fake.uuid}

    def test_the_other_jobs_hold_none(self):
        bench = self.bench(*SIZE_TYPES)
        assert bench.sampler.monitor_job(bench.domain, bench.health).storage == frozenset()
        assert (
            bench.sampler.server_job(bench.domain, bench.health, ServerNeeds(), False, bench.done_with.append).storage
            == set()
        )

    @pytest.mark.parametrize("letter", ["T", "D"])
    def test_a_process_that_will_not_answer_is_left_alone(self, letter):
        bench = self.bench("disk_capacity")
        bench.processes.letter = letter
        bench.to_the_last_look(self.job(bench))
        assert bench.asked == []
        assert not bench.outcome.answered

    @pytest.mark.parametrize("control", [Control(OCCUPIED, 0, 0.1), Control(ERROR, 0, 0.0), Control(JOB, 0, 5.0)])
    def test_a_monitor_somebody_is_in_is_looked_at_again_and_then_left_alone(self, control):
        bench = self.bench("disk_capacity")
        bench.fake.control = control
        assert bench.to_the_last_look(self.job(bench)) == list(LOOKS)
        assert set(bench.asked) == {("controlInfo", "")}
        assert not bench.outcome.answered

    def test_a_monitor_that_is_free_at_the_second_look_is_used(self):
        bench = self.bench("disk_capacity")
        bench.fake.control = Control(OCCUPIED, 0, 0.001)
        job = self.job(bench)
        with pytest.raises(Again):
            bench._run(job)
        bench.fake.control = Control(OK, 0, 0.0)
        bench._run(job)
        assert len(bench.samples) == 2
        assert bench.outcome.answered

    def test_with_libvirtd_out_of_workers_it_is_left_for_later(self):
        bench = self.bench("disk_capacity", check_workers=lambda: True)
        bench._run(self.job(bench))
        assert bench.asked == []
        assert not bench.outcome.answered

    def test_a_size_that_cannot_be_told_costs_the_disk_nothing_else(self):
        bench = self.bench("disk_capacity")
        bench.fake.failures["blockInfo vda"] = Unsupported("no sizes here")
        bench._run(self.job(bench))
        bench.monitor()
        assert [(sample.call, sample.device) for sample in bench.samples] == [
            ("blockInfo", "vdb"),
            ("blockStats", "vda"),
            ("blockStats", "vdb"),
        ]
        bench.hypervisor.calls.clear()
        bench._run(self.job(bench))
        assert ("blockInfo", "vda") not in bench.asked
        assert bench.troubles == ["blockInfo vda: no sizes here"]


EVERY = {kind: tuple(selector.name for selector in SELECTORS if selector.kind == kind) for kind in "ABC"}


def extra_bench(*names: str, **options: Any) -> Bench:
    """A bench with these selectors on."""
    return Bench(extra=lambda uuid: Selection(names), **options)


class TestExtras:
    """What ExtraStats adds: few calls, each in its class."""

    def test_by_default_no_call_is_added(self, bench):
        bench.server()
        bench.monitor()
        assert len(bench.asked) == 2 + 1 + 1 + 2

    def test_with_everything_on_class_a_makes_these_calls(self):
        bench = extra_bench(*EVERY["A"], *EVERY["B"], *EVERY["C"])
        bench.server()
        assert bench.asked == [
            ("state", ""),
            ("interfaceStats", "vnet0"),
            ("interfaceStats", "vnet1"),
            ("info", ""),
            ("nodeInfo", ""),
            ("jobStats", "completed"),
            ("getCPUStats", ""),
            ("vcpus", ""),
            ("bulk", " ".join(Selection(EVERY["A"]).server[-1].groups)),
        ]
        assert bench.outcome.answered

    def test_the_host_is_asked_for_its_cpus_once_per_connection(self):
        bench = extra_bench("cpu_util", "vcpupin")
        bench.server()
        bench.records.clear()
        bench.server()
        assert bench.hypervisor.count("nodeInfo") == 1

    def test_with_everything_on_class_b_makes_one_call_per_disk_one_for_the_job_and_one_in_bulk(self):
        bench = extra_bench(*EVERY["A"], *EVERY["B"], *EVERY["C"])
        bench.monitor()
        assert bench.asked == [
            ("controlInfo", ""),
            ("blockStatsFlags", "vda"),
            ("blockStatsFlags", "vdb"),
            ("jobStats", ""),
            ("bulk", " ".join(Selection(EVERY["B"]).monitor[-1].groups)),
        ]
        assert bench.outcome.answered

    def test_every_call_goes_before_the_job_that_admits_it(self):
        bench = extra_bench(*EVERY["A"], *EVERY["B"], *EVERY["C"])
        bench.server()
        bench.monitor()
        assert not {"blockInfo", "diskErrors"} & {call for call, _ in bench.asked}
        assert not any("BLOCK" in device for _, device in bench.asked)

    def test_one_reply_serves_every_selector_that_needs_it(self):
        bench = extra_bench("vcpu", "vcpupin")
        bench.server()
        assert bench.hypervisor.count("vcpus") == 1
        samples = {sample.call: sample for sample in bench.samples}
        assert samples["vcpu"].reply == samples["vcpupin"].reply == bench.fake.vcpus
        assert samples["vcpu"].taken == samples["vcpupin"].taken

    def test_affinity_is_asked_for_only_where_it_is_wanted(self):
        bench = extra_bench("vcpu")
        bench.server()
        assert {vcpu.affinity for sample in bench.samples if sample.call == "vcpu" for vcpu in sample.reply} == {()}

    def test_a_disks_times_come_with_its_counters_in_one_call(self):
        bench = extra_bench("disk")
        bench.fake.disk_times = DiskTimes(*range(1, 9))
        bench.monitor()
        assert bench.asked == [("controlInfo", ""), ("blockStatsFlags", "vda"), ("blockStatsFlags", "vdb")]
        assert [(sample.call, sample.device, sample.reply) for sample in bench.samples] == [
            (call, disk, bench.fake.disk_times) for disk in ("vda", "vdb") for call in ("blockStats", "disk")
        ]

    def test_in_bulk_all_disks_come_in_one_call_times_where_they_are_wanted(self):
        for extra in ((), ("disk",)):
            bench = extra_bench(*extra, notice_move=stays)
            bench.monitor()
            assert bench.asked == [("controlInfo", ""), ("bulk", "BLOCK")]
            assert [(sample.call, sample.device, sample.reply) for sample in bench.samples] == [
                (call, disk, bench.fake.disk_times) for disk in ("vda", "vdb") for call in ("blockStats", *extra)
            ]
            assert bench.outcome.answered

    @pytest.mark.parametrize("failure", [Unsupported("no bulk here"), CallFailed("out of sorts")], ids=repr)
    def test_where_bulk_fails_each_disk_is_asked_at_once(self, failure):
        bench = extra_bench(notice_move=stays)
        bench.fake.failures["bulk"] = failure
        bench.monitor()
        assert bench.asked[1:] == [("bulk", "BLOCK"), ("blockStats", "vda"), ("blockStats", "vdb")]
        assert {sample.device for sample in bench.samples} == {"vda", "vdb"}

    def test_a_bulk_call_without_counters_leaves_it_to_each_disk(self):
        bench = extra_bench(notice_move=stays)
        bench.fake.disks = ()
        bench.monitor()
        assert bench.asked[1:] == [("bulk", "BLOCK"), ("blockStats", "vda"), ("blockStats", "vdb")]

    def test_a_bulk_job_names_its_storage_and_one_that_is_not_does_not(self):
        bench = extra_bench(notice_move=stays)
        job = bench.sampler.monitor_job(bench.domain, bench.health)
        assert (job.storage, job.detours) == (frozenset({bench.domain.uuid}), True)
        job.storage = frozenset()
        job.work(bench.connection, job)
        assert bench.asked[1:] == [("blockStats", "vda"), ("blockStats", "vdb")]
        assert not job.touched
        job = bench.sampler.monitor_job(bench.domain, bench.health)
        job.work(bench.connection, job)
        assert job.touched
        job = extra_bench().sampler.monitor_job(bench.domain, bench.health)
        assert (job.storage, job.detours) == (frozenset(), False)

    def test_where_times_cannot_be_had_the_counters_come_alone_at_once_and_later(self):
        bench = extra_bench("disk")
        bench.fake.failures["blockStatsFlags"] = Unsupported("no flags here")
        for _ in range(2):
            bench.hypervisor.calls.clear()
            bench.records.clear()
            bench.monitor()
            assert [(sample.call, sample.device) for sample in bench.samples] == [
                ("blockStats", "vda"),
                ("blockStats", "vdb"),
            ]
            assert bench.outcome.answered
        assert bench.hypervisor.count("blockStatsFlags") == 0

    def test_a_state_goes_out_even_when_libvirtd_is_out_of_workers(self):
        bench = extra_bench("domain_state", "vcpu", check_workers=lambda: True)
        bench.server()
        assert bench.asked[:3] == [("state", ""), ("interfaceStats", "vnet0"), ("interfaceStats", "vnet1")]
        assert "info" not in {call for call, _ in bench.asked}
        assert not bench.outcome.answered

    def test_a_call_that_is_no_priority_call_is_not_made_once_libvirtd_is_out_of_workers(self):
        answers = iter([False, False, True])
        bench = extra_bench("vcpu", "pcpu", check_workers=lambda: next(answers))
        bench.server()
        # Whether its monitor is blocked is looked at all the same: that is a priority call.
        assert [call for call, _ in bench.asked[2:]] == ["info", "getCPUStats", "controlInfo"]
        assert not bench.outcome.answered

    def test_nor_one_that_needs_the_monitor(self):
        answers = iter([False, True])
        bench = extra_bench("memory", check_workers=lambda: next(answers))
        bench.monitor()
        assert [call for call, _ in bench.asked] == ["controlInfo", "blockStats", "blockStats"]
        assert not bench.outcome.answered

    def test_cpu_use_is_told_with_the_cpus_there_are(self):
        bench = extra_bench("cpu_util")
        bench.server()
        (use,) = [sample for sample in bench.samples if sample.call == "cpu_util"]
        (info,) = [sample for sample in bench.samples if sample.call == CPU_TIME]
        assert use.reply == (bench.fake.info.cpu_time, bench.fake.info.vcpus, bench.hypervisor.cpus.active)
        assert use.taken == info.taken

    @pytest.mark.parametrize("selector", ["job_stats_background", "job_stats_completed"])
    def test_a_jobs_texts_are_notes(self, selector):
        bench = extra_bench(selector)
        bench.fake.job = bench.fake.completed_job = {"type": 4, "data_total": 5, "errmsg": "no route to host"}
        bench.server()
        bench.monitor()
        assert [record for record in bench.records if isinstance(record, Note)] == [
            Note(bench.fake.uuid, "job_stats", "errmsg", "no route to host")
        ]

    def test_one_call_that_fails_leaves_the_others(self):
        bench = extra_bench("vcpu", "pcpu", "perf")
        bench.fake.failures["vcpus"] = CallFailed("internal error", 1)
        bench.server()
        assert {"pcpu", "perf"} <= {sample.call for sample in bench.samples}
        assert bench.troubles == ["vcpus: internal error"]
        assert bench.outcome.answered

    def test_what_a_domain_cannot_answer_is_asked_once_and_said_once(self):
        bench = extra_bench("vcpu", "pcpu")
        bench.fake.failures["vcpus"] = Unsupported("not here")
        bench.server()
        bench.server()
        assert bench.hypervisor.count("vcpus") == 1
        assert bench.hypervisor.count("getCPUStats") == 2
        assert bench.troubles == ["vcpus: not here"]

    def test_a_call_that_is_invalid_for_now_gets_a_second_chance(self):
        bench = extra_bench("pcpu")
        bench.fake.failures["getCPUStats"] = Refused("cgroup CPUACCT controller is not mounted")
        bench.server()
        assert bench.troubles == []
        bench.server()
        assert bench.troubles == ["getCPUStats: cgroup CPUACCT controller is not mounted"]
        bench.server()
        assert bench.hypervisor.count("getCPUStats") == 2

    def test_a_second_chance_that_was_taken_is_given_again(self):
        bench = extra_bench("pcpu")
        for failure in (Refused("not yet"), None, Refused("not yet")):
            bench.fake.failures = {} if failure is None else {"getCPUStats": failure}
            bench.server()
        assert bench.troubles == []
        assert bench.health.unsupported == set()

    def test_what_was_unsupported_is_asked_again_in_the_next_run_of_the_domain(self):
        bench = extra_bench("pcpu")
        bench.health.begin(1)
        bench.fake.failures["getCPUStats"] = Unsupported("not here")
        bench.server()
        bench.fake.failures.clear()
        bench.health.begin(2)
        bench.server()
        assert bench.hypervisor.count("getCPUStats") == 2

    def test_a_call_this_libvirt_does_not_have_is_tried_for_no_other_domain(self, caplog):
        missing = MissingCalls()
        first, second = (extra_bench("pcpu", "vcpu", missing=missing) for _ in range(2))
        first.fake.failures["getCPUStats"] = Missing("not supported by this driver")
        first.server()
        second.server()
        assert second.hypervisor.count("getCPUStats") == 0
        assert second.hypervisor.count("vcpus") == 1
        assert first.troubles == second.troubles == []
        assert [record.getMessage() for record in caplog.records] == [
            "this libvirt does not have the call getCPUStats, so what it serves is not reported:"
            " not supported by this driver"
        ]
        missing.forget()
        second.server()
        assert second.hypervisor.count("getCPUStats") == 1

    def test_without_the_hosts_cpus_that_of_the_guest_goes_out(self):
        bench = extra_bench("cpu_util")
        bench.fake.cpu_times = CpuTimes(0, 0)
        bench.connection.host_cpus = unsupported
        bench.server()
        (use,) = [sample for sample in bench.samples if sample.call == "cpu_util"]
        assert use.reply.host_cpus == 0
        assert bench.outcome.answered

    def test_a_monitor_that_libvirt_gives_up_on_is_busy(self):
        bench = extra_bench("memory")
        bench.fake.failures["bulk"] = DomainBusy("libvirt gave up waiting for the domain's job")
        bench.monitor()
        assert (bench.outcome.answered, bench.outcome.cause) == (False, "bulk BALLOON, by another client")

    @pytest.mark.parametrize(("names", "asked"), [((), False), (("memory",), True), (("vcpu",), False)])
    def test_the_monitor_of_a_domain_without_disks_is_used_only_for_what_needs_it(self, names, asked):
        bench = extra_bench(*names)
        bare = bench.domain._replace(description=Description())
        assert bench.sampler.asks_monitor(bare) is asked

    def test_the_storage_of_a_domain_is_touched_only_where_that_was_asked_for(self):
        bench = extra_bench(*EVERY["A"], *EVERY["B"])
        assert not bench.sampler.asks_storage(bench.domain)


def unsupported() -> None:
    raise Unsupported("not here")


def test_the_monitor_job_says_when_the_domain_answered_last(bench):
    bench.health.answered = 5.0
    job = bench.sampler.monitor_job(bench.domain, bench.health)
    assert (job.kind, job.answered, job.probe) == (MONITOR, 5.0, False)


def test_a_domain_that_no_slot_was_left_for_is_looked_at_without_its_monitor(bench):
    bench.health.skipped = True
    bench.fake.control = Control(OCCUPIED, 0, 7.0)
    bench.server()
    (blocked,) = [record for record in bench.records if isinstance(record, Outcome) and record.kind == MONITOR]
    assert (blocked.answered, blocked.cause) == (False, "by another client")
    assert [call for call, _, _ in bench.hypervisor.calls][-1] == "controlInfo"
    assert not any(call == "blockStats" for call, _, _ in bench.hypervisor.calls)


def test_nothing_is_said_of_the_monitor_of_one_that_looks_well(bench):
    bench.health.skipped = True
    bench.server()
    assert not any(isinstance(record, Outcome) and record.kind == MONITOR for record in bench.records)


def test_a_mere_look_is_made_late_and_only_where_no_worker_has_taken_the_job_for_the_monitor(bench):
    look = ServerNeeds(info=False, memory=False, times=False, is_look=True)
    bench.health.skipped = True
    monitor = bench.sampler.monitor_job(bench.domain, bench.health)
    for begun in (False, True):
        monitor.begun = begun
        job = bench.sampler.server_job(bench.domain, bench.health, look, False, bench.done_with.append, monitor)
        assert (job.kind, job.late) == (SERVER, True)
        bench._run(job)
        assert bench.hypervisor.count("controlInfo") == 1
    probe = bench.sampler.server_job(bench.domain, bench.health, look, True, bench.done_with.append, monitor)
    assert not probe.late


class TestOutside:
    """Calls for which libvirt asks another program of the host."""

    @pytest.fixture
    def bench(self) -> Bench:
        bench = Bench()
        nics = (Nic("vhu0", "", outside=True), Nic("vnet1", ""))
        bench.fake.nics = ["vhu0", "vnet1"]
        bench.domain = bench.domain._replace(description=bench.domain.description._replace(nics=nics))
        return bench

    def outside(self, bench: Bench) -> None:
        bench._run(bench.sampler.outside_job(bench.domain, bench.health))

    def slowly(self, bench: Bench, seconds: float, interface: str) -> None:
        """Let the call for this interface take so long."""

        def tick(call: str, name: str, device: str) -> None:
            bench.clock.now += seconds if device == interface else 0.01

        bench.hypervisor.on_call = tick

    def test_they_are_made_after_all_else_and_by_a_job_of_their_own(self, bench):
        bench.server()
        assert bench.asked == [("interfaceStats", "vnet1"), ("info", "")]
        bench.records.clear()
        bench.hypervisor.calls.clear()
        self.outside(bench)
        assert bench.asked == [("interfaceStats", "vhu0")]
        assert [(sample.call, sample.device) for sample in bench.samples] == [("interfaceStats", "vhu0")]
        assert (bench.outcome.kind, bench.outcome.complete) == ("outside", True)

    def test_one_slow_answer_is_used_and_the_next_call_waits(self, bench, caplog):
        self.slowly(bench, 5.0, "vhu0")
        self.outside(bench)
        assert [sample.device for sample in bench.samples] == ["vhu0"]
        for _ in range(3):
            bench.records.clear()
            self.outside(bench)
            assert (bench.samples, bench.outcome.complete) == ([], False)
        assert bench.hypervisor.count("interfaceStats") == 1
        assert len(caplog.records) == 1

    def test_what_libvirt_says_after_a_slow_call_is_not_said_as_well(self, bench):
        self.slowly(bench, 5.0, "vhu0")
        bench.fake.failures["interfaceStats vhu0"] = CallFailed("Interface not found", 1)
        self.outside(bench)
        assert (bench.troubles, bench.outcome.complete) == ([], False)

    def test_a_failure_that_comes_at_once_is_said(self, bench):
        self.slowly(bench, 0.01, "vhu0")
        bench.fake.failures["interfaceStats vhu0"] = CallFailed("Interface not found", 1)
        self.outside(bench)
        assert bench.troubles == ["interfaceStats vhu0: Interface not found"]

    def test_any_interface_that_was_slow_comes_last_from_then_on_until_it_is_quick(self, bench):
        self.slowly(bench, 5.0, "vnet1")
        bench.server()
        self.slowly(bench, 0.01, "vnet1")
        bench.hypervisor.calls.clear()
        bench.server()
        assert bench.asked == [("info", "")]
        self.outside(bench)
        bench.hypervisor.calls.clear()
        bench.server()
        assert bench.asked == [("interfaceStats", "vnet1"), ("info", "")]

    def test_a_connection_that_is_lost_meanwhile_lets_others_go_on(self, bench):
        bench.hypervisor.cut()
        with pytest.raises(Disconnected):
            self.outside(bench)
        assert not bench.sampler.outside.busy


class TestNeighbours:
    """A call that fails for a domain takes nothing with it that another call tells."""

    @pytest.mark.parametrize(
        "failure", [CallFailed("cannot read cputime for domain", 1), Unsupported("not here")], ids=repr
    )
    def test_without_info_the_rest_of_class_a_goes_on_and_the_monitor_is_asked(self, failure):
        bench = extra_bench("pcpu", "vcpu", "cpu_util")
        bench.health.incoming = None
        bench.fake.failures["info"] = failure
        bench.server()
        bench.monitor()
        assert {sample.call for sample in bench.samples} == {"interfaceStats", "pcpu", "blockStats"}
        assert bench.troubles == [f"info: {failure}"]
        server, monitor = (record for record in bench.records if isinstance(record, Outcome))
        assert (server.answered, server.complete) == (True, isinstance(failure, Unsupported))
        assert (monitor.answered, monitor.complete) == (True, True)

    @pytest.mark.parametrize(("reason", "incoming"), [(1, False), (2, True)])
    def test_what_a_domain_is_paused_for_is_found_out_without_info(self, bench, reason, incoming):
        bench.health.incoming = None
        bench.fake.info, bench.fake.reason = bench.fake.info._replace(state=PAUSED), reason
        bench.fake.failures["info"] = CallFailed("cannot read cputime for domain", 1)
        bench.server()
        assert bench.health.incoming is incoming

    def test_a_look_that_fails_costs_nothing_else(self, bench):
        bench.fake.failures["controlInfo"] = CallFailed("out of sorts", 1)
        bench.server(probe=True)
        bench.monitor()
        # Nothing shows that what was cut off is over.
        assert bench.done_with == []
        assert {sample.call for sample in bench.samples} == {CPU_TIME, BALLOON_SIZE, "interfaceStats", "blockStats"}
        assert bench.troubles == ["controlInfo: out of sorts"] * 2

    def test_disks_that_come_one_by_one_are_not_missed_where_bulk_fails(self):
        bench = extra_bench(notice_move=stays)
        bench.fake.failures["bulk"] = CallFailed("out of sorts")
        bench.monitor()
        assert {sample.device for sample in bench.samples} == {"vda", "vdb"}
        assert bench.outcome.complete
