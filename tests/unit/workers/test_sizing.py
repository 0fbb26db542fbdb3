"""How many workers of libvirtd virt2 takes, and how the readers share them."""

from __future__ import annotations

import math
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.workers.sizing import GUARANTEED_ABOVE, MOST_AGENTS, Plan, plan


class Limits(NamedTuple):
    max_workers: int
    available: int


def budget(workers: int | None, limits: Limits | None, held: int = 0) -> int:
    return plan(workers, limits, "refused", held, {"0": 10}).budget


@pytest.mark.parametrize(
    ("workers", "limits", "held", "expected"),
    [
        pytest.param(None, Limits(20, 20), 0, 10, id="libvirtd's default: half"),
        pytest.param(None, Limits(60, 60), 0, 30, id="large: half"),
        pytest.param(None, Limits(5, 5), 0, 2, id="small: half, rounded down"),
        pytest.param(None, Limits(1, 1), 0, 1, id="one worker: never below one"),
        pytest.param(None, None, 0, 4, id="unknown"),
        pytest.param(7, None, 0, 7, id="configured, limits unknown"),
        pytest.param(3, Limits(20, 20), 0, 3, id="configured, fewer than half"),
        pytest.param(15, Limits(20, 20), 0, 15, id="configured, more than half"),
        pytest.param(40, Limits(20, 20), 0, 16, id="configured, more than libvirtd has less the reserve"),
        pytest.param(None, Limits(20, 9), 0, 5, id="others hold many: what is available less the reserve"),
        pytest.param(None, Limits(20, 4), 0, 1, id="nothing to be had: one all the same"),
        pytest.param(None, Limits(20, -3), 0, 1, id="over-committed"),
        pytest.param(None, Limits(20, 6), 8, 10, id="what we hold ourselves counts as available"),
        pytest.param(None, Limits(20, 2), 8, 6, id="ours and others' together leave less than half"),
        pytest.param(None, Limits(6, 5), 0, 3, id="the reserve is two at the least"),
        pytest.param(None, Limits(100, 60), 0, 40, id="the reserve is a fifth of a large pool"),
    ],
)
def test_budget(workers, limits, held, expected):
    assert budget(workers, limits, held) == expected


@pytest.mark.parametrize(
    ("limits", "reserve"),
    [
        pytest.param(None, 0, id="unknown"),
        pytest.param(Limits(5, 5), 2, id="5"),
        pytest.param(Limits(20, 20), 4, id="20"),
        pytest.param(Limits(21, 21), 5, id="21"),
        pytest.param(Limits(60, 60), 12, id="60"),
    ],
)
def test_reserve(limits, reserve):
    assert plan(None, limits, "", 0, {"0": 1}).reserve == reserve


@pytest.mark.parametrize(
    ("workers", "limits", "words"),
    [
        pytest.param(None, Limits(20, 20), ["half", "20"], id="automatic"),
        pytest.param(8, Limits(20, 20), ["as configured"], id="configured"),
        pytest.param(None, Limits(20, 9), ["10 are wanted", "9 of libvirtd's 20", "4 are left"], id="cut short"),
        pytest.param(None, None, ["unknown: refused"], id="unknown"),
        pytest.param(8, None, ["as configured", "unknown: refused"], id="configured, unknown"),
    ],
)
def test_the_budget_comes_with_its_reason(workers, limits, words):
    reason = plan(workers, limits, "refused", 0, {"0": 1}).reason
    assert [word for word in words if word not in reason] == []


@pytest.mark.parametrize(
    ("size", "groups", "shares", "turns"),
    [
        pytest.param(10, {"0": 100}, {"0": 9}, False, id="one reader: all but the one for class A"),
        pytest.param(10, {"0": 10, "1": 10, "2": 10}, {"0": 3, "1": 3, "2": 3}, False, id="equal groups"),
        pytest.param(10, {"0": 80, "1": 10}, {"0": 8, "1": 1}, False, id="by number of domains"),
        pytest.param(10, {"0": 1000, "1": 1, "2": 1}, {"0": 7, "1": 1, "2": 1}, False, id="small ones get one"),
        pytest.param(10, {"0": 100, "1": 0}, {"0": 9, "1": 1}, False, id="an empty reader takes nothing away"),
        pytest.param(10, {"0": 0, "1": 0}, {"0": 9, "1": 9}, False, id="no domains yet"),
        pytest.param(2, {"0": 5}, {"0": 2}, False, id="a budget of two: nothing is set aside"),
        pytest.param(1, {"0": 5}, {"0": 1}, False, id="a budget of one"),
        pytest.param(3, {"0": 9, "1": 9, "2": 9}, {"0": 1, "1": 1, "2": 1}, True, id="more readers than slots"),
        pytest.param(1, {"0": 9, "1": 9}, {"0": 1, "1": 1}, True, id="two readers, one slot"),
        pytest.param(2, {"0": 9, "1": 9, "2": 0}, {"0": 1, "1": 1, "2": 1}, False, id="empty readers need no slot"),
    ],
)
def test_shares(size, groups, shares, turns):
    made = plan(size, None, "", 0, groups)
    assert (made.shares, made.turns) == (shares, turns)


PLANS = st.builds(
    lambda size, groups: (plan(size, None, "", 0, groups), groups),
    st.integers(1, 40),
    st.dictionaries(st.integers(0, 30).map(str), st.integers(0, 400), min_size=1, max_size=12),
)


@given(PLANS)
def test_the_shares_of_readers_with_domains_fit_wherever_each_can_have_one(made: tuple[Plan, dict[str, int]]):
    made_plan, groups = made
    slots = made_plan.budget - 1 if made_plan.budget > GUARANTEED_ABOVE else made_plan.budget
    populated = [name for name, size in groups.items() if size]
    assert made_plan.shares.keys() == groups.keys()
    assert min(made_plan.shares.values()) >= 1
    assert made_plan.turns == (len(populated) > slots)
    total = sum(made_plan.shares[name] for name in populated)
    if populated and not made_plan.turns:
        assert total == slots
    else:
        assert total == len(populated)


@given(PLANS)
def test_more_domains_never_get_a_smaller_share(made: tuple[Plan, dict[str, int]]):
    made_plan, groups = made
    for name, size in groups.items():
        for other, other_size in groups.items():
            if size > 0 and size > other_size > 0:
                # Rounding may favour the smaller one by the slot that could not be split.
                assert made_plan.shares[name] >= made_plan.shares[other] - 1


@given(st.one_of(st.none(), st.integers(1, 500)), st.integers(1, 500), st.integers(-50, 500), st.integers(0, 100))
def test_what_is_left_to_others_is_never_touched(workers, max_workers, available, held):
    made = plan(workers, Limits(max_workers, available), "", held, {"0": 1})
    assert made.budget >= 1
    assert made.budget == 1 or made.budget <= available + held - max(2, math.ceil(max_workers / 5))
    if workers is None:
        assert made.budget <= max(1, max_workers // 2)
    else:
        assert made.budget <= workers


@pytest.mark.parametrize(
    ("size", "storage", "agents"),
    [
        pytest.param(10, False, 2, id="a quarter"),
        pytest.param(10, True, 1, id="a quarter of what the quarantine leaves"),
        pytest.param(200, False, MOST_AGENTS, id="no more than one connection takes"),
        pytest.param(4, False, 1, id="one of few"),
        pytest.param(3, False, 1, id="one of very few"),
        pytest.param(3, True, 0, id="none where the readers would have none"),
        pytest.param(2, False, 0, id="none where none is set aside"),
        pytest.param(1, False, 0, id="never the only one"),
    ],
)
def test_agents_get_few_slots_or_none(size, storage, agents):
    assert plan(size, None, "", 0, {"0": 9}, storage=storage, agents=True).agents == agents


@given(st.integers(1, 400), st.booleans())
def test_agents_never_take_the_readers_last_slot_nor_the_one_set_aside(size, storage):
    made = plan(size, None, "", 0, {"0": 9}, storage=storage, agents=True)
    assert made.shares["0"] >= 1
    if made.agents:
        assert made.shares["0"] + made.quarantine + made.agents == size - 1


def test_nobody_gives_up_a_slot_for_agents_that_are_not_asked():
    assert plan(10, None, "", 0, {"0": 9}) == plan(10, None, "", 0, {"0": 9}, agents=False)
