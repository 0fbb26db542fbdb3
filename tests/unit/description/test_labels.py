"""What disks and interfaces are called, which of them are reported, and that no two are called the same."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.model.domain import Description, Disk, Nic
from virt2.text.identifiers import LONGEST, written
from virt2.text.patterns import Match

IMAGE = Disk("vda", "/srv/nfs/web.img", "nfs:/vm")
NETWORK = Disk("vdb", "vms/web", "rbd://m1/vms")
EMPTY = Disk("sda", "", "")
DISKS = (IMAGE, NETWORK, EMPTY)
NICS = (Nic("vnet7", "52:54:00:00:00:01", True, 1), Nic("vnet3", "52:54:00:00:00:02", True, 3))


def labels(disks="", nics="", ignore=False, **options):
    """Labels with filters of the words of these texts."""
    lists = ([Match(word) for word in words.split()] for words in (disks, nics))
    return Labels(Filters((), *lists, ignore), **options)


def disk_labels(described, disks=DISKS, domain="web"):
    """The labels of the disks that are reported, by target."""
    found = described.apply(domain, Description(disks=disks)).disks
    assert [disk.target for disk in found] == [disk.target for disk in disks]
    assert all(disk.reported == bool(disk.label) for disk in found)
    return {disk.target: disk.label for disk in found if disk.reported}


def nic_labels(described, nics=NICS, domain="web"):
    return {nic.target: nic.label for nic in described.apply(domain, Description(nics=nics)).nics}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("vda", "vdb", "sda")),
        ({"disk_format": "source"}, ("/srv/nfs/web.img", "vms/web", "sda")),
        ({"disk_format": "source", "basename": True}, ("web.img", "web", "sda")),
        ({"basename": True}, ("vda", "vdb", "sda")),
    ],
)
def test_what_disks_are_called(options, expected):
    assert tuple(disk_labels(labels(**options)).values()) == expected


@pytest.mark.parametrize("source", ["/srv/vm/", "//", "/"])
def test_a_folder_may_be_a_source_too(source):
    label = disk_labels(labels(disk_format="source", basename=True), (Disk("vda", source, ""),))["vda"]
    assert label == ("vm" if "vm" in source else source)


@pytest.mark.parametrize(
    ("nic_format", "expected"),
    [
        ("name", ("vnet7", "vnet3")),
        ("address", ("52:54:00:00:00:01", "52:54:00:00:00:02")),
        ("number", ("interface-1", "interface-3")),
    ],
)
def test_what_interfaces_are_called(nic_format, expected):
    assert tuple(nic_labels(labels(nic_format=nic_format)).values()) == expected


# What is reported


@pytest.mark.parametrize(
    ("entries", "options", "expected"),
    [
        ("web:vda", {}, {"vda"}),
        ("web:vda db:vdb", {}, {"vda"}),
        ("db:vda", {}, set()),
        ("/:vd/", {}, {"vda", "vdb"}),
        ("web:/srv/nfs/web.img", {"disk_format": "source"}, {"vda"}),
        ("web:/srv/nfs/web.img", {"disk_format": "source", "basename": True}, {"vda"}),
        ("web:web.img", {"disk_format": "source", "basename": True}, set()),
        ("web:vda", {"disk_format": "source"}, set()),
        ("web:vms/web", {"disk_format": "source"}, {"vdb"}),
        ("web:sda", {"disk_format": "source"}, {"sda"}),
    ],
)
def test_filters_see_a_disk_as_the_format_has_it_with_its_whole_path(entries, options, expected):
    assert set(disk_labels(labels(entries, **options))) == expected
    assert set(disk_labels(labels(entries, ignore=True, **options))) == {"vda", "vdb", "sda"} - expected


@pytest.mark.parametrize(
    ("entries", "nic_format", "expected"),
    [
        ("web:vnet7", "name", {"vnet7"}),
        ("web:1", "number", {"vnet7"}),
        ("web:interface-1", "number", set()),
        ("web:2", "number", set()),
        ("web:3", "number", {"vnet3"}),
        ("web:52:54:00:00:00:02", "address", {"vnet3"}),
        ("web:vnet7", "address", set()),
    ],
)
def test_filters_see_an_interface_as_the_format_has_it_and_its_bare_number(entries, nic_format, expected):
    assert set(nic_labels(labels(nics=entries, nic_format=nic_format))) == expected
    assert set(nic_labels(labels(nics=entries, ignore=True, nic_format=nic_format))) == {"vnet7", "vnet3"} - expected


def test_a_number_above_a_thousand_is_compared_whole():
    nics = (Nic("a", "m", number=1234), Nic("b", "n", number=123))
    assert nic_labels(labels(nics="web:123", nic_format="number"), nics) == {"b": "interface-123"}


def test_disks_or_interfaces_may_not_be_reported_at_all():
    assert disk_labels(labels(report_disks=False)) == {}
    assert nic_labels(labels(report_nics=False)) == {}
    assert set(disk_labels(labels(report_nics=False))) == {"vda", "vdb", "sda"}


def test_a_filter_of_what_is_not_reported_at_all_is_not_complained_of():
    filters = Filters((), [Match("x")], [Match("y")])
    Labels(filters, report_disks=False, report_nics=False).apply("web", Description(disks=DISKS, nics=NICS))
    assert filters.complaints() == []


def test_disks_that_are_not_reported_still_tell_where_the_domain_lies():
    described = labels(report_disks=False).apply("web", Description("tag", DISKS, NICS, ("problem",)))
    assert described.storage == ("nfs:/vm", "rbd://m1/vms")
    assert (described.tag, described.problems) == ("tag", ("problem",))


# No two the same


def sources(*names):
    return tuple(Disk(f"vd{letter}", name, "") for letter, name in zip("abcdefgh", names))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("/a/x", "/b/x"), ["x", "x~vdb"]),
        (("/a/x", "/b/x", "/c/x"), ["x", "x~vdb", "x~vdc"]),
        (("/a/x", "/b/x", "/c/x~vdb"), ["x", "x~vdb", "x~vdb~vdc"]),
        (("/a/x~vdc", "/b/x", "/c/x"), ["x~vdc", "x", "x~6808955d"]),
    ],
)
def test_the_first_keeps_a_name_that_several_would_have(names, expected):
    assert list(disk_labels(labels(disk_format="source", basename=True), sources(*names)).values()) == expected


def test_whatever_the_order_in_the_xml_the_same_one_keeps_it():
    disks = (Disk("vdaa", "/c/x", ""), Disk("vdb", "/b/x", ""), Disk("vda", "/a/x", ""))
    found = disk_labels(labels(disk_format="source", basename=True), disks)
    assert found == {"vda": "x", "vdb": "x~vdb", "vdaa": "x~vdaa"}


def test_a_disk_that_is_added_changes_no_label_of_those_before_it():
    chosen = labels(disk_format="source", basename=True)
    before = disk_labels(chosen, sources("/a/x", "/b/x"))
    assert disk_labels(chosen, sources("/a/x", "/b/x", "/c/x")).items() > before.items()


def test_one_that_is_not_reported_takes_no_name():
    found = disk_labels(labels("web:/b/x", disk_format="source", basename=True), sources("/a/x", "/b/x"))
    assert found == {"vdb": "x"}


def test_names_that_collectd_writes_alike_are_kept_apart():
    found = disk_labels(labels(disk_format="source"), sources("/img/a_b", "/img/a/b", "img_a_b"))
    assert found == {"vda": "/img/a_b", "vdb": "/img/a/b~vdb", "vdc": "img_a_b~vdc"}


def test_names_that_are_written_alike_behind_another_word_are_kept_apart():
    # Alone "/a" becomes "a", but the flushes of both are "flush-_a".
    found = disk_labels(labels(disk_format="source"), sources("/a", "_a"))
    assert found == {"vda": "/a", "vdb": "_a~vdb"}


@pytest.mark.parametrize("names", [("/i/base", "/i/base-layer_1"), ("/i/base-layer_1", "/i/base")])
def test_no_disk_is_called_like_an_image_of_another_one(names):
    found = disk_labels(labels(disk_format="source", basename=True), sources(*names))
    first, second = (name[3:] for name in names)
    assert found == {"vda": first, "vdb": f"{second}~vdb"}


def test_disks_that_are_called_like_images_of_none_keep_their_names():
    found = disk_labels(labels(disk_format="source", basename=True), sources("/i/base-layer_1", "/i/base-layer_2"))
    assert list(found.values()) == ["base-layer_1", "base-layer_2"]


@pytest.mark.parametrize("target", ["\U0001f600" * 31 + "\u20ac", "\U0001f600" * 31, "\U0001f600" * 8 + "a"])
def test_a_long_target_makes_no_label_too_long(target):
    disks = (Disk("vda", "x" * 200, ""), Disk(target, "x" * 200, ""))
    found = disk_labels(labels(disk_format="source"), disks)
    assert len(set(found.values())) == 2
    assert max(len(label.encode()) for label in found.values()) <= LONGEST


def test_one_without_a_name_takes_no_name_from_the_others():
    # domainxml leaves such an interface out, but none may keep us here for ever.
    assert nic_labels(labels(nic_format="address"), (Nic("a", ""), Nic("b", "m"), Nic("c", ""))) == {
        "a": "",
        "b": "m",
        "c": "~c",
    }


def test_many_of_one_target_have_one_label_in_little_time():
    disks = tuple(Disk("vda", f"/srv/{number % 2}.img", "") for number in range(3000))
    began = time.process_time()
    assert disk_labels(labels(disk_format="source", basename=True), disks) == {"vda": "0.img"}
    assert time.process_time() - began < 1.0


def test_interfaces_of_the_same_address_are_kept_apart():
    nics = (Nic("vnet1", "52:54:00:00:00:01"), Nic("vnet0", "52:54:00:00:00:01"))
    found = nic_labels(labels(nic_format="address"), nics)
    assert found == {"vnet0": "52:54:00:00:00:01", "vnet1": "52:54:00:00:00:01~vnet1"}


NAMES = st.one_of(
    st.text(st.sampled_from("/._~ab\n"), max_size=4),
    st.sampled_from(["x" * 200, "/x" + "y" * 200, "x" * 127, "x" * 123 + "~vdb", "/", "root", ".."]),
)


@given(
    st.lists(st.tuples(st.text(st.sampled_from("vda/\n\t"), min_size=1, max_size=4), NAMES), unique_by=lambda d: d[0]),
    st.booleans(),
    st.sampled_from(["target", "source"]),
)
def test_whatever_they_are_called_no_two_are_written_the_same_and_all_are_fit(names, basename, disk_format):
    disks = tuple(Disk(target, source, "") for target, source in names)
    found = disk_labels(labels(disk_format=disk_format, basename=basename), disks)
    assert len(found) == len(disks)
    assert len({written(label) for label in found.values()}) == len(disks)
    assert len({written(f"flush-{label}") for label in found.values()}) == len(disks)
    assert all(0 < len(label.encode()) <= LONGEST and label.isprintable() for label in found.values())
    assert disk_labels(labels(disk_format=disk_format, basename=basename), disks[::-1]).items() == found.items()
