"""How a domain's monitor is approached: who looks at it, how often, and what is said of one that is not to be used."""

from __future__ import annotations

import pytest

from tests.unit.fakes import ERROR, JOB, OCCUPIED, OK, Control
from tests.unit.readers.test_sampling import STUCK_AFTER, Bench
from virt2.errors import DomainBusy
from virt2.readers.gate import LOOKS, WAIT_FOR_STATE, Gate
from virt2.readers.unsupported import CONTROL_INFO, MissingCalls
from virt2.workers.job import Again


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("letter", ["T", "D", ""])
def test_a_process_that_is_stopped_is_told_by_its_letter(bench, letter):
    bench.processes.letter = letter
    assert bench.gate.stopped(bench.domain) == letter


def test_where_processes_are_not_seen_none_is_stopped(bench):
    assert Gate().stopped(bench.domain) == ""


def test_a_look_takes_processes_or_control_info(bench):
    missing = MissingCalls()
    without = Gate()
    without.missing = missing
    assert without.can_look
    assert not Gate(pre_scan=False).can_look
    assert Gate(pre_scan=False, processes=bench.processes).can_look
    missing.add(CONTROL_INFO, "not supported by this driver")
    assert not without.can_look
    with_processes = Gate(processes=bench.processes)
    with_processes.missing = missing
    assert with_processes.can_look


class TestAlone:
    """Nobody but us is in libvirtd."""

    def test_nobody_is_looked_for_in_a_monitor_that_answered_before(self):
        answered = []
        bench = Bench(alone=lambda when: answered.append(when) or True)
        bench.health.answered = 7.0
        bench.monitor()
        assert bench.asked == [("blockStats", "vda"), ("blockStats", "vdb")]
        assert answered == [7.0]
        assert bench.outcome.answered

    def test_the_process_is_looked_at_all_the_same(self):
        bench = Bench(alone=lambda when: True)
        bench.processes.letter = "T"
        assert bench.monitor_to_the_last_look() == list(LOOKS)
        assert bench.outcome.cause == "process stopped"

    def test_a_monitor_known_to_be_blocked_is_looked_at(self):
        bench = Bench(alone=lambda when: True)
        bench.health.block("by another client", bench.clock() - 4.0)
        bench.fake.control = Control(OCCUPIED, 0, 5.0)
        bench.monitor()
        assert bench.asked == [("controlInfo", "")]

    def test_a_domain_there_was_no_slot_for_is_looked_at(self):
        bench = Bench(alone=lambda when: True)
        bench.health.skipped = True
        bench.server()
        assert bench.hypervisor.count("controlInfo") == 1


@pytest.mark.parametrize(
    ("control", "cause"),
    [
        pytest.param(Control(OCCUPIED, 0, 5.0), "by another client", id="occupied"),
        pytest.param(Control(JOB, 0, STUCK_AFTER), "job of another client", id="an old job"),
        pytest.param(Control(ERROR, 3, 0.0), "held by another client outside the monitor", id="an error of libvirt's"),
        pytest.param(
            Control(ERROR, 2, 0.0),
            "libvirt has lost its connection to this monitor; restart libvirtd, and the domain if that does not help",
            id="a broken monitor",
        ),
    ],
)
def test_a_monitor_somebody_else_is_in_is_looked_at_again_and_then_left_alone(bench, control, cause):
    bench.fake.control = control
    assert bench.monitor_to_the_last_look() == list(LOOKS)
    assert bench.hypervisor.count("controlInfo") == len(LOOKS) + 1
    assert bench.hypervisor.count("blockStats") == 0
    assert (bench.outcome.answered, bench.outcome.cause) == (False, cause)


def test_since_when_it_is_occupied_is_libvirts_word(bench):
    bench.fake.control = Control(OCCUPIED, 0, 5.0)
    bench.health.block("by another client", bench.clock() - 5.0)
    began = bench.clock()
    bench.monitor()
    assert bench.outcome.entered == began - 5.0


def test_how_long_a_monitor_in_error_is_held_libvirt_does_not_know(bench):
    bench.fake.control = Control(ERROR, 0, 0.0)
    bench.health.block("held", 0.0)
    bench.monitor()
    assert bench.outcome.since is None


def test_a_monitor_that_gets_free_between_two_looks_is_asked(bench):
    bench.fake.control = Control(OCCUPIED, 0, 0.1)
    job = bench.sampler.monitor_job(bench.domain, bench.health)
    with pytest.raises(Again):
        bench._run(job)
    bench.fake.control = Control(OK, 0, 0.0)
    bench._run(job)
    assert bench.outcome.answered
    assert bench.hypervisor.count("blockStats") == 2


def test_a_young_job_is_let_pass_at_the_last_look_only(bench):
    bench.fake.control = Control(JOB, 0, STUCK_AFTER - 0.1)
    assert bench.monitor_to_the_last_look() == list(LOOKS)
    assert bench.outcome.answered
    assert bench.hypervisor.count("blockStats") == 2


def test_what_a_domain_is_known_to_be_blocked_by_gets_one_look(bench):
    bench.fake.control = Control(OCCUPIED, 0, 5.0)
    bench.health.block("by another client", bench.clock() - 5.0)
    assert bench.monitor_to_the_last_look() == []
    assert bench.hypervisor.count("controlInfo") == 1


def test_somebody_who_entered_since_gets_as_many_looks_as_at_first(bench):
    # Two that read at the same moments meet in every read, and would lose all the points of a domain.
    bench.fake.control = Control(OCCUPIED, 0, 0.001)
    bench.health.block("by another client", bench.clock() - 5.0)
    assert bench.monitor_to_the_last_look() == list(LOOKS)


@pytest.mark.parametrize(("letter", "cause"), [("T", "process stopped"), ("D", "process in uninterruptible sleep")])
def test_a_process_that_will_not_answer_is_seen_before_anybody_is_asked(bench, letter, cause):
    bench.processes.letter = letter
    bench.health.block("earlier", 0.0)
    bench.monitor()
    assert bench.asked == []
    assert (bench.outcome.answered, bench.outcome.cause) == (False, cause)


def test_without_the_scan_of_processes_libvirt_is_asked_at_once():
    bench = Bench(processes=None)
    bench.monitor()
    assert bench.asked[0] == ("controlInfo", "")


def test_without_the_scan_of_monitors_disks_are_asked_at_once():
    bench = Bench(pre_scan=False)
    bench.fake.control = Control(OCCUPIED, 0, 5.0)
    bench.monitor()
    assert bench.asked == [("blockStats", "vda"), ("blockStats", "vdb")]


def test_the_monitor_waits_until_the_state_is_known(bench):
    bench.health.incoming = None
    with pytest.raises(Again) as wish:
        bench.monitor()
    assert wish.value.delay == WAIT_FOR_STATE
    assert bench.asked == []


@pytest.mark.parametrize("detail", [0, 1, 4])
def test_a_monitor_that_libvirt_calls_unusable_without_a_reason_is_not_called_somebody_elses(bench, detail):
    bench.fake.control = Control(ERROR, detail, 0.0)
    bench.monitor_to_the_last_look()
    assert bench.outcome.cause == (
        "libvirt calls this monitor unusable and does not say why; see libvirtd's log, and restart libvirtd"
    )


def test_libvirt_giving_up_on_a_monitor_is_another_client_inside(bench):
    bench.fake.failures["blockStats"] = DomainBusy("cannot acquire state change lock")
    bench.monitor()
    assert (bench.outcome.answered, bench.outcome.cause) == (False, "blockStats, by another client")
    assert bench.troubles == []
