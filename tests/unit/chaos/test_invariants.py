"""Each rule lets pass what is right, and finds what breaks it."""

import pytest

from tests.chaos.expectations import expect
from tests.chaos.invariants import (
    EXIT,
    LINES,
    LINES_A_DEED,
    LINES_A_DOMAIN,
    MORE_DESCRIPTORS,
    MORE_MEMORY,
    MORE_THREADS,
    examine,
    workers,
)
from tests.chaos.model import (
    BLOCKED,
    DISK,
    FOREVER,
    GAP,
    MEMORY,
    MEMORY_TOTAL,
    MONITOR_BLOCKED,
    RECOVERY,
    SAMPLE_AGE,
    SLACK,
    Device,
    Held,
    Line,
    Run,
)
from tests.chaos.truth import Readings
from tests.unit.chaos.stories import BEGAN, SECONDS, change, deed, drop, life, points, readings, story, truth_at


def wrong(found):
    """What breaks a rule: the rule, the subject and the words, each once."""
    violations = examine(found, expect(found), readings).violations
    return sorted({(violation.rule, violation.subject) for violation in violations})


def test_a_run_in_which_all_went_well_breaks_no_rule():
    found = story()
    findings = examine(found, expect(found), readings)
    assert findings.violations == []
    # Of both domains: CPU time, memory, age, blocked, two series of a disk and four of an interface.
    assert findings.points == 2 * 10 * 60
    assert findings.compared == 2 * 7 * 60
    assert findings.demanded == pytest.approx(2 * 10 * SECONDS / 3600)


def test_a_gap_of_a_healthy_domain_is_found():
    found = story()
    drop(found, "one", 60, 62, DISK)
    assert wrong(found) == [("gap", "one")]


def test_a_gap_that_a_fault_excuses_is_none():
    found = story(deeds=[deed("stop_guests", 58, 66, "one")])
    drop(found, "one", 58, 68, DISK)
    # The domain is said to be blocked meanwhile.
    found.series["one", "virt2", MONITOR_BLOCKED] = [
        (when, (1.0 if 58 < when - BEGAN < 68 else 0.0,)) for when, _ in found.series["one", "virt2", MONITOR_BLOCKED]
    ]
    assert wrong(found) == []


def test_the_same_gap_of_a_bystander_is_found():
    found = story(deeds=[deed("stop_guests", 58, 66, "one")])
    drop(found, "one", 58, 68, DISK)
    drop(found, "two", 58, 68, DISK)
    assert ("gap", "two") in wrong(found)


def test_a_series_that_ends_too_early_is_found():
    found = story()
    drop(found, "two", 110, SECONDS, MEMORY)
    assert wrong(found) == [("gap", "two")]


def test_a_series_that_never_comes_is_found():
    found = story()
    drop(found, "two", 0, SECONDS, MEMORY)
    assert wrong(found) == [("recovery", "two")]


def test_a_recovery_that_takes_too_long_is_found():
    found = story(deeds=[deed("kill_libvirtd", 30, 40)])
    for host in ("one", "two"):
        drop(found, host, 30, 40 + RECOVERY - 2, DISK, MEMORY, BLOCKED)
    assert wrong(found) == []
    drop(found, "two", 40, 40 + RECOVERY + SLACK, DISK)
    assert wrong(found) == [("recovery", "two")]


def test_a_guest_that_is_started_must_be_seen_soon():
    late = life("late", BEGAN + 20)
    found = story(life("one"), late)
    assert wrong(found) == []
    drop(found, "late", 20, 27)
    assert wrong(found) == [("recovery", "late")]


def test_times_that_run_backwards_are_found_also_of_readers():
    found = story()
    change(found, "one", "virt_cpu_total", 60, when=57)
    assert ("order", "one") in wrong(found)
    found = story()
    found.series["collectd", "virt2-0", "gauge-domains"] = [(BEGAN + 2, (1.0,)), (BEGAN + 2, (1.0,))]
    assert wrong(found) == [("order", "collectd")]


def test_a_series_of_a_domain_that_never_was_is_found():
    found = story()
    found.series["nobody", "virt2", "virt_cpu_total"] = points("virt_cpu_total", BEGAN, BEGAN + 9)
    assert wrong(found) == [("ghost", "nobody")]


def test_a_series_that_goes_on_after_the_end_of_its_domain_is_found_at_once_for_counters():
    gone = life("gone", leaving=BEGAN + 40, ended=BEGAN + 40.5)
    found = story(life("one"), gone)
    assert wrong(found) == []
    found.series["gone", "virt2", MEMORY_TOTAL] += points(MEMORY_TOTAL, BEGAN + 42, BEGAN + 44)
    assert wrong(found) == []
    found.series["gone", "virt2", MEMORY_TOTAL] += points(MEMORY_TOTAL, BEGAN + 46, BEGAN + 46)
    assert wrong(found) == [("ghost", "gone")]
    found = story(life("one"), gone)
    found.series["gone", "virt2", "disk_ops-vda"] += points("disk_ops-vda", BEGAN + 42, BEGAN + 42)
    assert wrong(found) == [("ghost", "gone")]


def test_a_series_of_a_device_that_the_domain_does_not_have_is_found():
    found = story()
    found.series["one", "virt2", "disk_ops-vdb"] = points("disk_ops-vdb", BEGAN + 42, BEGAN + 44)
    assert wrong(found) == [("ghost", "one")]
    one = life("one")
    one.devices.append(Device(DISK, "vdb", FOREVER))
    found = story(one, life("two"))
    found.series["one", "virt2", "disk_ops-vdb"] = points("disk_ops-vdb", BEGAN + 42, BEGAN + 44)
    assert wrong(found) == []


def test_values_of_what_cannot_be_read_are_found_but_for_one_that_was_under_way():
    found = story(deeds=[deed("kill_libvirtd", 30, 50)])
    for host in ("one", "two"):
        drop(found, host, 33, 50, DISK, MEMORY, BLOCKED)
    assert wrong(found) == []
    found = story(deeds=[deed("kill_libvirtd", 30, 50)])
    drop(found, "one", 33, 50, DISK, MEMORY, BLOCKED)
    assert wrong(found) == [("silence", "two")]


@pytest.mark.parametrize("name", ["virt_cpu_total", "disk_octets-vda", "if_packets-nic-one"])
@pytest.mark.parametrize("late", [2, -2], ids=["older", "newer"])
def test_a_value_of_another_time_than_it_says_is_found(name, late):
    found = story()
    value = float(truth_at(BEGAN + 60.5 - late)) * (1e9 if name == "virt_cpu_total" else 1)
    change(found, "one", name, 60, values=(value,) * (1 if name == "virt_cpu_total" else 2))
    assert wrong(found) == [("truth", "one")]


def test_a_call_that_a_fault_held_back_may_bring_what_was_true_at_its_end_but_nothing_older():
    stopped = deed("stop_guests", 60.6, 80, "one")
    blocked = (MONITOR_BLOCKED, 66, (5.0,))

    def told(value):
        found = story(deeds=[stopped])
        drop(found, "one", 62, 82, DISK)
        for at in range(64, 80, 2):
            change(found, "one", blocked[0], at, blocked[2])
        change(found, "one", "disk_ops-vda", 60, values=(value, value))
        return wrong(found)

    assert told(float(truth_at(BEGAN + 80))) == []
    assert told(float(truth_at(BEGAN + 58))) == [("truth", "one")]


def test_a_guest_that_returns_with_its_uuid_counts_anew():
    before = life("one", leaving=BEGAN + 50, ended=BEGAN + 50)
    after = life("one", BEGAN + 52, uuid=before.uuid, up=BEGAN + 53)
    found = story(before, after, life("two"))
    for name, own in found.series.items():
        if name[0] == "one" and name[2] == "virt_cpu_total":
            found.series[name] = [(at, (value - 150e9,) if at > BEGAN + 52 else (value,)) for at, (value,) in own]

    def seen(of, name):
        if of is not after or name != "virt_cpu_total":
            return readings(of, name)
        anew = Readings()
        for n in range(400):
            at = BEGAN + 52 + n / 5
            anew.add(at, at + 0.001, (truth_at(at) * 10**9 - 150 * 10**9,))
        return anew

    assert examine(found, expect(found), seen).violations == []


def test_memory_that_a_domain_does_not_have_is_found():
    found = story()
    change(found, "two", MEMORY_TOTAL, 60, values=(1.0,))
    assert wrong(found) == [("truth", "two")]


def test_a_witness_that_saw_too_little_is_found():
    found = story()
    findings = examine(found, expect(found), lambda _life, _name: Readings())
    assert [(violation.rule, violation.subject) for violation in findings.violations] == [("truth", "witness")]


@pytest.mark.parametrize(("name", "value"), [(MONITOR_BLOCKED, 0.3), (SAMPLE_AGE, GAP + 0.1)])
def test_a_healthy_domain_that_is_said_to_be_ill_is_found(name, value):
    found = story()
    change(found, "one", name, 60, values=(value,))
    assert wrong(found) == [("blame", "one")]


def test_a_log_line_that_blames_a_healthy_domain_is_found():
    line = Line(BEGAN + 60, "[warning] virt2: domain one: monitor blocked for 2 s (blockStats), storage domain /")
    assert wrong(story(log=[line])) == [("blame", "one")]
    stopped = deed("stop_guests", 50, 62, "one")
    found = story(deeds=[stopped], log=[line])
    for at in range(54, 64, 2):
        change(found, "one", MONITOR_BLOCKED, at, values=(1.0,))
    drop(found, "one", 52, 62, DISK)
    assert wrong(found) == []


def test_a_stuck_domain_of_which_nothing_is_said_is_found():
    found = story(deeds=[deed("stop_guests", 50, 62, "one")])
    drop(found, "one", 50, 62, DISK)
    assert wrong(found) == [("report", "one")]


@pytest.mark.parametrize("run", [Run(BEGAN, BEGAN + 99, EXIT, 0), Run(BEGAN, BEGAN + 99, 0.1, -6)])
def test_a_slow_exit_and_a_crash_are_found(run):
    assert ("exit", "collectd") in wrong(story(runs=[run]))


def test_reads_that_pause_or_take_too_long_are_found():
    found = story()
    own = found.series["collectd", "virt2-0", "duration-read"]
    found.series["collectd", "virt2-0", "duration-read"] = [p for p in own if not 50 < p[0] - BEGAN < 53]
    assert wrong(found) == [("read", "virt2-0")]
    # A point has the time at which its read ended, and one that takes all its time may follow one that took none.
    found.series["collectd", "virt2-0", "duration-read"] = [
        (when + (1.1 if when - BEGAN == 52 else 0.0), values) for when, values in own
    ]
    assert wrong(found) == []
    found.series["collectd", "virt2-0", "duration-read"] = [(when, (1.4,)) for when, _ in own]
    assert wrong(found) == [("read", "virt2-0")]


def seen(at, held, answered=None):
    """What libvirtd said of its workers, times in seconds since the begin of the run."""
    return Held(BEGAN + at, BEGAN + (at if answered is None else answered), held, 20)


def test_more_workers_than_the_budget_and_the_calls_of_others_are_found():
    found = story(held=[seen(60, 12)], visits=[(BEGAN + 59, BEGAN + 61), (BEGAN + 58, FOREVER)])
    assert wrong(found) == []
    found.held = [seen(60, 13)]
    assert wrong(found) == [("workers", "libvirtd")]


@pytest.mark.parametrize(("at", "rules"), [(59, []), (62, ["workers"])])
def test_the_budget_that_was_in_force_before_the_one_that_was_told_counts_for_a_while(at, rules):
    found = story(held=[seen(at, 8)])
    found.series["collectd", "virt2-libvirtd", "gauge-budget"] = [
        (BEGAN + second, (10.0 if second < 57 else 3.0,)) for second in range(0, 120, 2)
    ]
    assert [violation.rule for violation in workers(found, expect(found))] == rules


def test_a_budget_that_shrinks_does_not_end_calls_that_are_stuck():
    def held(*deeds):
        found = story(life("one", storage="alpha"), life("two"), held=[seen(60, 8)], deeds=list(deeds))
        found.series["collectd", "virt2-libvirtd", "gauge-budget"] = [
            (BEGAN + at, (10.0 if at < 50 else 3.0,)) for at in range(0, 120, 2)
        ]
        return [violation.rule for violation in workers(found, expect(found))]

    assert held() == ["workers"]
    assert held(deed("stop_guests", 45, 70, "one")) == []
    hanging = deed("hang_storage", 40, 70, "alpha")
    assert held(hanging) == ["workers"]
    assert held(hanging, deed("restart_libvirtd", 44, 46)) == []
    assert held(hanging, deed("pause_guest", 44, 46, "one")) == []
    assert held(hanging, deed("pause_guest", 44, 46, "two")) == ["workers"]


def test_calls_of_others_count_until_libvirtd_has_answered_and_time_in_which_the_machine_stalls_does_not():
    def held(at, answered, *stalls):
        found = story(held=[seen(at, 11, answered)], visits=[(BEGAN + 61, BEGAN + 62)], stalls=stalls)
        return [violation.rule for violation in workers(found, expect(found))]

    assert held(60, 60.1) == ["workers"]
    assert held(60, 60.9) == []
    assert held(64, 64.1) == ["workers"]
    assert held(64, 64.1, (BEGAN + 62.1, BEGAN + 63.9)) == []


def test_a_budget_that_was_told_late_because_the_machine_stalled_counts():
    def held(*stalls):
        found = story(held=[seen(60, 8)], stalls=stalls)
        found.series["collectd", "virt2-libvirtd", "gauge-budget"] = [
            (BEGAN + at, (10.0 if at < 55 else 3.0,)) for at in range(0, 120, 2)
        ]
        return [violation.rule for violation in workers(found, expect(found))]

    assert held() == ["workers"]
    assert held((BEGAN + 58.1, BEGAN + 59.9)) == []


@pytest.mark.parametrize(("held", "rules"), [(11, []), (12, ["workers"])])
def test_a_storage_that_hangs_is_nobody_whose_call_was_left_behind(held, rules):
    found = story(held=[seen(60, held)], deeds=[deed("other_clients", 45, 70, "alpha", "one")])
    found.runs = [Run(BEGAN - 4, BEGAN + 50, 0.1, 0), Run(BEGAN + 51, BEGAN + SECONDS, 0.1, 0)]
    assert [violation.rule for violation in workers(found, expect(found))] == rules


@pytest.mark.parametrize(("at", "rules"), [(60, []), (70 + SLACK / 2, []), (70 + 2 * SLACK, ["workers"])])
def test_calls_that_a_collectd_left_behind_end_soon_after_their_domains_answer(at, rules):
    found = story(held=[seen(at, 11)], deeds=[deed("stop_guests", 45, 70, "one")])
    found.runs = [Run(BEGAN - 4, BEGAN + 50, 0.1, 0), Run(BEGAN + 51, BEGAN + SECONDS, 0.1, 0)]
    assert [violation.rule for violation in workers(found, expect(found))] == rules


@pytest.mark.parametrize(
    ("field", "more"),
    [("threads", MORE_THREADS), ("descriptors", MORE_DESCRIPTORS), ("memory", MORE_MEMORY)],
)
def test_what_collectd_holds_more_in_the_end_is_found(field, more):
    for grown, rules in ((more, []), (more + 1, [("growth", "collectd")])):
        found = story()
        found.usage = [
            usage._replace(**{field: getattr(usage, field) + grown}) if usage.time > BEGAN + 60 else usage
            for usage in found.usage
        ]
        assert wrong(found) == rules


@pytest.mark.parametrize(
    "text",
    [
        "Traceback (most recent call last):",
        "[error] virt2: unexpected failure of reader 0, said once",
        "[error] virt2: reading libvirtd's limits failed unexpectedly, said once",
        "[warning] uc_update: Value too old: name = one/virt2/virt_cpu_total",
    ],
)
def test_a_line_that_tells_of_a_failure_is_found(text):
    assert wrong(story(log=[Line(BEGAN + 60, text)])) == [("log", "log")]


def test_a_flood_of_lines_is_found():
    one = deed("retag_guest", 60, 60.1, "one")
    most = LINES + LINES_A_DEED + LINES_A_DOMAIN
    lines = [Line(BEGAN + 60, "[info] virt2: something") for _ in range(most)]
    assert wrong(story(deeds=[one], log=lines)) == []
    assert wrong(story(deeds=[one], log=[*lines, lines[0]])) == [("log", "log")]


STALL = (BEGAN + 60.1, BEGAN + 62.9)


def test_what_a_stall_of_the_machine_hides_is_excused_and_nothing_else():
    def gaps_of(*stalls):
        found = story(stalls=stalls)
        for host in ("one", "two"):
            drop(found, host, 60, 64)
        change(found, "two", SAMPLE_AGE, 65, values=(GAP + 1,))
        return wrong(found)

    assert gaps_of(STALL) == []
    assert ("gap", "one") in gaps_of((BEGAN + 50, BEGAN + 52))


def test_a_series_has_its_time_to_be_back_after_a_stall_and_no_more():
    found = story(stalls=[STALL])
    drop(found, "one", 60, 63 + RECOVERY - 1, DISK)
    assert wrong(found) == []
    drop(found, "one", 60, 63 + RECOVERY + SLACK, DISK)
    assert wrong(found) == [("recovery", "one")]


def test_a_stuck_domain_is_reported_when_a_stall_is_over():
    stopped = deed("stop_guests", 50, 66, "one")

    def told(*stalls):
        found = story(deeds=[stopped], stalls=stalls)
        drop(found, "one", 51, 66, DISK)
        for at in (54, 56, 58, 65):
            change(found, "one", MONITOR_BLOCKED, at, values=(1.0,))
        return wrong(found)

    assert told(STALL) == []
    assert told() == [("report", "one")]


@pytest.mark.parametrize(("stalls", "rules"), [([], ["exit"]), ([(BEGAN + 99.5, BEGAN + 100.5)], [])])
def test_an_exit_has_its_time_without_stalls(stalls, rules):
    found = story(runs=[Run(BEGAN - 4, BEGAN + 99, EXIT + 0.5, 0)], stalls=stalls)
    assert [rule for rule, _ in wrong(found)] == rules
    found.runs = [Run(BEGAN - 4, BEGAN + 99, EXIT + 1.5, 0)]
    assert [rule for rule, _ in wrong(found)] == ["exit"]


def test_a_read_has_its_time_without_stalls():
    found = story(stalls=[STALL])
    own = found.series["collectd", "virt2-0", "duration-read"]
    found.series["collectd", "virt2-0", "duration-read"] = [p for p in own if not 61 < p[0] - BEGAN < 63]
    assert wrong(found) == []
    found.series["collectd", "virt2-0", "duration-read"] = [p for p in own if not 61 < p[0] - BEGAN < 67]
    assert wrong(found) == [("read", "virt2-0")]
    found.series["collectd", "virt2-0", "duration-read"] = [(w, (3.5 if w == BEGAN + 64 else 0.1,)) for w, _ in own]
    assert wrong(found) == []
    found.series["collectd", "virt2-0", "duration-read"] = [(w, (4.5 if w == BEGAN + 64 else 0.1,)) for w, _ in own]
    assert wrong(found) == [("read", "virt2-0")]


def test_the_end_of_a_domain_is_known_later_where_the_machine_stalls():
    gone = life("gone", leaving=BEGAN + 57, ended=BEGAN + 57.5)
    found = story(life("one"), gone, stalls=[STALL])
    found.series["gone", "virt2", MEMORY_TOTAL] += points(MEMORY_TOTAL, BEGAN + 64, BEGAN + 64)
    assert wrong(found) == []
    found.stalls = []
    assert wrong(found) == [("ghost", "gone")]


def test_a_stall_has_lines_of_its_own():
    many = [Line(BEGAN + 60, "[info] virt2: something") for _ in range(LINES + LINES_A_DEED + 2 * LINES_A_DOMAIN)]
    assert wrong(story(log=many, stalls=[STALL])) == []
    assert wrong(story(log=[*many, many[0]], stalls=[STALL])) == [("log", "log")]
