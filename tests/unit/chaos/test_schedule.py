"""A seed is a schedule: always the same one, in which everything comes, and nothing is in the way of anything else."""

import hashlib

import pytest

from tests.chaos.expectations import effects
from tests.chaos.faults import FAULTS
from tests.chaos.performance import GUESTS
from tests.chaos.report import schedule_text
from tests.chaos.schedule import APART, KINDS, LAST_CALM, RESTARTS_UNTIL, make


def test_a_seed_gives_the_same_schedule_on_every_machine_with_every_python():
    text = schedule_text(make(7, 10, GUESTS))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "ff92f6b1e97bf406"


def test_another_seed_gives_another_schedule():
    assert make(1, 10, GUESTS).actions != make(2, 10, GUESTS).actions


def test_a_run_begins_and_ends_calm_and_is_healed_in_the_end():
    for seed in range(20):
        schedule = make(seed, 3, GUESTS)
        assert schedule.calms[0][0] == 0
        assert schedule.calms[-1][1] == 180
        for action in schedule.actions:
            assert action.begin <= action.end <= 180 - LAST_CALM
            assert not any(begin < action.end and action.begin < end for begin, end in schedule.calms), action


def test_there_are_calm_stretches_in_between_and_actions_at_the_same_time():
    schedule = make(3, 10, GUESTS)
    assert len(schedule.calms) > 10
    both = [
        (one.kind, two.kind)
        for number, one in enumerate(schedule.actions)
        for two in schedule.actions[number + 1 :]
        if one.begin < two.end and two.begin < one.end
    ]
    assert len(both) > 10


def test_ten_minutes_have_everything_in_them():
    for seed in range(5):
        assert {action.kind for action in make(seed, 10, GUESTS).actions} == set(KINDS)


def test_a_minute_has_something_in_it():
    assert all(make(seed, 1, GUESTS).actions for seed in range(50))


def test_nobody_has_a_guest_or_a_storage_or_libvirtd_for_two_things_at_a_time():
    for seed in range(10):
        actions = make(seed, 10, GUESTS).actions
        for number, one in enumerate(actions):
            for two in actions[number + 1 :]:
                if one.begin <= two.end + APART and two.begin <= one.end + APART:
                    assert not set(one.targets) & set(two.targets)
                    resources = [KINDS[action.kind].resource for action in (one, two)]
                    assert resources[0] != resources[1] or not resources[0]


def test_targets_are_what_the_kind_takes():
    for action in make(5, 60, GUESTS).actions:
        kind = KINDS[action.kind]
        storage, guests = (action.targets[:1], action.targets[1:]) if kind.storage else ((), action.targets)
        assert set(storage) <= {"alpha", "beta"}
        assert set(guests) <= set(GUESTS)
        assert len(guests) == kind.guests if kind.fixed else bool(kind.guests) <= len(guests) <= kind.guests
        if kind.storage == "own":
            assert {GUESTS[name] for name in guests} == set(storage)
        assert action.detail in kind.details


def test_collectd_is_not_restarted_in_the_second_half_of_a_long_run():
    for seed in range(5):
        restarts = [action.begin for action in make(seed, 60, GUESTS).actions if action.kind == "restart_collectd"]
        assert restarts
        assert max(restarts) < 3600 * RESTARTS_UNTIL + 45


@pytest.mark.parametrize("what", [FAULTS, effects(True), effects(False)], ids=["faults", "kernel", "libvirt"])
def test_every_kind_can_be_done_and_its_effects_are_stated(what):
    assert set(KINDS) <= set(what)
