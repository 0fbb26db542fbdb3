"""Identities: fit for collectd and its writers, stable, and never shared by two domains."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.domain import Description, Domain
from virt2.identifiers import LONGEST, presentable
from virt2.naming import FORMER, Identity, Names

UUID = "00000000-0000-4000-8000-00000000000"


def domain(name: str, uuid: str = UUID + "1", metadata: str | None = None, id: int = 1) -> Domain:
    return Domain(uuid, name, id, Description(metadata=metadata))


@pytest.fixture
def names() -> Names:
    return Names(("name",), (), "node1")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("web-1", "web-1", id="ordinary"),
        pytest.param("a b\u00e9\u4e16", "a b\u00e9\u4e16", id="spaces and letters of the world"),
        pytest.param("a\nb", "a_b", id="newline"),
        pytest.param("a\tb", "a_b", id="tab"),
        pytest.param("a\x1b[31mb", "a_[31mb", id="escape"),
        pytest.param("a\x00b", "a_b", id="null"),
        pytest.param("a\u2028b\u2029c\x85d", "a_b_c_d", id="line ends of Unicode"),
        pytest.param("a\udc80b", "a_b", id="no Unicode at all"),
        pytest.param(".", "_", id="this folder"),
        pytest.param("..", "__", id="the folder above"),
        pytest.param("...", "___", id="dots"),
        pytest.param("..a", "..a", id="dots and more"),
        pytest.param("", "", id="empty"),
    ],
)
def test_presentable(name, expected):
    assert presentable(name) == expected


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("x" * 240, id="240 bytes"),
        pytest.param("\u00e9" * 120, id="240 bytes in 120 characters"),
        pytest.param("\U0001f600" * 60, id="240 bytes in 60 characters"),
        pytest.param("x" * 128, id="one byte too many"),
        pytest.param("\udc80" + "x" * 240, id="no Unicode, and long"),
    ],
)
def test_a_long_name_is_cut_between_characters_and_marked(name):
    shown = presentable(name)
    assert len(shown.encode()) <= LONGEST
    assert len(shown.encode()) > LONGEST - 4
    assert shown[-9] == "~"
    assert shown[:-9] == presentable(name[0]) + name[1 : len(shown) - 9]


def test_names_at_the_limit_are_left_as_they_are():
    assert presentable("x" * LONGEST) == "x" * LONGEST


def test_different_long_names_stay_different():
    assert presentable("x" * 200 + "a") != presentable("x" * 200 + "b")


@given(st.text(st.characters(), max_size=300))
def test_whatever_the_name_what_is_presented_is_fit_for_collectd(name):
    shown = presentable(name)
    assert len(shown.encode()) <= LONGEST
    assert not {unicodedata.category(char) for char in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert shown not in {".", ".."}
    assert bool(shown) == bool(name)
    assert presentable(shown) == shown


@pytest.mark.parametrize(
    ("host", "instance", "expected"),
    [
        pytest.param(("name",), (), Identity("web", ""), id="default"),
        pytest.param(("uuid",), (), Identity(UUID + "1", ""), id="uuid"),
        pytest.param(("hostname",), ("name",), Identity("", "web"), id="the host's own name is left to collectd"),
        pytest.param(("hostname", "name"), (), Identity("node1:web", ""), id="joined"),
        pytest.param(("name",), ("name", "uuid"), Identity("web", f"web:{UUID}1"), id="both"),
    ],
)
def test_formats(host, instance, expected):
    assert Names(host, instance, "node1").of(domain("web")) == expected


@pytest.mark.parametrize(
    ("host", "instance", "with_it", "without"),
    [
        pytest.param(("metadata",), (), ("shop", ""), ("vm1", ""), id="alone: no domain is the host itself"),
        pytest.param(("name", "metadata"), (), ("vm1:shop", ""), ("vm1:", ""), id="behind the name"),
        pytest.param(("metadata", "name"), (), ("shop:vm1", ""), (":vm1", ""), id="before the name"),
        pytest.param(("name",), ("metadata",), ("vm1", "shop"), ("vm1", ""), id="as plugin instance"),
        pytest.param(("hostname",), ("metadata",), ("", "shop"), ("", "vm1"), id="nothing else tells it"),
        pytest.param(("hostname", "metadata"), (), ("node1:shop", ""), ("node1:vm1", ""), id="nor here"),
        pytest.param(("hostname", "metadata"), ("name",), ("node1:shop", "vm1"), ("node1:", "vm1"), id="the name does"),
        pytest.param(("metadata",), ("name",), ("shop", "vm1"), ("vm1", "vm1"), id="an empty host is none"),
        pytest.param(("metadata",), ("uuid",), ("shop", UUID + "1"), ("vm1", UUID + "1"), id="nor with the uuid"),
        pytest.param(("metadata",), ("metadata",), ("shop", "shop"), ("vm1", "vm1"), id="twice"),
    ],
)
def test_metadata_and_what_is_there_where_there_is_none(host, instance, with_it, without):
    assert Names(host, instance, "node1").of(domain("vm1", metadata="shop")) == with_it
    for missing in ("", None):
        assert Names(host, instance, "node1").of(domain("vm1", metadata=missing)) == without


def test_an_identity_follows_the_metadata_when_that_changes():
    names = Names(("metadata",), (), "node1")
    assert names.of(domain("vm1", metadata="shop")).host == "shop"
    assert names.of(domain("vm1", metadata="store")).host == "store"
    assert names.of(domain("vm2", UUID + "2", "shop")).host == "shop"


def test_metadata_that_cannot_be_had_for_a_while_changes_nothing():
    names = Names(("metadata",), (), "node1")
    for metadata in ("shop", None, "shop", None):
        assert names.of(domain("vm1", metadata=metadata)).host == "shop"


def test_metadata_nobody_asked_for_changes_nothing(names):
    names.of(domain("a\tb", UUID + "2"))
    first = names.of(domain("a\nb", metadata=""))
    names.retain([UUID + "1"])
    assert names.of(domain("a\nb", metadata="shop")) == first


def test_of_equal_names_the_domain_that_runs_longest_has_the_plain_one(caplog):
    names = Names(("metadata",), (), "node1")
    young = domain("vm2", "22222222-0000-4000-8000-000000000001", "shop", id=9)
    old = domain("vm1", "11111111-0000-4000-8000-000000000001", "shop", id=3)
    unseen = domain("vm0", "33333333-0000-4000-8000-000000000001", "shop", id=-1)
    names.settle([unseen, young, old])
    assert caplog.records == []
    assert [names.of(one).host for one in (young, unseen, old)] == ["shop~22222222", "shop~33333333", "shop"]
    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["domain vm2", "domain vm0"]


def test_settling_again_changes_nothing():
    names = Names(("metadata",), (), "node1")
    first = domain("vm1", UUID + "1", "shop", id=9)
    names.settle([first])
    names.settle([first, domain("vm2", UUID + "2", "shop", id=3)])
    assert names.of(first).host == "shop"


@pytest.mark.parametrize("host", [("name",), ("hostname",)])
def test_names_that_look_the_same_are_kept_apart_by_uuid(host, caplog):
    names = Names(host, ("name",), "node1")
    first = names.of(domain("a\nb", "11111111-0000-4000-8000-000000000001"))
    second = names.of(domain("a\tb", "22222222-0000-4000-8000-000000000001"))
    assert first == Identity("" if host == ("hostname",) else "a_b", "a_b")
    assert "~22222222" in second.host + second.plugin_instance
    assert first != second


def test_even_where_the_uuids_begin_alike(names):
    # As in a lab where somebody numbered them by hand.
    alike = [names.of(domain(f"a{char}", UUID + str(number))) for number, char in enumerate("\n\t\r\x0b")]
    assert len(set(alike)) == len(alike)


def test_even_where_a_domain_is_called_what_another_was_given(names):
    taken = names.of(domain("a_~00000000", UUID + "1"))
    given_up = [names.of(domain("a\n", UUID + "2")), names.of(domain("a\t", UUID + "3"))]
    assert len({taken, *given_up}) == 3


def test_an_identity_stays_while_the_domain_is_active(names):
    first = names.of(domain("a\nb", UUID + "1"))
    second = names.of(domain("a\tb", UUID + "2"))
    names.retain([UUID + "2"])
    assert names.of(domain("a\tb", UUID + "2")) == second
    assert names.of(domain("a\nb", UUID + "3")) == first


def test_a_renamed_domain_has_its_new_name_and_frees_the_old(names):
    assert names.of(domain("old", UUID + "1")).host == "old"
    assert names.of(domain("new", UUID + "1")).host == "new"
    assert names.of(domain("old", UUID + "2")).host == "old"


def test_what_is_reported_under_another_name_is_said_once(names, caplog):
    for _ in range(3):
        names.of(domain("a\nb"))
        names.of(domain("fine", UUID + "2"))
    assert len(caplog.records) == 1
    assert "a_b" in caplog.records[0].getMessage()


def test_a_domain_that_stops_keeps_the_identity_its_values_had(names):
    first = names.of(domain("a\nb", UUID + "1"))
    second = names.of(domain("a\tb", UUID + "2"))
    names.retain([])
    assert names.of_any(domain("a\tb", UUID + "2")) == second
    assert names.of_any(domain("a\nb", UUID + "1")) == first


def test_and_has_it_again_when_it_comes_back(names):
    names.of(domain("a\nb", UUID + "1"))
    second = names.of(domain("a\tb", UUID + "2"))
    names.retain([])
    assert names.of(domain("a\tb", UUID + "2")) == second


def test_unless_another_has_taken_it(names):
    first = names.of(domain("a\nb", UUID + "1"))
    names.retain([])
    assert names.of(domain("a\tb", UUID + "2")) == first
    assert names.of(domain("a\nb", UUID + "1")) != first


def test_a_domain_that_was_spoken_of_before_it_was_read_is_read_under_that_identity(names):
    names.of(domain("a\nb", UUID + "1"))
    spoken = names.of_any(domain("a\tb", UUID + "2"))
    names.retain([])
    assert names.of(domain("a\tb", UUID + "2")) == spoken != Identity("a_b", "")


def test_a_domain_that_is_not_active_takes_no_identity_from_one_that_is(names):
    asleep = names.of_any(domain("a\nb", UUID + "1"))
    assert asleep == names.of(domain("a\tb", UUID + "2")) == Identity("a_b", "")


def test_a_domain_spoken_of_under_another_name_is_that(names):
    names.of(domain("old", UUID + "1"))
    assert names.of_any(domain("new", UUID + "1")).host == "new"
    assert names.of_any(domain("old", UUID + "1")).host == "old"


def test_a_domain_spoken_of_before_its_metadata_is_known_is_read_under_the_metadata():
    names = Names(("metadata",), (), "node1")
    assert names.of_any(domain("vm1")).host == "vm1"
    assert names.of(domain("vm1", metadata="shop")).host == "shop"


def test_a_domain_that_is_gone_is_spoken_of_by_the_metadata_it_had(caplog):
    names = Names(("metadata",), (), "node1")
    names.of(domain("vm1", metadata="shop"))
    names.retain([])
    assert names.of_any(domain("vm1")).host == "shop"
    assert names.of(domain("vm1")).host == "shop"
    assert caplog.records == []


def test_of_domains_that_are_gone_the_latest_are_remembered(names):
    for number in range(FORMER + 10):
        names.of_any(domain(str(number), f"{number:036}"))
    assert len(names._former) == FORMER
    assert next(iter(names._former)) == f"{10:036}"


HOSTILE = st.one_of(
    st.text(st.sampled_from("a.~_0\n\t\x7f"), min_size=1, max_size=4),
    st.text(st.characters(), min_size=1, max_size=300),
    st.sampled_from(["x" * 200, "x" * 200 + "\n", "a_~00000000", "driver", ".."]),
)
UUIDS = st.tuples(st.integers(0, 2), st.integers(0, 5)).map("{0[0]:08x}-0000-4000-8000-{0[1]:012x}".format)
HISTORIES = st.lists(st.dictionaries(UUIDS, HOSTILE, max_size=8), min_size=1, max_size=4)


METADATA = st.none() | st.sampled_from(["", "a", "\n", "x" * 200]) | HOSTILE
FORMATS = [
    (("name",), ()),
    (("hostname",), ("name",)),
    (("uuid", "name"), ("name",)),
    (("metadata",), ()),
    (("hostname", "metadata"), ()),
    (("hostname",), ("metadata",)),
    (("metadata",), ("metadata", "name")),
]


@given(HISTORIES, st.sampled_from(FORMATS), st.lists(METADATA, min_size=8, max_size=8), st.booleans())
def test_through_all_of_a_hosts_history_no_two_domains_share_an_identity(history, formats, metadata, settles):
    names = Names(*formats, "node1")
    for active in history:
        domains = [
            domain(name, uuid, text, number)
            for number, ((uuid, name), text) in enumerate(zip(active.items(), metadata))
        ]
        names.retain(active)
        if settles:
            names.settle(domains[::-1])
        identities = {one.uuid: names.of(one) for one in domains}
        assert len(set(identities.values())) == len(active)
        assert {one.uuid: names.of(one) for one in domains} == identities
        assert all(len(part.encode()) <= LONGEST for identity in identities.values() for part in identity)
        if formats[0] == ("metadata",):
            assert all(identity.host for identity in identities.values())
