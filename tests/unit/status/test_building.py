"""The answers that a snapshot gives."""

from __future__ import annotations

import pytest

from tests.unit.status.shapes import check
from tests.unit.status.snapshots import (
    LIMITS,
    NOW,
    WALL,
    about,
    domain,
    inactive,
    sample,
    server,
    snapshot,
    statuses,
    uuid_of,
    well,
)
from virt2.domains.health import Known
from virt2.domains.link import Link
from virt2.metrics import defaults
from virt2.model.replies import DiskStats, Info
from virt2.status import building
from virt2.status.snapshot import Call, Crew, Facts, Slots
from virt2.version import VERSION
from virt2.workers import sizing
from virt2.workers.job import AGENT, MONITOR, SERVER

WEB = domain("web", 5)


def row(one=WEB, **changes):
    found = building.domains(snapshot(one, **changes))
    check(found, "Domains")
    return found["domains"][0]


def facts_of(**changes):
    return {WEB.uuid: well(WEB, **changes)}


def test_hello_tells_who_answers():
    found = building.hello(snapshot(WEB))
    check(found, "Hello")
    assert found == {
        "version": VERSION,
        "pid": 4711,
        "since": {"time": WALL - 3600, "seconds": 3600.0},
        "connection": "qemu:///system",
        "libvirt": "9.0.0",
        "reach": {"state": "up", "since": {"time": WALL - 3000, "seconds": 3000.0}, "reason": "", "silent": False},
        "interval": 10.0,
        "readers": ["fast", "0"],
    }


@pytest.mark.parametrize(
    ("link", "state", "reason"),
    [
        (None, "never connected", ""),
        (Link(True, 1.0, ""), "up", ""),
        (Link(False, 1.0, "no socket"), "down", "no socket"),
    ],
)
def test_whether_libvirt_can_be_reached(link, state, reason):
    found = building.hello(snapshot(server=server(link=link)))["reach"]
    assert (found["state"], found["reason"]) == (state, reason)
    assert (found["since"] is None) == (link is None)


def test_nobody_is_there_at_the_start():
    empty = snapshot(listed_at=None, paused=None, crews=(), server=server(link=None, limits=None, limits_age=None))
    for question, shape in (("hello", "Hello"), ("domains", "Domains"), ("limits", "Limits"), ("top", "Top")):
        check(getattr(building, question)(empty), shape)
    assert building.domains(empty)["listed"] is None


def test_a_domain_that_is_well():
    assert row() == {
        "name": "web",
        "uuid": WEB.uuid,
        "id": 5,
        "active": True,
        "state": "running",
        "tag": "sd-1",
        "tag_source": "storage",
        "storage": ["sd-1"],
        "reader": "0",
        "monitor": {"state": "ok", "cause": "", "since": None},
        "sample_age": 4.0,
        "skipped": False,
        "cpu_off_kernel": True,
    }


@pytest.mark.parametrize(
    ("one", "partition_by", "tag", "source"),
    [
        (domain("a", tag="fast"), ("tag", "storage"), "fast", "metadata"),
        (domain("a", tag="fast"), ("storage",), "sd-1", "storage"),
        (domain("a", tag="sd-1"), ("storage",), "sd-1", "storage"),
        (domain("a"), ("tag", "storage"), "sd-1", "storage"),
        (domain("a"), ("tag",), "", "none"),
        (domain("a", storage=("",)), ("tag", "storage"), "", "none"),
        (domain("a", storage=()), ("tag", "storage"), "", "none"),
    ],
)
def test_what_places_a_domain_and_where_that_comes_from(one, partition_by, tag, source):
    found = row(one, about=about(partition_by=partition_by))
    assert (found["tag"], found["tag_source"]) == (tag, source)


def test_the_storage_domains_of_all_disks_are_told_each_once():
    assert row(domain("a", storage=("sd-2", "sd-1", "sd-2")))["storage"] == ["sd-2", "sd-1"]


def known(state: int) -> Known:
    return Known(Info(state, 1, 1, 1, 1), NOW - 60)


@pytest.mark.parametrize(
    ("paused", "info", "state"),
    [
        (frozenset({WEB.uuid}), known(1), "paused"),
        (frozenset({WEB.uuid}), None, "paused"),
        (frozenset(), None, "running"),
        (frozenset(), known(3), "running"),
        (frozenset(), known(6), "crashed"),
        (frozenset(), known(7), "suspended by its guest"),
        (None, None, None),
        (None, known(3), "paused"),
        (None, known(42), "state 42, which this version does not know"),
        (None, known(-1), "state -1, which this version does not know"),
    ],
)
def test_the_state_is_by_the_list_and_by_libvirts_last_word(paused, info, state):
    assert row(paused=paused, facts=facts_of(known=info))["state"] == state


def test_an_id_that_is_not_known_is_null():
    assert row(domain("a", id=-1))["id"] is None


def test_a_domain_that_no_reader_has_come_to_yet():
    found = row(facts={}, readers={}, paused=None)
    assert found["reader"] is None
    assert found["sample_age"] is None
    assert found["cpu_off_kernel"] is None
    assert found["monitor"] == {"state": "not asked", "cause": "no read has come to this domain yet", "since": None}


def test_the_age_of_a_sample_counts_from_when_it_was_first_seen_where_none_was_complete():
    assert row(facts=facts_of(complete=None))["sample_age"] == 600.0


@pytest.mark.parametrize(
    ("changes", "state", "cause"),
    [
        ({"blocked_since": NOW - 12, "cause": "blockStats"}, "blocked", "blockStats"),
        ({"blocked_since": NOW - 12, "cause": ""}, "blocked", "the cause is not known yet"),
        ({"blocked_since": NOW - 12, "cause": "blockStats", "incoming": True}, "blocked", "blockStats"),
        ({"incoming": True}, "not asked", "the domain is being moved or built"),
        ({"monitored": False}, "not asked", "nothing is asked of it"),
        ({"skipped": True}, "not asked", "the last read had no time or no slot for it"),
        ({"answered": None}, "not asked", "no read has used it yet"),
        ({}, "ok", ""),
    ],
)
def test_how_a_monitor_is(changes, state, cause):
    monitor = row(facts=facts_of(**changes))["monitor"]
    assert (monitor["state"], monitor["cause"]) == (state, cause)
    assert monitor["since"] == ({"time": WALL - 12, "seconds": 12.0} if state == "blocked" else None)


def test_what_a_monitor_was_asked_before_libvirt_went_away_tells_nothing_of_it_now():
    monitor = row(server=server(link=Link(False, NOW - 5, "gone")))["monitor"]
    assert (monitor["state"], monitor["cause"]) == ("not asked", "libvirt cannot be reached")


@pytest.mark.parametrize(
    ("call", "state"),
    [
        (Call(WEB.uuid, MONITOR, "blockStats", NOW - 0.3), "not asked"),
        (Call(WEB.uuid, MONITOR, "blockStats", NOW - 0.05), "ok"),
        (Call(WEB.uuid, MONITOR, "blockStats", NOW - 0.3, cut_off=True), "ok"),
        (Call(WEB.uuid, SERVER, "info", NOW - 0.3), "ok"),
        (Call(uuid_of("other"), MONITOR, "blockStats", NOW - 0.3), "ok"),
    ],
)
def test_a_monitor_whose_answer_is_waited_for_is_not_called_well(call, state):
    monitor = row(calls=(call,))["monitor"]
    assert monitor["state"] == state
    assert ("its answer to blockStats is still waited for" in monitor["cause"]) == (state != "ok")


def test_cpu_time_is_libvirts_where_it_is_of_the_moment_of_libvirts_last_word():
    asked = sample(WEB, defaults.CPU_TIME, "", 4, NOW - 60)
    assert row(facts=facts_of(last={(defaults.CPU_TIME, ""): asked}))["cpu_off_kernel"] is False
    assert row(facts=facts_of(last={(defaults.CPU_TIME, ""): asked}, known=None))["cpu_off_kernel"] is True


def test_inactive_domains_come_behind_the_active_ones_with_their_state():
    active = [domain("b"), domain("a")]
    read = statuses(inactive("old"), inactive("a-gone", 6), inactive("b"), asked=NOW - 100)
    found = building.domains(snapshot(*active, statuses=read))
    check(found, "Domains")
    assert [(one["name"], one["active"], one["state"]) for one in found["domains"]] == [
        ("a", True, "running"),
        ("b", True, "running"),
        ("a-gone", False, "crashed"),
        ("old", False, "shut off"),
    ]
    assert found["states_read"] == {"time": WALL - 100, "seconds": 100.0}
    assert found["listed"] == {"time": WALL - 3, "seconds": 3.0}
    assert found["domains"][-1]["monitor"]["cause"] == "the domain is not active"


def test_the_limits_are_told_with_their_age():
    found = building.limits(snapshot(WEB))
    check(found, "Limits")
    admin = found["admin"]
    assert admin["known"]
    assert admin["asked"] == {"time": WALL - 0.5, "seconds": 0.5}
    assert (admin["max_workers"], admin["workers"], admin["free_workers"]) == (20, 6, 4)
    assert (admin["priority_workers"], admin["job_queue_depth"]) == (5, 0)
    assert (admin["clients"], admin["max_clients"]) == (3, 5000)


def test_why_limits_are_unknown_is_told_with_the_age_of_the_last_answer():
    unknown = server(limits=None, limits_age=90.0, limits_reason="refused")
    found = building.limits(snapshot(server=unknown))
    check(found, "Limits")
    assert found["admin"]["known"] is False
    assert found["admin"]["reason"] == "refused"
    assert found["admin"]["asked"]["seconds"] == 90.0
    assert found["admin"]["max_workers"] is None
    assert found["plan"]["reserve"]["reason"] == "libvirtd's limits are unknown: refused"
    assert building.limits(snapshot(server=server(limits=None, limits_age=None)))["admin"]["asked"] is None


def test_each_number_of_the_plan_has_its_reason():
    plan = building.limits(snapshot(WEB))["plan"]
    assert plan["budget"] == {"value": 10, "reason": "half of libvirtd's 20 workers"}
    assert plan["reserve"] == {
        "value": 4,
        "reason": "20% of libvirtd's 20 workers, and at least 2, are left to others",
    }
    assert plan["set_aside"]["value"] == 1
    assert plan["set_aside"]["reason"].startswith("kept for calls that need libvirtd alone")
    assert plan["quarantine"] == {"value": 0, "reason": "no option asks for what touches the storage"}
    assert plan["agents"] == {"value": 0, "reason": "no option asks guests' agents"}
    assert [(one["reader"], one["domains"], one["share"]["value"]) for one in plan["shares"]] == [
        ("0", 2, 6),
        ("fast", 1, 3),
    ]
    assert plan["shares"][0]["share"]["reason"] == (
        "2 of 3 domains; the readers share 9 slots by domains, and each has at least one"
    )
    assert not plan["turns"]


def test_the_plan_with_storage_agents_and_turns():
    made = sizing.plan(3, LIMITS, "", 0, {"0": 1, "1": 1, "2": 1}, storage=True, agents=True)
    crews = [Crew(name, 1, 1, 0, 0, 0, domains=1) for name in "012"]
    found = building.limits(
        snapshot(plan=made, crews=crews, about=about(touches_storage=True, asks_agents=True), slots=Slots(3, 0, 1))
    )
    check(found, "Limits")
    plan = found["plan"]
    assert plan["turns"]
    assert plan["shares"][0]["share"]["reason"].endswith("; there are more readers than slots, so they take turns")
    assert plan["quarantine"]["reason"] == "25% of the slots, at least one, are for what touches the storage"
    assert "never the last one" in plan["agents"]["reason"]


def test_a_small_budget_sets_nothing_aside():
    found = building.limits(snapshot(slots=Slots(2, 0, 0)))["plan"]["set_aside"]
    assert found == {"value": 0, "reason": "with a budget of 2 or less none is set aside"}


def test_what_is_held_charged_and_stuck():
    calls = (
        Call(WEB.uuid, MONITOR, "blockStats", NOW - 12),
        Call(WEB.uuid, SERVER, "info", NOW - 5, cut_off=True),
        Call("gone", AGENT, "guestInfo", NOW - 0.01, frozenset({"b", "a"})),
    )
    slots = Slots(10, 4, 1, connects=2, connects_since=NOW - 7, refusal="no")
    found = building.limits(snapshot(WEB, calls=calls, slots=slots))
    check(found, "Limits")
    assert found["held"] == {"used": 4, "in_flight": 2, "charged": 1, "stuck": 1, "free": 6}
    assert [(one["domain"], one["call"], one["stuck"], one["cut_off"]) for one in found["calls"]] == [
        ("web", "blockStats", True, False),
        ("web", "info", True, True),
        ("", "guestInfo", False, False),
    ]
    assert found["calls"][2]["storage"] == ["a", "b"]
    assert found["connects"] == {"pending": 2, "since": {"time": WALL - 7, "seconds": 7.0}, "refusal": "no"}


def test_more_held_than_there_are_slots_leaves_none_free():
    assert building.limits(snapshot(slots=Slots(4, 6, 1)))["held"]["free"] == 0


def test_top_has_the_last_value_of_each_default_metric_with_its_time():
    found = building.top(snapshot(WEB))
    check(found, "Top")
    values = {(one["type"], one["instance"]): one for one in found["domains"][0]["values"]}
    assert {key: one["values"] for key, one in values.items()} == {
        ("virt_cpu_total", ""): [5_000_000_000],
        ("memory", "total"): [2048 * 1024],
        ("disk_octets", "vda"): [512, 1024],
        ("disk_ops", "vda"): [1, 2],
        ("if_octets", "vnet0"): [10, 20],
        ("if_packets", "vnet0"): [1, 2],
        ("if_errors", "vnet0"): [0, 0],
        ("if_dropped", "vnet0"): [0, 0],
    }
    assert {one["time"] for one in values.values()} == {WALL - 4}
    assert (found["time"], found["interval"]) == (WALL, 10.0)


def test_top_calls_devices_as_collectd_does_and_leaves_out_what_is_not_known():
    disk = WEB.description.disks[0]._replace(label="/images/0".replace("/", "_"))
    one = WEB._replace(description=WEB.description._replace(disks=(disk,)))
    last = {(defaults.DISK, "vda"): sample(one, defaults.DISK, "vda", DiskStats(-1, -1, 2, 1024, 0))}
    assert building.top(snapshot(one, facts={one.uuid: well(one, last=last)}))["domains"][0]["values"] == []
    last = {(defaults.DISK, "vda"): sample(one, defaults.DISK, "vda", DiskStats(1, 2, 3, 4, 0))}
    (first, _) = building.top(snapshot(one, facts={one.uuid: well(one, last=last)}))["domains"][0]["values"]
    assert first["instance"] == "_images_0"


def stuck(one, seconds):
    return well(one, blocked_since=NOW - seconds, cause="blockStats")


def test_top_has_stuck_domains_first_and_the_longest_stuck_before_all():
    names = ["a", "b", "c", "d"]
    domains = {name: domain(name) for name in names}
    facts = {one.uuid: well(one) for one in domains.values()}
    facts[domains["c"].uuid] = stuck(domains["c"], 3)
    facts[domains["d"].uuid] = stuck(domains["d"], 30)
    found = building.top(snapshot(*domains.values(), facts=facts))
    check(found, "Top")
    assert [one["name"] for one in found["domains"]] == ["d", "c", "a", "b"]


def test_top_tells_which_storage_domains_are_suspected_and_by_whom():
    domains = [
        domain("a", storage=("sd-1",)),
        domain("b", storage=("sd-1", "sd-2")),
        domain("c", storage=("sd-2",)),
        domain("d", storage=("sd-3",)),
    ]
    facts = {one.uuid: well(one) for one in domains} | {one.uuid: stuck(one, 9) for one in domains[:2]}
    calls = (Call(domains[3].uuid, MONITOR, "blockInfo", NOW - 20, frozenset({"sd-3", "sd-4"})),)
    found = building.top(snapshot(*domains, facts=facts, calls=calls))["storage"]
    assert found == [
        {"name": "sd-1", "domains": 2, "stuck": ["a", "b"], "suspended": False, "suspected": True},
        {"name": "sd-3", "domains": 1, "stuck": [], "suspended": True, "suspected": True},
        {"name": "sd-4", "domains": 0, "stuck": [], "suspended": True, "suspected": True},
        {"name": "sd-2", "domains": 2, "stuck": ["b"], "suspended": False, "suspected": False},
    ]


def test_a_call_that_touches_storage_and_has_just_begun_suspends_nothing():
    calls = (Call(WEB.uuid, MONITOR, "blockInfo", NOW - 1, frozenset({"sd-1"})),)
    assert not building.top(snapshot(WEB, calls=calls))["storage"][0]["suspended"]


def test_top_tells_how_the_readers_are():
    crews = (
        Crew("0", 6, 3, 2, 1, 1, domains=2, skipped=("web",), began=NOW - 4, took=0.05),
        Crew("storage", 1, 1, 0, 0, 0),
    )
    other = domain("other")
    facts = {WEB.uuid: stuck(WEB, 9), other.uuid: well(other)}
    found = building.top(snapshot(WEB, other, crews=crews, facts=facts))["readers"]
    assert found == [
        {
            "name": "0",
            "domains": 2,
            "stuck": 1,
            "skipped": ["web"],
            "share": 6,
            "workers": 3,
            "workers_busy": 2,
            "workers_stuck": 1,
            "workers_connecting": 1,
            "last_read": {"began": {"time": WALL - 4, "seconds": 4.0}, "seconds": 0.05},
        },
        {
            "name": "storage",
            "domains": None,
            "stuck": None,
            "skipped": [],
            "share": 1,
            "workers": 1,
            "workers_busy": 0,
            "workers_stuck": 0,
            "workers_connecting": 0,
            "last_read": None,
        },
    ]


def test_what_is_known_of_domains_that_have_just_gone_is_told_of_nobody():
    gone = Facts(NOW - 5, blocked_since=NOW - 2)
    found = building.top(snapshot(WEB, facts={"gone": gone, **facts_of()}))
    assert [one["name"] for one in found["domains"]] == ["web"]
    assert found["readers"][1]["stuck"] == 0
