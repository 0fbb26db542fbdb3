"""The story of one domain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.status.shapes import check
from tests.unit.status.snapshots import (
    NAMESPACE,
    NOW,
    WALL,
    about,
    domain,
    inactive,
    server,
    snapshot,
    statuses,
    uuid_of,
    well,
)
from virt2.domains.link import Link
from virt2.readers.sampling import ASK_OUTSIDE, LOOK
from virt2.status import story
from virt2.status.snapshot import Call
from virt2.workers.job import AGENT, MONITOR, SERVER

WEB = domain("web", 5)
BOTH = ("tag", "storage")


def told(one=WEB, wanted="web", **changes):
    found = story.explain(snapshot(one, **changes), wanted)
    check(found, "Explain")
    assert all(sentence.endswith(".") for sentence in (*found["sentences"], *found["next_steps"]))
    return found


def blocked(cause, seconds=12.0, **changes):
    return {WEB.uuid: well(WEB, blocked_since=NOW - seconds, cause=cause, answered=NOW - seconds - 10, **changes)}


def test_a_domain_that_is_well_waits_for_nothing():
    found = told()
    assert found["waits_for"] is None
    assert found["next_steps"] == []
    assert found["calls"] == []
    assert found["identity"] == {"host": "web", "plugin_instance": ""}
    assert found["sentences"] == [
        f"Domain web (UUID {WEB.uuid}, libvirt's number 5) is running.",
        "The storage domain of its first disk, sd-1, stands in for its tag, because it has no tag in the element tag of"
        f" {NAMESPACE} in its metadata.",
        "Reader 0 has it, because that automatic reader was given all domains with sd-1, and keeps them for as long as"
        " there is one.",
        "It lies on sd-1 (1 domain).",
        "Its monitor answers. It last answered what was asked 4 s ago.",
        "The newest value is that of CPU time, taken 4 s ago.",
        "It last answered everything in a read that began 4 s ago.",
        "It waits for nothing.",
    ]


def test_its_disks_interfaces_and_answers_are_told():
    found = told()
    assert found["disks"] == [
        {"target": "vda", "label": "vda", "source": "/images/0", "storage": "sd-1", "reported": True}
    ]
    assert found["interfaces"] == ["vnet0"]
    assert found["answers"][0] == {"call": "CPU time", "device": "", "asked": {"time": WALL - 4, "seconds": 4.0}}
    newest = told(facts={WEB.uuid: well(WEB, newest={("info", ""): NOW - 9, ("blockStats", "vda"): NOW - 1})})
    assert [one["call"] for one in newest["answers"]] == ["blockStats", "info"]
    assert "The newest value is that of blockStats of vda, taken 1 s ago." in newest["sentences"]


@pytest.mark.parametrize(
    ("one", "reader", "partition_by", "reader_words", "tag_words"),
    [
        (
            *(domain("web", tag="sd-fast"), "fast", BOTH),
            *('<Instance "fast"> has a Tag that matches sd-fast (sd-fast)', "Its tag is sd-fast, from the element tag"),
        ),
        (domain("web", tag="virt-0"), "0", BOTH, "because its tag virt-0 names that reader", "Its tag is virt-0"),
        (domain("web", tag="x"), "0", BOTH, "was given all domains with x", "Its tag is x"),
        (domain("web", tag="x"), "0", ("storage",), "domains with sd-1", "because PartitionBy leaves tags out"),
        (domain("web", storage=()), "0", BOTH, "that nothing places", "nothing that places it: it has no tag"),
        (domain("web", complete=False), "0", BOTH, "was given", "its description could not be read"),
    ],
)
def test_why_it_has_its_reader_and_where_its_tag_comes_from(one, reader, partition_by, reader_words, tag_words):
    found = told(one, readers={one.uuid: reader}, about=about(partition_by=partition_by))
    assert reader_words in found["reader_reason"]
    assert tag_words in found["tag_reason"]


def test_a_domain_that_has_just_come_waits_for_the_next_read():
    found = told(readers={}, facts={}, identities={})
    assert found["identity"] is None
    assert found["reader_reason"] == "No reader has it yet: the next read gives it to one."
    assert found["waits_for"] == {"what": "the next read, which gives it to a reader", "since": None}
    assert "How its monitor is cannot be told, because no read has come to this domain yet." in found["sentences"]


@pytest.mark.parametrize(
    ("cause", "waits_for", "next_step"),
    [
        ("blockStats", "its QEMU, to answer blockStats", "virt2 makes no second call"),
        ("process stopped", "whose process is stopped", "kill -CONT"),
        ("process in uninterruptible sleep", "waits inside the kernel", "dmesg"),
        ("lock held", "the lock of the domain", "virsh hangs for this domain as well"),
        ("job of another client", "a migration, a backup or a snapshot", f"virsh domjobinfo {WEB.uuid}"),
        ("by another client", "another client of libvirtd", "virt-admin client-list"),
        ("blockStats, by another client", "another client of libvirtd", "virt-admin client-list"),
        ("held by another client outside the monitor", "another client", "a device is being removed"),
        ("blockStats, cut off with its connection", "libvirtd, to be done with blockStats", "Nothing needs to be done"),
        ("libvirt has lost its connection to this monitor; restart libvirtd", "libvirtd", "Libvirt has lost"),
        ("", "its QEMU, to answer the cause is not known yet", "Look at its QEMU"),
    ],
)
def test_what_a_blocked_domain_waits_for_and_what_to_do(cause, waits_for, next_step):
    found = told(facts=blocked(cause))
    assert waits_for in found["waits_for"]["what"]
    assert found["waits_for"]["since"] == {"time": WALL - 12, "seconds": 12.0}
    assert next_step in found["next_steps"][-1]
    assert "{" not in str(found["next_steps"]) + found["waits_for"]["what"]
    assert f"Its monitor has been blocked for 12 s: {found['domain']['monitor']['cause']}." in " ".join(
        found["sentences"]
    )
    assert "It last answered what was asked 22 s ago." in " ".join(found["sentences"])


def test_the_causes_are_those_that_the_gate_and_the_reader_tell():
    """Whoever rewords one is told here, because what to do depends on the words."""
    from pathlib import Path

    readers = Path(__file__).parents[3] / "virt2" / "readers"
    source = (readers / "gate.py").read_text() + (readers / "reader.py").read_text()
    for cause in (*story._CAUSES, story._CUT_OFF_WORDS, story._OTHER_CLIENT):
        assert f'"{cause}"' in source or f'{cause}"' in source, cause


def test_a_storage_domain_where_others_are_stuck_comes_first_in_what_to_do():
    others = [domain(f"other-{number}") for number in range(7)]
    facts = blocked("blockStats") | {one.uuid: well(one, blocked_since=NOW - 5, cause="blockStats") for one in others}
    found = story.explain(snapshot(WEB, *others, facts=facts), "web")
    assert found["next_steps"][0] == (
        "Look at storage domain sd-1 first, where these are stuck as well: other-0, other-1, other-2, other-3, other-4"
        " and 2 more."
    )
    assert "It lies on sd-1 (8 domains, 8 of them stuck)." in found["sentences"]


def test_libvirt_that_is_away_is_what_everybody_waits_for():
    found = told(server=server(link=Link(False, NOW - 30, "Connection refused")), facts=blocked("blockStats"))
    assert found["waits_for"] == {
        "what": "libvirt, which cannot be reached: Connection refused",
        "since": {"time": WALL - 30, "seconds": 30.0},
    }
    assert found["next_steps"] == [story.LIBVIRTD_AWAY]


def test_libvirtd_that_answers_nobody_and_libvirtd_without_workers():
    call = Call(WEB.uuid, SERVER, "info", NOW - 4)
    silent = told(server=server(silent=True, hung_for=5.0), calls=(call,))
    assert silent["waits_for"] == {
        "what": "libvirtd, which answers nobody",
        "since": {"time": WALL - 5, "seconds": 5.0},
    }
    assert silent["next_steps"] == [story.LIBVIRTD_SILENT]
    assert f"It has waited 5 s for {silent['waits_for']['what']}." in silent["sentences"]
    soon = told(
        server=server(silent=True, hung_for=5.0, answered_at=NOW - 5.2), facts=blocked("lock held", seconds=5.1)
    )
    assert soon["next_steps"] == [story.LIBVIRTD_SILENT]
    before = told(
        server=server(silent=True, hung_for=5.0, answered_at=NOW - 5.2), facts=blocked("lock held", seconds=60.0)
    )
    assert "the lock of the domain" in before["waits_for"]["what"]
    full = told(server=server(out_of_workers=True), calls=(call,))
    assert full["waits_for"]["what"] == "a worker of libvirtd, which has none left"
    assert full["waits_for"]["since"]["seconds"] == 4.0
    assert full["next_steps"] == [story.NO_WORKERS]
    assert told(server=server(out_of_workers=True))["waits_for"]["since"] is None


@pytest.mark.parametrize(
    ("kind", "what", "whom"),
    [
        (MONITOR, "blockStats", "its QEMU, to answer blockStats"),
        (MONITOR, "", "its QEMU, to answer a call"),
        (SERVER, "info", "libvirtd, to answer info"),
        (AGENT, "guestInfo", "its guest's agent, to answer guestInfo"),
        (SERVER, LOOK, "the kernel, which is asked for its process"),
        (SERVER, ASK_OUTSIDE, "a program that libvirtd asks for its interfaces (ovs-vsctl)"),
    ],
)
def test_a_call_that_takes_long_is_what_a_domain_waits_for(kind, what, whom):
    found = told(calls=(Call(WEB.uuid, kind, what, NOW - 1.5), Call("other", MONITOR, "info", NOW - 60)))
    assert found["waits_for"] == {"what": whom, "since": {"time": WALL - 1.5, "seconds": 1.5}}
    assert len(found["calls"]) == 1
    assert f"The call {what or 'of a job that begins'} has been in flight for 2 s." in found["sentences"]
    assert told(calls=(Call(WEB.uuid, kind, what, NOW - 0.05),))["waits_for"] is None


def test_a_call_that_was_cut_off_stays_charged():
    found = told(calls=(Call(WEB.uuid, MONITOR, "blockStats", NOW - 90, cut_off=True),))
    assert found["waits_for"]["what"] == "libvirtd, to be done with blockStats"
    assert (
        "The call blockStats was cut off with its connection 90 s ago; libvirtd may still be in it, so its slot stays"
        " charged." in found["sentences"]
    )


def test_a_domain_that_was_left_out_waits_for_a_slot():
    found = told(facts={WEB.uuid: well(WEB, skipped=True)})
    assert found["waits_for"]["what"] == "a slot of reader 0, whose last read had none for it"
    assert found["next_steps"] == [story.SHORT_OF_SLOTS]
    assert "The last read left its monitor out." in found["sentences"]


def test_sizes_wait_for_storage_that_does_not_answer_somebody_else():
    calls = (Call("other", MONITOR, "blockInfo", NOW - 20, frozenset({"sd-1"})),)
    assert told(calls=calls)["waits_for"] is None
    found = told(calls=calls, about=about(touches_storage=True))
    assert found["waits_for"]["what"] == "storage domain sd-1 with its sizes, and with nothing else"
    assert found["next_steps"] == ["Look at storage domain sd-1 first."]
    assert "It lies on sd-1 (1 domain, and a call that touches it does not come back)." in found["sentences"]


def test_a_domain_that_never_answered_says_so():
    found = told(facts={WEB.uuid: well(WEB, complete=None, answered=None, newest={})})
    assert "It has never answered everything; it was first seen 600 s ago." in found["sentences"]
    assert "How its monitor is cannot be told, because no read has used it yet." in found["sentences"]
    assert found["answers"] == []


def test_a_domain_without_storage_says_so():
    assert "No storage domain of it is known." in told(domain("web", storage=()))["sentences"]


def test_short_times_have_a_decimal():
    found = told(facts=blocked("blockStats", seconds=0.3))
    assert "Its monitor has been blocked for 0.3 s: blockStats." in " ".join(found["sentences"])


@pytest.mark.parametrize("state", ["name", "uuid", "UUID"])
def test_an_inactive_domain_is_told_by_its_state(state):
    wanted = {"name": "old", "uuid": uuid_of("old"), "UUID": uuid_of("old").upper()}[state]
    found = story.explain(snapshot(WEB, statuses=statuses(inactive("old"))), wanted)
    check(found, "Explain")
    assert found["domain"]["active"] is False
    assert found["sentences"] == ["Domain old is not active: shut off. That was read 100 s ago."]
    assert found["waits_for"] is None


@pytest.mark.parametrize("wanted", ["web", WEB.uuid, WEB.uuid.upper()])
def test_a_domain_is_found_by_name_and_by_uuid(wanted):
    assert told(wanted=wanted)["domain"]["name"] == "web"


def test_a_name_goes_before_a_uuid_that_reads_the_same():
    trap = domain(WEB.uuid)
    found = story.explain(snapshot(WEB, trap), WEB.uuid)
    assert found["domain"]["uuid"] == trap.uuid != WEB.uuid


@pytest.mark.parametrize("wanted", ["a\udcff", r"a\udcff"])
def test_a_name_that_utf8_cannot_encode_is_found_as_it_is_and_as_answers_tell_it(wanted):
    one = domain("a\udcff")
    assert story.explain(snapshot(one), wanted)["domain"]["uuid"] == one.uuid


def missing(wanted, *names, idle=()):
    with pytest.raises(story.UnknownDomain) as unknown:
        story.explain(snapshot(*map(domain, names), statuses=statuses(*map(inactive, idle))), wanted)
    assert str(unknown.value).isprintable()
    return unknown.value


def test_a_name_that_nobody_has_is_told_with_the_nearest_ones():
    error = missing("wbe-1", "web-1", "web-2", "db", idle=("web-old",))
    assert error.nearest[0] == "web-1"
    assert str(error) == (
        "none of the 4 domains that virt2 knows has the name or UUID 'wbe-1'; the nearest names are 'web-1', 'web-2';"
        " the option Domain may leave it out"
    )


def test_names_are_case_sensitive_and_the_one_that_is_meant_is_suggested():
    assert missing("WEB", "web", "other").nearest == ("web",)
    assert "; the nearest name is 'web'; " in str(missing("WEB", "web", "other"))


def test_a_part_of_a_long_name_is_near():
    assert missing("shop", "the-front-end-of-the-shop-in-the-north", "x").nearest == (
        "the-front-end-of-the-shop-in-the-north",
    )


@pytest.mark.parametrize("wanted", ["x" * 4000, "\x1b[31m\n", "\udc80", "\u202e"])
def test_a_hostile_name_is_told_in_a_short_printable_sentence(wanted):
    error = missing(wanted, "web", "\x1b]0;pwned\x07")
    assert len(str(error)) < 2000


def test_a_host_without_domains_suggests_nothing():
    assert str(missing("web")) == (
        "none of the 0 domains that virt2 knows has the name or UUID 'web'; the option Domain may leave it out"
    )


@given(st.text(st.characters(), max_size=8), st.lists(st.text(st.characters(), max_size=8), max_size=6))
def test_nearest_gives_names_that_are_there_each_once(wanted, names):
    found = story.nearest(wanted, names)
    assert len(found) <= story.NEAREST
    assert len(set(found)) == len(found)
    assert set(found) <= set(names)
