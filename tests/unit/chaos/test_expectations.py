"""What must be there and what must not, by what was done."""

import pytest

from tests.chaos.expectations import budget_of, effects, expect, promised, without
from tests.chaos.model import (
    BLOCKED,
    CPU,
    DISK,
    EVERYTHING,
    FOREVER,
    GAP,
    MEMORY,
    NIC,
    RECOVERY,
    SLACK,
    TIMEOUT,
    Device,
    kind_of,
)
from tests.integration.support import names_of
from tests.lab import Guest, RunningGuest
from tests.unit.chaos.stories import BEGAN, SECONDS, deed, life, story


def demanded(expected, domain, kind):
    """The stretches in which a domain's series of a kind must be there, in seconds since the begin."""
    found = {
        (demand.begin - BEGAN, demand.end - BEGAN)
        for demand in expected.demands
        if demand.domain == domain and kind_of(demand.series) == kind
    }
    return sorted((round(begin, 3), round(end, 3)) for begin, end in found)


WHOLE = [(0.0, SECONDS)]
READ = TIMEOUT + SLACK
"""What a read may take: a point has the time of its begin, and tells what is so at its end."""


def around(begin, end):
    return [(0.0, begin), (end, SECONDS)]


def test_a_life_has_the_default_series_of_a_guest():
    one = life("one")
    guest = RunningGuest(None, Guest("one", disks=1, nics=1), ["nic-one"])
    assert set(one.series()) == names_of(guest)


def test_where_nothing_is_done_everything_must_be_there_all_the_time():
    expected = expect(story())
    assert all(demanded(expected, name, kind) == WHOLE for name in ("one", "two") for kind in EVERYTHING)
    assert not expected.silences
    assert expected.healthy["one"] == [(BEGAN + RECOVERY + SLACK, BEGAN + SECONDS - READ)]


@pytest.mark.parametrize(
    ("kind", "targets", "of_target", "of_others"),
    [
        ("stop_guests", ("one",), {DISK}, set()),
        ("hang_storage", ("alpha",), set(), set()),
        ("other_clients", ("alpha", "one"), {DISK}, set()),
        ("hot_plug", ("alpha", "one"), {DISK, MEMORY}, set()),
        ("pause_guest", ("one",), set(), set()),
        ("retag_guest", ("one",), set(), set()),
        ("kill_libvirtd", (), {DISK, MEMORY, BLOCKED}, {DISK, MEMORY, BLOCKED}),
        ("freeze_libvirtd", (), {DISK, MEMORY, BLOCKED}, {DISK, MEMORY, BLOCKED}),
        ("restart_libvirtd", (), {DISK, MEMORY, BLOCKED}, {DISK, MEMORY, BLOCKED}),
        ("limit_workers", (), set(), set()),
        ("hide_admin", (), set(), set()),
        ("fill_workers", ("one",), {DISK, MEMORY}, {DISK, MEMORY}),
        ("restart_collectd", (), EVERYTHING, EVERYTHING),
    ],
)
def test_a_deed_excuses_what_the_table_says_of_whom_it_says_and_nothing_else(kind, targets, of_target, of_others):
    expected = expect(story(deeds=[deed(kind, 30, 50, *targets, detail="20")]))
    for name, excused in (("one", of_target), ("two", of_others)):
        for each in EVERYTHING:
            begin = 30 - READ if each == BLOCKED else 30
            assert demanded(expected, name, each) == (around(begin, 50) if each in excused else WHOLE), (name, each)


def test_where_counters_are_asked_of_libvirtd_they_are_excused_with_it():
    found = story(deeds=[deed("kill_libvirtd", 30, 50)])
    assert demanded(expect(found, from_kernel=False), "one", CPU) == around(30, 50)
    assert demanded(expect(found), "one", CPU) == WHOLE
    differing = {kind for kind, effect in effects(True).items() if effect != effects(False)[kind]}
    assert differing == {"kill_libvirtd", "restart_libvirtd", "freeze_libvirtd", "fill_workers", "hot_plug"}


def test_a_life_must_have_its_series_from_its_start_to_its_end():
    short = life("short", BEGAN + 20, leaving=BEGAN + 60, ended=BEGAN + 61)
    expected = expect(story(life("one"), short))
    assert demanded(expected, "short", CPU) == [(21.0, 60.0)]


def test_a_device_that_was_plugged_in_must_have_its_series_from_then_on():
    one = life("one")
    one.devices += [Device(DISK, "vdb", BEGAN + 40), Device(DISK, "vdc", FOREVER)]
    expected = expect(story(one))
    begins = {demand.series: demand.begin - BEGAN for demand in expected.demands}
    assert begins["disk_octets-vdb"] == 40
    assert "disk_octets-vdc" not in begins


@pytest.mark.parametrize("kind", ["kill_libvirtd", "freeze_libvirtd", "hot_plug", "fill_workers"])
def test_a_guest_that_starts_while_libvirt_cannot_tell_of_it_is_known_when_it_can(kind):
    late = life("late", BEGAN + 29, up=BEGAN + 29.5)
    expected = expect(story(life("one"), late, deeds=[deed(kind, 30, 50)]))
    assert demanded(expected, "late", CPU) == [(50.0, SECONDS)]


def test_a_libvirtd_that_is_started_while_a_guest_is_stuck_holds_its_lock_until_that_is_over():
    found = story(deeds=[deed("stop_guests", 20, 80, "one"), deed("restart_libvirtd", 30, 32)])
    expected = expect(found)
    assert demanded(expected, "one", MEMORY) == around(30, 80)
    assert demanded(expected, "two", MEMORY) == around(30, 32)
    assert demanded(expected, "one", CPU) == WHOLE


def test_a_libvirtd_that_is_started_while_storage_hangs_holds_the_locks_of_who_lies_there():
    found = story(
        life("one", storage="alpha"),
        life("two"),
        deeds=[deed("hang_storage", 20, 80, "alpha"), deed("restart_libvirtd", 30, 32)],
    )
    expected = expect(found)
    assert demanded(expected, "one", DISK) == around(30, 80)
    assert demanded(expected, "two", DISK) == around(30, 32)


@pytest.mark.parametrize(
    ("more", "until"),
    [((), 30), ((deed("crash_guest", 49, 52, "one"),), 50), ((deed("crash_guest", 49, 52, "two"),), 30)],
    ids=["given up", "crashed", "another one crashed"],
)
def test_a_domain_that_libvirtd_gave_up_is_none_any_more_though_its_storage_keeps_its_qemu(more, until):
    lost = life("one", storage="alpha", leaving=BEGAN + 50, ended=BEGAN + 50.2)
    deeds = [deed("other_clients", 20, 50, "alpha", "one"), deed("restart_libvirtd", 30, 32), *more]
    assert demanded(expect(story(lost, life("two"), deeds=deeds)), "one", CPU) == [(0.0, until)]
    assert demanded(expect(story(lost, life("two"), deeds=deeds)), "two", CPU) == WHOLE


@pytest.mark.parametrize(
    ("since", "excused"), [(BEGAN + 10, True), (FOREVER, True), (BEGAN + 60, False)], ids=["there", "maybe", "later"]
)
def test_also_those_lie_there_into_which_a_disk_was_plugged_from_there(since, excused):
    one = life("one")
    one.devices.append(Device(DISK, "vdb", since, "alpha"))
    found = story(one, deeds=[deed("hang_storage", 20, 80, "alpha"), deed("restart_libvirtd", 30, 32)])
    assert demanded(expect(found), "one", MEMORY) == around(30, 80 if excused else 32)


def test_a_guest_that_is_paused_while_its_storage_hangs_is_frozen():
    found = story(
        life("one", storage="alpha"),
        life("two"),
        deeds=[deed("hang_storage", 20, 80, "alpha"), deed("pause_guest", 30, 40, "one")],
    )
    assert demanded(expect(found), "one", DISK) == around(30, 80)
    assert demanded(expect(found), "two", DISK) == WHOLE


def test_a_collectd_that_is_started_without_libvirtd_knows_of_no_domain():
    found = story(deeds=[deed("kill_libvirtd", 20, 60), deed("restart_collectd", 30, 32)])
    assert demanded(expect(found), "one", CPU) == around(30, 60)


def test_a_collectd_that_is_started_does_not_know_a_domain_whose_lock_is_held():
    found = story(deeds=[deed("hot_plug", 20, 60, "alpha", "one"), deed("restart_collectd", 30, 32)])
    assert demanded(expect(found), "one", CPU) == around(30, 60)
    assert demanded(expect(found), "two", CPU) == around(30, 32)


def test_a_collectd_that_is_started_knows_of_no_domain_while_libvirtd_has_no_worker():
    found = story(deeds=[deed("fill_workers", 20, 60, "one"), deed("restart_collectd", 30, 32)])
    assert demanded(expect(found), "two", CPU) == around(30, 60)


def test_a_collectd_that_is_started_does_not_know_a_domain_whose_lock_a_libvirtd_holds_that_was_started():
    found = story(
        life("one", storage="alpha"),
        life("two"),
        deeds=[
            deed("hang_storage", 20, 60, "alpha"),
            deed("restart_libvirtd", 22, 24),
            deed("restart_collectd", 30, 32),
        ],
    )
    assert demanded(expect(found), "one", CPU) == around(30, 60)
    assert demanded(expect(found), "two", CPU) == around(30, 32)


@pytest.mark.parametrize(
    ("workers", "together"),
    [
        ("12", [deed("restart_libvirtd", 22, 24)]),
        ("6", [deed("pause_guest", 22, 24, "one"), deed("pause_guest", 22, 24, "two")]),
    ],
    ids=["restart", "pauses"],
)
def test_who_is_stuck_by_several_deeds_together_has_slots_of_the_budget(workers, together):
    deeds = [deed("hang_storage", 20, 60, "alpha"), *together, deed("limit_workers", 40, 50, detail=workers)]

    def excused(of_two):
        found = story(life("one", storage="alpha"), life("two", storage=of_two), life("three"), deeds=deeds)
        everyone = [excuse for excuse in expect(found).excuses if excuse.domains is None and DISK in excuse.kinds]
        return [(excuse.begin - BEGAN, excuse.end - BEGAN) for excuse in everyone if excuse.begin > BEGAN + 30]

    assert excused("beta") == []
    assert (40, 60) in excused("alpha")


@pytest.mark.parametrize(
    ("most", "others", "budget", "stuck"),
    [(20, 0, 10, 8), (40, 0, 20, 18), (10, 0, 5, 3), (6, 0, 3, 1), (5, 0, 2, 1), (5, 3, 1, 0), (20, 12, 4, 2)],
)
def test_the_budget_and_how_many_may_be_stuck_follow_from_libvirtds_workers(most, others, budget, stuck):
    assert budget_of(most, others) == budget
    assert promised(budget) == stuck


def test_more_monitors_that_are_stuck_than_the_budget_has_slots_for_excuse_the_disks_of_all():
    names = ("one", "two", "three")
    limited = deed("limit_workers", 10, 100, detail="6")
    few = story(*map(life, names), deeds=[limited, deed("stop_guests", 30, 50, "one")])
    assert demanded(expect(few), "three", DISK) == WHOLE
    many = story(*map(life, names), deeds=[limited, deed("stop_guests", 30, 50, "one", "two")])
    assert demanded(expect(many), "three", DISK) == around(30, 50)
    assert demanded(expect(many), "three", MEMORY) == WHOLE
    enough = story(*map(life, names), deeds=[deed("stop_guests", 30, 50, "one", "two")])
    assert demanded(expect(enough), "three", DISK) == WHOLE


@pytest.mark.parametrize(("workers", "disks"), [("6", around(30, 50)), ("10", WHOLE)])
def test_a_lock_that_is_held_costs_the_list_and_two_calls(workers, disks):
    limited = deed("limit_workers", 10, 100, detail=workers)
    expected = expect(story(life("one"), life("two"), deeds=[limited, deed("hot_plug", 30, 50, "alpha", "one")]))
    assert demanded(expected, "two", DISK) == disks
    assert demanded(expected, "two", MEMORY) == WHOLE


@pytest.mark.parametrize(
    ("limiting", "begin", "excused"),
    [
        (deed("limit_workers", 10, 29, detail="6"), 30, (30, 34)),
        (deed("limit_workers", 10, 29, detail="6"), 34, None),
        (deed("limit_workers", 10, 29, detail="40"), 30, None),
        (deed("limit_workers", 29, 60, detail="6"), 30, (30, 50)),
        (deed("limit_workers", 29, 60, detail="40"), 30, None),
        (deed("hide_admin", 10, 29), 30, (30, 34)),
        (deed("fill_workers", 10, 29, "four"), 30, (30, 34)),
    ],
)
def test_limits_that_have_just_changed_count_until_that_is_known(limiting, begin, excused):
    names = ("one", "two", "three", "four")
    found = story(*map(life, names), deeds=[limiting, deed("stop_guests", begin, 50, *names[:3])])
    everyone = [excuse for excuse in expect(found).excuses if excuse.domains is None and "stuck with" in excuse.why]
    assert {(excuse.begin - BEGAN, excuse.end - BEGAN) for excuse in everyone} == ({excused} if excused else set())


def test_what_cannot_be_read_must_be_absent_while_a_deed_is_surely_in_force():
    (silence,) = expect(story(deeds=[deed("stop_guests", 30, 50, "one")])).silences
    assert (silence.domains, silence.kinds) == ({"one"}, {DISK})
    assert (silence.begin - BEGAN, silence.end - BEGAN) == (30.5, 49.5)
    (silence,) = expect(story(deeds=[deed("kill_libvirtd", 30, 50)])).silences
    assert (silence.domains, silence.kinds) == (None, {DISK, MEMORY})


def test_a_domain_that_is_surely_stuck_must_be_said_to_be_unless_libvirtd_is_away():
    stopped = deed("stop_guests", 30, 60, "one")
    ((name, (begin, end)),) = expect(story(deeds=[stopped])).stuck
    assert (name, begin - BEGAN, end - BEGAN) == ("one", 30.5 + GAP + SLACK, 59.5 - READ)
    away = deed("freeze_libvirtd", 40, 50)
    spans = [(begin - BEGAN, end - BEGAN) for _, (begin, end) in expect(story(deeds=[stopped, away])).stuck]
    assert spans == [(30.5 + GAP + SLACK, 40 - READ), (50 + RECOVERY + SLACK, 59.5 - READ)]


def test_of_whom_there_is_no_worker_left_to_ask_nothing_need_be_said():
    lives = [life(name) for name in ("one", "two", "three")]
    stopped = [deed("stop_guests", begin, 70, name) for begin, name in ((30, "one"), (31, "two"), (32, "three"))]
    few = deed("limit_workers", 50, 60, detail="6")
    spans = [(begin - BEGAN, end - BEGAN) for name, (begin, end) in expect(story(*lives, deeds=[*stopped, few])).stuck]
    assert [end for _, end in spans] == [50 - READ] * 3
    assert [end - BEGAN for _, (_, end) in expect(story(*lives, deeds=stopped)).stuck] == [69.5 - READ] * 3


def test_a_domain_that_is_stuck_before_it_is_known_is_said_to_be_when_it_is_known():
    late = life("late", BEGAN + 28, up=BEGAN + 29.9)
    stopped = deed("stop_guests", 30, 60, "late")
    ((_, (begin, _end)),) = expect(story(late, deeds=[stopped])).stuck
    assert begin - BEGAN == pytest.approx(29.9 + RECOVERY + GAP + SLACK)
    hidden = deed("hot_plug", 29, 45, "alpha", "one")
    begin, _ = dict(expect(story(life("one"), late, deeds=[stopped, hidden])).stuck)["late"]
    assert begin - BEGAN == pytest.approx(45 + RECOVERY + GAP + SLACK)


def test_a_domain_is_not_healthy_until_recovery_is_over():
    expected = expect(story(deeds=[deed("stop_guests", 30, 50, "one")]))
    spans = [(begin - BEGAN, end - BEGAN) for begin, end in expected.healthy["one"]]
    assert spans == [(RECOVERY + SLACK, 30 - READ), (50 + RECOVERY + SLACK, SECONDS - READ)]


def test_a_calm_stretch_begins_when_everything_is_over():
    expected = expect(story(deeds=[deed("stop_guests", 30, 104, "one")]))
    assert expected.calms == [(BEGAN, BEGAN + 10), (BEGAN + 104, BEGAN + SECONDS)]


@pytest.mark.parametrize(
    ("taken", "left"),
    [
        ([], [(0, 10)]),
        ([(2, 3)], [(0, 2), (3, 10)]),
        ([(5, 8), (1, 6)], [(0, 1), (8, 10)]),
        ([(-5, 3), (9, 20)], [(3, 9)]),
        ([(-5, 20)], []),
        ([(-5, 0), (10, 20)], [(0, 10)]),
    ],
)
def test_what_is_left_of_a_stretch(taken, left):
    assert list(without(taken, 0, 10)) == left


def test_a_run_before_anything_was_known_is_not_asked_for_kinds_that_are_none():
    assert NIC in EVERYTHING
    assert kind_of("vcpu-0") == ""
