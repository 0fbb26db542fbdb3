"""Whose status socket is believed: of root, of the user who asks, and for root of who alone can have made it."""

from __future__ import annotations

import os
import stat

import pytest

from virt2.cli.trust import distrust

COLLECTD, OTHER, ROOT = 998, 1000, 0
SAFE = {"/": (ROOT, 0o755), "/run": (ROOT, 0o755), "/run/collectd": (COLLECTD, 0o755)}
SOCKET = "/run/collectd/virt2.sock"


def looking(folders):
    def look(path):
        owner, mode = folders[path]
        kind = 0 if stat.S_IFMT(mode) else stat.S_IFDIR
        return os.stat_result((kind | mode, 1, 1, 1, owner, owner, 0, 0, 0, 0))

    return look


def asked(owner=COLLECTD, user=ROOT, **changes):
    folders = {**SAFE, **{path.replace("_", "/"): found for path, found in changes.items()}}
    return distrust(SOCKET, owner, user, looking(folders))


@pytest.mark.parametrize(("owner", "user"), [(ROOT, ROOT), (ROOT, OTHER), (OTHER, OTHER)])
def test_roots_own_socket_and_ones_own_are_believed(owner, user):
    assert distrust("/tmp/anywhere", owner, user, looking({})) is None


def test_root_believes_the_user_that_collectd_runs_as_where_nobody_else_can_have_made_the_socket():
    assert asked() is None


def test_nobody_but_root_believes_somebody_else():
    assert asked(user=OTHER) == "belongs to neither root nor this user, but to user 998, and is not trusted"


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777, 0o777])
@pytest.mark.parametrize("folder", ["/run", "/run/collectd", "/"])
def test_a_folder_that_others_may_write_to_is_no_place_to_believe(folder, mode):
    told = asked(**{folder.replace("/", "_"): (SAFE[folder][0], mode)})
    assert f"others than that user may write to {folder}, so it is not trusted" in told


def test_a_folder_of_a_third_one_is_no_place_to_believe():
    assert asked(_run_collectd=(OTHER, 0o755)) == (
        "belongs to user 998, but /run/collectd to user 1000, so it is not trusted"
    )


def test_a_link_of_a_third_one_on_the_way_is_seen(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    seen = []

    def look(path):
        seen.append(path)
        return os.stat_result((stat.S_IFDIR | 0o755, 1, 1, 1, ROOT, ROOT, 0, 0, 0, 0))

    assert distrust(str(tmp_path / "link" / "virt2.sock"), COLLECTD, ROOT, look) is None
    assert {"/", str(tmp_path / "link"), str(tmp_path / "real")} <= set(seen)
