"""The story of scripts/run: what goes wrong, when, and what fits into the time there is."""

import math

import pytest

from tests.demo.story import ACTS, GUEST, LIBVIRTD, STORAGE, Story, preface, steps

FOREVER = math.inf


def test_three_acts_are_over_within_a_minute_at_the_default_interval():
    told = steps(ACTS, 2, FOREVER)
    assert [(step.about, step.begins) for step in told] == [
        *((GUEST, True), (GUEST, False)),
        *((STORAGE, True), (STORAGE, False)),
        *((LIBVIRTD, True), (LIBVIRTD, False)),
    ]
    assert told[-1].at < 60


@pytest.mark.parametrize("interval", [0.5, 1, 2, 10])
def test_before_within_and_behind_each_act_there_is_time_for_several_tables(interval):
    moments = [0.0, *(step.at for step in steps(ACTS, interval, FOREVER))]
    assert all(later - sooner >= 3 * interval for sooner, later in zip(moments, moments[1:]))


@pytest.mark.parametrize(
    ("seconds", "acts"), [(1, 0), (19.9, 0), (20, 1), (37, 1), (38, 2), (55, 2), (56, 3), (FOREVER, 3)]
)
def test_only_acts_that_end_in_time_are_told_and_the_preface_says_how_many(seconds, acts):
    told = steps(ACTS, 2, seconds)
    assert len(told) == 2 * acts
    assert all(step.at + 2 <= seconds for step in told)
    words = preface(ACTS, 2, seconds)
    assert (f"in {acts} act" in words) == (acts > 0)
    assert ("too short" in words or "takes longer" in words) == (acts < 3)


def test_acts_that_cannot_be_played_here_are_not_counted():
    fewer = [act for act in ACTS if act.about != STORAGE]
    assert [step.words.split(":")[0] for step in steps(fewer, 2, FOREVER)] == [
        *("Act 1 of 2", "Act 1 of 2 is over", "Act 2 of 2", "Act 2 of 2 is over")
    ]


def test_where_domains_are_only_watched_nothing_is_told():
    assert steps([], 2, FOREVER) == []
    assert preface([], 2, FOREVER) == ""
    assert Story([]).next_at == FOREVER


def test_each_step_is_due_once_in_its_order_and_none_is_left_out():
    told = steps(ACTS, 2, FOREVER)
    story = Story(told)
    assert story.due(told[0].at - 0.01) == []
    assert story.next_at == told[0].at
    # The loop was late: an act begins and ends, and the next one begins.
    assert story.due(told[2].at) == told[:3]
    assert story.due(told[2].at) == []
    assert story.due(told[-1].at) == told[3:]
    assert story.due(1e9) == []
    assert story.next_at == FOREVER


def test_names_in_the_words_are_those_of_guests():
    from tests.demo.stage import GUESTS
    from tests.demo.story import ASKED, ON_STORAGE, STOPPED

    assert {STOPPED, ASKED, *ON_STORAGE} < {guest.name for guest in GUESTS}
