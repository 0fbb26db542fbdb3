"""Identities: fit for collectd and its writers, stable, and never shared by two domains."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.model.domain import Description, Domain
from virt2.output import naming
from virt2.output.naming import FORMER, Identity, Names
from virt2.text.identifiers import LONGEST, presentable, whole, written

UUID = "00000000-0000-4000-8000-00000000000"
OFF = -1
"""libvirt's number for the run of a domain that is not active."""


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


def test_one_that_takes_the_place_of_another_is_spoken_of_and_read_under_its_name(names):
    names.of(domain("web", UUID + "1"))
    assert names.of_any(domain("web", UUID + "2", id=2)) == Identity("web", "")
    names.retain([UUID + "2"])
    assert names.of(domain("web", UUID + "2", id=2)) == Identity("web", "")


def test_of_two_of_one_name_that_are_both_there_the_later_one_is_marked_once_it_is_read(names):
    # As the driver for ESX has them.
    names.of(domain("web", UUID + "1"))
    names.of_any(domain("web", UUID + "2", id=2))
    names.settle([domain("web", UUID + "1"), domain("web", UUID + "2", id=2)])
    assert names.of(domain("web", UUID + "1")) == Identity("web", "")
    assert names.of(domain("web", UUID + "2", id=2)) == Identity("web~00000000", "")


def test_a_domain_that_is_not_active_takes_no_identity_from_one_that_is(names):
    asleep = names.of_any(domain("a\nb", UUID + "1", id=OFF))
    assert asleep == names.of(domain("a\tb", UUID + "2")) == Identity("a_b", "")
    assert names.of_any(domain("a\nb", UUID + "1", id=OFF)) == Identity("a_b~00000000", "")


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


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        pytest.param("shop/db", "shop_db", id="slash"),
        pytest.param("/shop//db/", "shop__db_", id="slashes at both ends"),
        pytest.param("/", "root", id="a slash alone"),
        pytest.param("/..", "__", id="the folder above, once collectd has dropped the slash"),
        pytest.param("/.", "_", id="this folder"),
        pytest.param("/" + "x" * LONGEST, "x" * LONGEST, id="fits without its slash"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_host_holds_what_collectd_would_make_of_it(name, expected):
    assert whole(name) == expected
    assert written(whole(name)) == whole(name)


class TestWhatCollectdWrites:
    """Names are compared as collectd writes them."""

    @pytest.mark.parametrize(
        ("host", "instance"),
        [
            (("metadata",), ()),
            (("hostname",), ("metadata",)),
            (("hostname", "metadata"), ()),
            (("hostname",), ("metadata", "metadata")),
            (("metadata",), ("metadata",)),
        ],
    )
    @pytest.mark.parametrize(
        "alike",
        [("shop/db", "shop_db"), ("/shop", "shop"), ("/", "root"), ("/..", "__"), ("x" * 200 + "/", "x" * 200 + "_")],
    )
    def test_two_names_that_differ_in_a_slash_are_two_identities(self, host, instance, alike):
        names = Names(host, instance, "node1")
        found = [names.of(domain("vm", UUID + str(number), text)) for number, text in enumerate(alike)]
        assert len({(written(identity.host), written(identity.plugin_instance)) for identity in found}) == 2

    def test_a_slash_alone_is_nothing_to_say(self, caplog):
        names = Names(("metadata",), (), "node1")
        assert names.of(domain("vm1", UUID + "1", "shop/db")).host == "shop_db"
        assert caplog.records == []
        assert names.of(domain("vm2", UUID + "2", "shop_db")).host == "shop_db~00000000"
        assert len(caplog.records) == 1

    def test_the_hosts_own_name_is_the_same_as_none(self):
        names = Names(("metadata",), ("name",), "no/de1", reserved=["0"])
        assert names.of(domain("0", metadata="no_de1")) == Identity("no_de1~00000000", "0")
        assert names.of(domain("0", UUID + "2", metadata="node1")) == Identity("node1", "0")

    @pytest.mark.parametrize("name", ["libvirtd", "0", "gold"])
    def test_no_domain_is_called_what_virt2_calls_itself(self, name, caplog):
        names = Names(("hostname",), ("name",), "node1", reserved=["libvirtd", "0", "gold"])
        assert names.of(domain(name)) == Identity("", f"{name}~00000000")
        assert names.of_any(domain(name, UUID + "2", id=OFF)).plugin_instance != name
        assert len(caplog.records) == 1

    def test_a_domain_called_as_the_host_keeps_its_name_where_nothing_else_has_it(self):
        names = Names(("name",), (), "node1", reserved=["libvirtd", "0"])
        assert names.of(domain("node1")) == Identity("node1", "")


class TestNotActive:
    """Domains that are not active: their state is reported and told as well."""

    @pytest.fixture
    def names(self) -> Names:
        return Names(("metadata",), (), "node1")

    def test_two_that_are_called_the_same_are_kept_apart(self, names):
        found = [names.of_any(domain(f"vm{n}", UUID + str(n), "shop", OFF)).host for n in range(3)]
        assert found[0] == "shop"
        assert len(set(found)) == 3
        assert [names.of_any(domain(f"vm{n}", UUID + str(n), "shop", OFF)).host for n in range(3)] == found

    def test_of_those_that_are_listed_the_first_uuid_has_the_plain_name(self, names):
        off = [domain(f"vm{number}", UUID + str(number), "shop", OFF) for number in (3, 1, 2)]
        names.settle_idle(off)
        assert [names.of_any(one).host == "shop" for one in off] == [False, True, False]

    def test_one_gives_way_when_an_active_one_wants_its_name(self, names):
        off = domain("vm1", UUID + "1", "shop", OFF)
        assert names.of_any(off).host == "shop"
        assert names.of(domain("vm2", UUID + "2", "shop")).host == "shop"
        assert names.of_any(off).host == "shop~00000000"

    def test_one_that_had_to_bear_a_mark_has_precedence_once_it_runs(self, names):
        names.settle_idle([domain("vm1", UUID + "1", "shop", OFF), domain("vm2", UUID + "2", "shop", OFF)])
        assert names.of(domain("vm2", UUID + "2", "shop")).host == "shop"
        assert names.of_any(domain("vm1", UUID + "1", "shop", OFF)).host == "shop~00000000"

    def test_a_start_that_is_told_before_the_domain_is_read_has_precedence_too(self, names):
        names.of_any(domain("vm1", UUID + "1", "shop", OFF))
        told = names.of_any(domain("vm2", UUID + "2", "shop", id=7))
        assert told.host == "shop"
        assert names.of(domain("vm2", UUID + "2", "shop", id=7)) == told

    def test_one_that_ran_under_a_mark_keeps_it(self, names):
        names.of(domain("vm1", UUID + "1", "shop"))
        marked = names.of(domain("vm2", UUID + "2", "shop"))
        names.retain([])
        assert names.of_any(domain("vm2", UUID + "2", "shop", OFF)) == marked
        assert names.of(domain("vm2", UUID + "2", "shop")) == marked

    def test_however_many_are_listed_each_keeps_its_own(self, names):
        off = [domain("vm", f"{number:036}", "shop", OFF) for number in range(FORMER + 10)]
        for _ in range(2):
            names.settle_idle(off)
            assert len({names.of_any(one) for one in off}) == len(off)
        names.settle_idle([])
        names.of_any(domain("other", UUID, "shop", OFF))
        assert len(names._former) <= FORMER + 11

    def test_of_one_that_is_forgotten_the_name_is_free(self, names):
        for number in range(FORMER + 1):
            names.of_any(domain(f"vm{number}", f"{number:036}", f"shop{number}", OFF))
        assert names.of_any(domain("vm", UUID, "shop0", OFF)).host == "shop0"
        assert len(names._owners) == len(names._former) == FORMER


HOSTILE = st.one_of(
    st.text(st.sampled_from("a.~_0/\n\t\x7f"), min_size=1, max_size=4),
    st.text(st.characters(), min_size=1, max_size=300),
    st.sampled_from(["x" * 200, "x" * 200 + "\n", "x" * 200 + "/", "a_~00000000", "driver", "..", "/..", "/", "root"]),
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


class TestThroughAllOfAHostsHistory:
    """Domains that come, go and are renamed."""

    @pytest.fixture(scope="class")
    @classmethod
    def unsaid(cls) -> Iterator[None]:
        """What is logged here holds all that Unicode forbids, which pytest's processes cannot tell each other."""
        naming.log.disabled = True
        yield
        naming.log.disabled = False

    @given(HISTORIES, st.sampled_from(FORMATS), st.lists(METADATA, min_size=8, max_size=8), st.booleans())
    def test_no_two_domains_share_an_identity(self, unsaid, history, formats, metadata, settles):
        names = Names(*formats, "node1", reserved=["0", "a"])
        everybody: dict[str, Domain] = {}
        for active in history:
            domains = [
                domain(name, uuid, text, number)
                for number, ((uuid, name), text) in enumerate(zip(active.items(), metadata))
            ]
            names.retain(active)
            everybody.update((one.uuid, one) for one in domains)
            idle = [one._replace(id=OFF) for uuid, one in everybody.items() if uuid not in active]
            if settles:
                names.settle(domains[::-1])
                names.settle_idle(idle)
            identities = {one.uuid: names.of(one) for one in domains}
            assert {one.uuid: names.of(one) for one in domains} == identities
            # A domain that is not active may have had to give way; from now on each stays what it is.
            for one in idle:
                identities[one.uuid] = names.of_any(one)
            assert {one.uuid: names.of_any(one) for one in [*domains, *idle]} == identities
            as_written = {(written(host) or "node1", written(instance)) for host, instance in identities.values()}
            assert len(as_written) == len(everybody)
            assert not as_written & {("node1", "0"), ("node1", "a")}
            assert all(len(part.encode()) <= LONGEST for identity in identities.values() for part in identity)
            if formats[0] == ("metadata",):
                assert all(identity.host for identity in identities.values())


def test_identities_that_are_known_can_be_looked_at_and_none_is_given_by_that(names, caplog):
    assert names.known() == {}
    names.settle([domain("web", UUID + "1"), domain("web", UUID + "2", id=2)])
    assert names.known() == {UUID + "1": Identity("web", ""), UUID + "2": Identity("web~00000000", "")}
    assert caplog.records == []
    names.retain([UUID + "2"])
    assert set(names.known()) == {UUID + "2"}


def test_a_changed_identity_is_told_to_who_asks_and_then_not_logged(names, caplog):
    first, second = domain("db", UUID + "1"), domain("db", UUID + "2", id=2)
    names.settle([first, second])
    assert names.changed(first) is None
    assert names.changed(second) == Identity("db~00000000", "")
    assert names.changed(second) == Identity("db~00000000", "")
    assert names.of(second) == Identity("db~00000000", "")
    assert caplog.text == ""
    assert names.changed(domain("shop/db", UUID + "3")) is None
    assert names.changed(domain("x" * 200, UUID + "4")) == Identity(presentable("x" * 200), "")
