"""Which domains and devices are reported: collectd's ignorelist, and what is said of lists that match nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.description.filters import Filters
from virt2.text.patterns import Match

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
OTHER = "00000000-0000-4000-8000-000000000001"


def filters(domains="", disks="", nics="", ignore=False):
    """Filters of the words of these texts."""
    return Filters(*([Match(word) for word in words.split()] for words in (domains, disks, nics)), ignore)


def test_without_entries_everything_is_reported():
    for ignore in (False, True):
        none = filters(ignore=ignore)
        assert none.domain("web", UUID)
        assert none.disk("web", "vda")
        assert none.nic("web", "vnet0")
        assert none.complaints() == []


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(
    ("entries", "name", "matches"),
    [
        ("web", "web", True),
        ("web", "web-1", False),
        ("web", "Web", False),
        ("db web", "web", True),
        ("/^web/", "web-1", True),
        ("/web/", "my-web-1", True),
        ("/^web/", "my-web", False),
        ("/^[[:lower:]]+$/", "web", True),
        ("//", "//", True),
        ("//", "web", False),
        ("/", "/", True),
        ("12", "12", True),
        (UUID, "web", True),
        (UUID.upper(), "web", True),
        (OTHER, "web", False),
        (UUID[:8], "web", False),
        (f"/{UUID}/", "web", False),
        ("/^4dea/", "web", False),
        ("web:vda", "web", False),
    ],
)
def test_a_domain_is_reported_by_its_name_or_uuid(entries, name, matches, ignore):
    assert filters(entries, ignore=ignore).domain(name, UUID) is (matches != ignore)


def test_a_domain_may_be_called_by_the_uuid_of_another():
    assert filters(OTHER).domain(OTHER, UUID)


@pytest.mark.parametrize("ignore", [False, True])
@pytest.mark.parametrize(
    ("entries", "device", "matches"),
    [
        ("web:vda", "vda", True),
        ("web:vdb", "vda", False),
        ("vda", "vda", False),
        ("web:/img/a", "/img/a", True),
        ("/:vda$/", "vda", True),
        ("/^web:/", "vda", True),
        ("/^vda/", "vda", False),
        ("web:1", "1", True),
        (UUID, "vda", False),
    ],
)
@pytest.mark.parametrize("kind", ["disk", "nic"])
def test_a_device_is_reported_by_domain_and_device(kind, entries, device, matches, ignore):
    lists = {"disks": entries} if kind == "disk" else {"nics": entries}
    assert getattr(filters(**lists, ignore=ignore), kind)("web", device) is (matches != ignore)


def test_the_lists_know_nothing_of_each_other():
    some = filters(disks="web:vda")
    assert some.domain("db", OTHER)
    assert some.nic("web", "vda")
    assert not some.disk("db", "vda")


NAMES = st.sampled_from(["web", "web-1", "db", "/", "//", "", "a:b"])


@given(st.lists(NAMES.filter(bool)), NAMES, st.booleans())
def test_exact_entries_are_a_set(entries, name, ignore):
    chosen = Filters([Match(entry) for entry in entries], ignore=ignore)
    assert chosen.domain(name, UUID) is (not entries or (name in entries) != ignore)


# Lists that match nothing


def test_a_list_that_matches_nothing_is_said_once():
    chosen = filters("web-9")
    assert chosen.complaints() == []
    chosen.domain("web", UUID)
    chosen.domain("db", OTHER)
    assert chosen.complaints() == [
        "Domain 'web-9' matches no domain of this host: no domain is reported. Entries are compared with 'web';"
        " case counts, and only an entry between slashes is a pattern"
    ]
    chosen.domain("web", UUID)
    assert chosen.complaints() == []


def test_each_list_is_said_on_its_own_and_what_that_means():
    chosen = filters("web-9", "web:vdz", "web:vnet9", ignore=True)
    assert chosen.domain("web", UUID)
    assert len(chosen.complaints()) == 1
    chosen.disk("web", "vda")
    chosen.nic("web", "vnet0")
    disks, nics = chosen.complaints()
    assert disks.startswith("BlockDevice 'web:vdz' matches no disk of this host: no disk is left out.")
    assert "compared with 'web:vda';" in disks
    assert nics.startswith("InterfaceDevice 'web:vnet9' matches no interface of this host: no interface is left out.")


@pytest.mark.parametrize(
    ("lists", "said"),
    [
        ({"domains": "name"}, "Domain 'name' matches no domain"),
        ({"disks": "name:device"}, "BlockDevice 'name:device' matches no disk"),
        ({"nics": "name:device"}, "InterfaceDevice 'name:device' matches no interface"),
    ],
)
def test_the_entries_of_the_sample_configuration_are_recognised(lists, said):
    chosen = filters(**lists)
    chosen.domain("web", UUID)
    chosen.disk("web", "vda")
    chosen.nic("web", "vnet0")
    (complaint,) = chosen.complaints()
    assert complaint.startswith(said)
    assert complaint.endswith("in the sample configuration stands for an entry of your own")


def test_a_list_that_has_matched_once_is_never_complained_of():
    chosen = filters("web db")
    chosen.domain("web", UUID)
    assert chosen.complaints() == []
    chosen.domain("mail", OTHER)
    assert chosen.complaints() == []


def test_a_uuid_that_matches_is_a_match():
    chosen = filters(UUID)
    chosen.domain("web", UUID)
    assert chosen.complaints() == []


def test_a_complaint_fits_into_a_line():
    chosen = Filters([Match("x" * 500 + str(number)) for number in range(9)])
    chosen.domain("y" * 500 + "\n", UUID)
    (complaint,) = chosen.complaints()
    assert len(complaint) < 600
    assert " ... matches" in complaint
    assert complaint.isprintable()
