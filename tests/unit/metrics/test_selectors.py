"""What ExtraStats can ask for, and which calls are made for it."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.fakes import MONITOR_GROUPS, SERVER_GROUPS
from virt2.agents.guestinfo import AGENT_SELECTORS
from virt2.metrics import defaults, extras
from virt2.metrics.rates import RATES
from virt2.metrics.selectors import (
    AGENT,
    BULK,
    DISK_TIMES,
    LAYERS,
    LIBVIRT_NAMES,
    NAMES,
    NOTHING,
    SELECTORS,
    Ask,
    Selection,
)


def test_every_name_is_there_once_in_alphabetical_order():
    assert sorted(set(NAMES)) == list(NAMES)


def test_every_class_is_one_of_those_there_are():
    assert {selector.kind for selector in SELECTORS} == {*"ABC", AGENT}


def test_a_call_has_the_class_that_was_measured():
    classes = {
        **dict.fromkeys(["info", "state", "vcpus", "getCPUStats", "jobStats (completed)"], "A"),
        **dict.fromkeys(["blockStatsFlags", "jobStats"], "B"),
        **dict.fromkeys(["blockInfo", "diskErrors", f"{BULK}BLOCK"], "C"),
        **dict.fromkeys([BULK + group for group in SERVER_GROUPS], "A"),
        **dict.fromkeys([BULK + group for group in MONITOR_GROUPS], "B"),
    }
    of_libvirt = [selector for selector in SELECTORS if selector.kind != AGENT]
    assert [selector.kind for selector in of_libvirt] == [classes[selector.call] for selector in of_libvirt]


def test_what_agents_tell_is_none_of_the_calls_made_here():
    names = {selector.name for selector in SELECTORS if selector.kind == AGENT}
    assert names == set(AGENT_SELECTORS)
    assert Selection(names).names == frozenset()


def test_every_selector_makes_something_of_its_reply():
    made = extras.MAPPING.keys() | RATES.keys()
    storage = {selector.name for selector in SELECTORS if selector.call in (defaults.SIZES, defaults.ERRORS)}
    assert set(LIBVIRT_NAMES) == made | storage
    assert not extras.MAPPING.keys() & RATES.keys()


def test_by_default_nothing_is_asked():
    assert not any(getattr(NOTHING, name) for name in Selection.__slots__)
    assert not NOTHING.touches_storage


def test_one_call_serves_all_selectors_that_need_it():
    assert Selection(["vcpu", "vcpupin"]).server == (Ask("vcpus", ("vcpu", "vcpupin")),)


@pytest.mark.parametrize("name", LIBVIRT_NAMES)
def test_a_selector_alone_makes_one_kind_of_call(name):
    selection = Selection([name])
    single = [selection.info, selection.state, selection.disk, selection.sizes, selection.layers, selection.errors]
    assert len([part for part in single if part]) + len(selection.server) + len(selection.monitor) == 1


@pytest.mark.parametrize("pair", list(itertools.combinations(LIBVIRT_NAMES, 2)), ids="-".join)
def test_what_touches_the_storage_is_never_asked_with_the_rest(pair):
    selection = Selection(pair)
    asked = {name for ask in (*selection.server, *selection.monitor) for name in ask.serves}
    asked |= {*selection.info, *selection.state, *selection.disk}
    assert asked == {selector.name for selector in SELECTORS if selector.name in pair and selector.kind != "C"}
    assert selection.touches_storage == (asked != set(pair))


def test_all_groups_of_a_class_are_asked_in_one_call():
    selection = Selection(NAMES)
    assert selection.layers == tuple(selector.name for selector in SELECTORS if selector.call == BULK + LAYERS)
    for asks in (selection.server, selection.monitor):
        assert len([ask for ask in asks if ask.groups]) == 1
        assert asks[-1].groups
        assert asks[-1].what == BULK + " ".join(asks[-1].groups)


def test_the_two_kinds_of_job_are_kept_apart_where_both_are_wanted():
    (alone,) = Selection(["job_stats_completed"]).server
    (beside,) = Selection(["job_stats_completed", "job_stats_background"]).server
    assert (alone.prefix, beside.prefix) == ("", "completed_")
    assert Selection(["job_stats_completed", "job_stats_background"]).monitor[0].prefix == ""


def test_its_repr_names_what_is_on():
    assert repr(Selection(["vcpu", "disk"])) == "<Selection disk vcpu>"
    assert repr(NOTHING) == "<Selection nothing>"


def test_what_is_told_of_one_disk_goes_by_its_label():
    of_one = {selector.name for selector in SELECTORS if selector.call in (BULK + LAYERS, DISK_TIMES)}
    assert of_one == extras.OF_DISKS
