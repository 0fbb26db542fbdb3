"""What an agent tells is read with suspicion: it is the guest's word."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.agents.guestinfo import (
    LONGEST_PATH,
    LONGEST_TEXT,
    MOST_DISKS,
    MOST_FILE_SYSTEMS,
    NEWS_APART,
    TEXTS,
    FileSystem,
    Guest,
    News,
    Series,
    from_fs_info,
    from_guest_info,
)
from virt2.metrics.metric import Metric
from virt2.text.identifiers import LONGEST, MARK, digest

LIBVIRT = {
    "user.count": 2,
    "user.0.name": "root",
    "user.0.login-time": 1500000000500,
    "user.1.name": "ann",
    "user.1.login-time": 1600000000000,
    "os.id": "debian",
    "os.pretty-name": "Debian 12",
    "os.machine": "x86_64",
    "os.kernel-release": "6.1.0",
    "timezone.name": "CET",
    "timezone.offset": 3600,
    "hostname": "inside",
    "fs.count": 2,
    "fs.0.name": "vdb",
    "fs.0.mountpoint": "/var/log",
    "fs.0.fstype": "xfs",
    "fs.0.total-bytes": 4000,
    "fs.0.used-bytes": 1000,
    "fs.0.disk.count": 0,
    "fs.1.name": "vda1",
    "fs.1.mountpoint": "/",
    "fs.1.fstype": "ext4",
    "fs.1.total-bytes": 1000,
    "fs.1.used-bytes": 250,
    "fs.1.disk.count": 1,
    "fs.1.disk.0.alias": "vda",
    "load.1m": 0.5,
    "load.5m": 0.25,
    "load.15m": 0.125,
}
"""As libvirt 9.0 tells of the lab's agent, with the load that later ones add."""


def reply(*file_systems: tuple[object, object, object]) -> dict[str, object]:
    """A reply with file systems of these mount points, sizes and uses."""
    made: dict[str, object] = {"fs.count": len(file_systems)}
    for number, (path, total, used) in enumerate(file_systems):
        made[f"fs.{number}.mountpoint"] = path
        made[f"fs.{number}.total-bytes"] = total
        made[f"fs.{number}.used-bytes"] = used
    return made


def series_of(found: list[Metric]) -> set[str]:
    return {metric.type_instance for metric in found}


def test_all_that_libvirt_tells_is_read():
    assert from_guest_info(LIBVIRT) == Guest(
        file_systems=(
            FileSystem("/", "vda1", "ext4", ("vda",), 1000, 250),
            FileSystem("/var/log", "vdb", "xfs", (), 4000, 1000),
        ),
        users=2,
        load=(0.5, 0.25, 0.125),
        texts={
            "guest_hostname": "inside",
            "guest_os": "debian",
            "guest_os_name": "Debian 12",
            "guest_kernel": "6.1.0",
            "guest_machine": "x86_64",
            "guest_timezone": "CET",
            "guest_timezone_offset": "3600",
        },
    )


def test_an_agent_that_tells_nothing_has_no_metrics():
    assert from_guest_info({}) == Guest()
    assert Series().metrics(Guest()) == []


def test_the_metrics_have_stock_types_and_the_names_of_the_df_plugin():
    assert Series().metrics(from_guest_info(LIBVIRT)) == [
        Metric("users", "", (2,)),
        Metric("load", "", (0.5, 0.25, 0.125)),
        Metric("df_complex", "used-root", (250,)),
        Metric("df_complex", "free-root", (750,)),
        Metric("percent_bytes", "used-root", (25.0,)),
        Metric("df_complex", "used-var-log", (1000,)),
        Metric("df_complex", "free-var-log", (3000,)),
        Metric("percent_bytes", "used-var-log", (25.0,)),
    ]


def test_nobody_logged_in_is_a_value():
    assert Series().metrics(from_guest_info({"user.count": 0})) == [Metric("users", "", (0,))]


def test_an_empty_file_system_has_no_percentage():
    found = Series().metrics(from_guest_info(reply(("/proc", 0, 0))))
    assert [metric.type for metric in found] == ["df_complex", "df_complex"]


@pytest.mark.parametrize(
    ("total", "used"), [(-5, 1), (5, -1), (5, 6), (2**64, 1), ("5", "1"), (None, None), (5, None), (1.5, 1.0)]
)
def test_sizes_that_make_no_sense_are_left_out(total, used):
    guest = from_guest_info(reply(("/", total, used)))
    assert [file_system.mount_point for file_system in guest.file_systems] == ["/"]
    assert Series().metrics(guest) == []


@pytest.mark.parametrize("path", ["", None, 7, "x" * (LONGEST_PATH + 1)])
def test_a_mount_point_that_is_none_is_passed_over(path):
    assert (
        from_guest_info(reply((path, 5, 1), ("/", 5, 1))).file_systems
        == from_guest_info(reply(("/", 5, 1))).file_systems
    )


@pytest.mark.parametrize("load", [-1.0, 1e9, math.nan, math.inf, "1", None, 10**400])
def test_a_load_that_makes_no_sense_is_left_out(load):
    assert from_guest_info({"load.1m": load, "load.5m": 1.0, "load.15m": 1.0}).load is None


@pytest.mark.parametrize("users", [-1, 65536, 2**70, "2", 2.0])
def test_a_number_of_users_that_makes_no_sense_is_left_out(users):
    assert from_guest_info({"user.count": users}).users is None


@pytest.mark.parametrize("count", [-1, 10**12, "2", None, 2.5])
def test_a_number_of_file_systems_that_makes_no_sense_is_none(count):
    assert from_guest_info({**LIBVIRT, "fs.count": count}).file_systems == ()


def test_texts_are_one_line_of_bounded_length():
    guest = from_guest_info({"hostname": "a\nb\x1b[0m" + "c" * 5000, "os.id": ["x"], "timezone.name": ""})
    assert guest.texts.keys() == {"guest_hostname"}
    text = guest.texts["guest_hostname"]
    assert text.startswith("a\\nb\\x1b[0m")
    assert len(text.encode()) <= LONGEST_TEXT + 3


def test_disks_below_a_file_system_are_bounded():
    many = {f"fs.0.disk.{number}.alias": f"vd{number}" for number in range(100)}
    guest = from_guest_info({"fs.count": 1, "fs.0.mountpoint": "/", "fs.0.disk.count": 100, **many})
    assert len(guest.file_systems[0].disks) == MOST_DISKS


def test_the_list_of_the_older_call_is_read():
    assert from_fs_info([("/var", "vdb", "xfs", []), ("/", "vda1", "ext4", ["vda", "vdb"])]) == Guest(
        file_systems=(FileSystem("/", "vda1", "ext4", ("vda", "vdb")), FileSystem("/var", "vdb", "xfs", ()))
    )


def test_the_older_call_may_tell_nonsense():
    assert from_fs_info([("", "a", "b", []), (None, None, None, None), ("/", 5, None, "vda")]) == Guest(
        file_systems=(FileSystem("/", "5", "", ()),)
    )


@pytest.mark.parametrize(
    "line", [None, 5, "text", (), ("/", "vda1", "ext4"), ("/", "vda1", "ext4", [], "more")], ids=repr
)
def test_a_line_of_the_older_call_that_is_none_is_left_out(line):
    assert from_fs_info([line, ("/", "vda1", "ext4", [])]) == Guest(file_systems=(FileSystem("/", "vda1", "ext4", ()),))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/", "used-root"),
        ("/var/log", "used-var-log"),
        ("/var/log/", "used-var-log"),
        ("C:\\", "used-C:"),
        ("D:\\data\\x", "used-D:-data-x"),
        ("System Reserved", "used-System Reserved"),
        ("/a\nb", "used-a_b"),
    ],
)
def test_a_mount_point_names_its_series_as_the_df_plugin_does(path, name):
    names = Series().names(path)
    assert names is not None
    assert names.used == name


@pytest.mark.parametrize(
    ("first", "second"), [("/a/b", "/a-b"), ("/", "/root"), ("/a\nb", "/a\tb"), ("/x" * 300, "/x" * 301)]
)
def test_two_mount_points_never_share_a_series(first, second):
    series = Series()
    names = {series.names(first), series.names(second)}
    assert len({name.used for name in names} | {name.free for name in names}) == 4
    assert series.names(first) in names


def test_what_is_reported_of_a_domain_is_bounded_for_as_long_as_it_runs():
    series = Series()
    seen = set()
    for round in range(20):
        seen |= series_of(series.metrics(from_guest_info(reply(*((f"/m{round}-{n}", 5, 1) for n in range(20))))))
    assert len(seen) == 2 * MOST_FILE_SYSTEMS
    assert series.full


def test_the_first_mount_points_go_on_when_there_are_too_many():
    series = Series()
    series.metrics(from_guest_info(reply(("/", 5, 1))))
    found = series.metrics(from_guest_info(reply(*((f"/m{n:03}", 5, 1) for n in range(300)), ("/", 5, 1))))
    assert "used-root" in series_of(found)


def test_of_too_many_the_same_are_reported_in_whatever_order_they_come():
    one, other = Series(), Series()
    many = [(f"/m{n:03}", 5, 1) for n in range(100)]
    assert series_of(one.metrics(from_guest_info(reply(*many)))) == series_of(
        other.metrics(from_guest_info(reply(*reversed(many))))
    )


class TestNews:
    """Notifications on file systems."""

    def test_each_file_system_is_told_of_once(self):
        news, guest = News(Series()), from_guest_info(LIBVIRT)
        assert [told.mount_point for told in news.of(guest, 0.0)] == ["/", "/var/log"]
        assert news.of(guest, NEWS_APART * 2) == []

    def test_one_that_fills_up_is_no_news(self):
        news = News(Series())
        news.of(from_guest_info(reply(("/", 5, 1))), 0.0)
        assert news.of(from_guest_info(reply(("/", 6, 2))), NEWS_APART) == []

    def test_one_that_is_another_now_is_told_again_but_not_all_the_time(self):
        news = News(Series())
        news.of(from_fs_info([("/", "vda1", "ext4", [])]), 0.0)
        changed = from_fs_info([("/", "vda1", "xfs", [])])
        assert news.of(changed, NEWS_APART - 1) == []
        assert [told.kind for told in news.of(changed, NEWS_APART)] == ["xfs"]

    def test_a_guest_that_invents_them_is_heard_for_a_while(self):
        news = News(Series())
        told = [news.of(from_fs_info([(f"/m{n}", "a", "b", [])]), float(n)) for n in range(1000)]
        assert sum(map(len, told)) == MOST_FILE_SYSTEMS


ANYTHING = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(), st.lists(st.integers(), max_size=2)
)
KEYS = st.one_of(
    st.sampled_from(["fs.count", "user.count", "load.1m", "load.5m", "load.15m", *TEXTS]),
    st.builds(
        "fs.{}.{}".format,
        st.integers(0, 3),
        st.sampled_from(["mountpoint", "name", "fstype", "total-bytes", "used-bytes", "disk.count", "disk.0.alias"]),
    ),
)


@given(st.dictionaries(KEYS, ANYTHING), st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING, ANYTHING)))
def test_whatever_is_told_becomes_metrics_that_collectd_takes(told, listed):
    series = Series()
    for guest in (from_guest_info(told), from_fs_info(listed)):
        for metric in series.metrics(guest):
            assert len(metric.type_instance.encode()) <= LONGEST
            assert all(math.isfinite(value) and 0 <= value <= 2**63 for value in metric.values)
        for text in guest.texts.values():
            assert text.isprintable()
        News(series).of(guest, 0.0)


def test_a_guest_cannot_choose_mount_points_that_share_a_series():
    series = Series()
    first = series.names("/x")
    forged = series.names("/x~" + digest("\\x")[:MARK])
    assert len({first, forged, series.names("\\x")}) == 3
