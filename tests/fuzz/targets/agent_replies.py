"""Replies of guests' agents, in which root in the guest chooses everything."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below
from tests.fuzz.target import Plain, Target, require
from tests.fuzz.targets.statistics import check_metrics
from virt2.agents import guestinfo
from virt2.agents.guestinfo import Guest, News, Series, from_fs_info, from_guest_info
from virt2.text.printable import printable

INFO = {
    "user.count": 2, "user.0.name": "root", "user.0.login-time": 1500000000500, "user.1.name": "ann",
    "os.id": "debian", "os.pretty-name": "Debian 12", "os.machine": "x86_64", "os.kernel-release": "6.1.0",
    "timezone.name": "CET", "timezone.offset": 3600, "hostname": "inside", "fs.count": 3, "fs.0.name": "vdb",
    "fs.0.mountpoint": "/var/log", "fs.0.fstype": "xfs", "fs.0.total-bytes": 4000, "fs.0.used-bytes": 1000,
    "fs.0.disk.count": 0, "fs.1.name": "vda1", "fs.1.mountpoint": "/", "fs.1.fstype": "ext4",
    "fs.1.total-bytes": 1000, "fs.1.used-bytes": 250, "fs.1.disk.count": 1, "fs.1.disk.0.alias": "vda",
    "fs.2.name": "C:", "fs.2.mountpoint": "C:\\", "fs.2.fstype": "NTFS", "fs.2.total-bytes": 0, "fs.2.used-bytes": 0,
    "fs.2.disk.count": 1, "fs.2.disk.0.alias": "sda", "load.1m": 0.5, "load.5m": 0.25, "load.15m": 0.125,
}  # fmt: skip
LISTED = [
    ("/", "vda1", "ext4", ["vda"]),
    ("/var/log", "vdb", "xfs", []),
    ("C:\\", "\\\\?\\Volume{4c1b02c4-d990-11dc-99ae-806e6f6e6963}\\", "NTFS", ["sda", "sdb"]),
    ("System Reserved", "x", "NTFS", None),
]
TOKENS = (
    *INFO, "fs.", ".mountpoint", ".disk.", ".alias", "used-bytes", "count", "/a-b", "/a/b", "\\a\\b", "root",
    "used-root", "/root", "~", "/" * 300, "vda", "d" * 1025,
)  # fmt: skip


class AgentReplies(Target):
    """An input is a number of replies of one guest, one after the other: dictionaries (guestInfo) or lists (fsInfo)."""

    name = "agent_replies"
    share = 16
    what = "replies of guests' agents (guestInfo, fsInfo), several of one guest in a row"

    def corpus(self) -> Sequence[Plain]:
        many = {"fs.count": 40, **{f"fs.{at}.mountpoint": f"/mnt/{at}" for at in range(40)}}
        return [(INFO,), (INFO, {**INFO, "fs.1.fstype": "xfs"}), (LISTED,), (INFO, LISTED), (many, INFO), ({},), ([],)]

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts(TOKENS), (*TOKENS, LISTED[0]), strange=0.2)

    def fresh(self) -> st.SearchStrategy[Plain]:
        value = st.sampled_from(hostile.VALUES) | st.text(max_size=30) | st.integers() | st.floats()
        key = st.sampled_from(tuple(INFO)) | st.text(max_size=20)
        line = st.tuples(value, value, value, st.none() | st.lists(value, max_size=4))
        reply = st.dictionaries(key, value, max_size=12) | st.lists(line, max_size=6)
        return st.lists(reply, max_size=3).map(tuple)

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        if not base:
            return other
        if random.random() < 0.1:
            return (*base, *other)[:6]
        at = below(random, len(base))
        theirs = other[below(random, len(other))] if other else base[at]
        return (*base[:at], mutator.change(random, base[at], theirs), *base[at + 1 :])

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        if not base:
            return base
        at = below(random, len(base))
        return (*base[:at], mutator.inflate(random, base[at], size), *base[at + 1 :])

    def run(self, data: Plain) -> None:
        series = Series()
        news, now, reported = News(series), 0.0, set[str]()
        for reply in data:
            guest = from_guest_info(reply) if isinstance(reply, dict) else from_fs_info(reply)
            self._check(guest)
            metrics = series.metrics(guest)
            check_metrics(metrics)
            reported |= {metric.type_instance for metric in metrics if metric.type == "df_complex"}
            for told in news.of(guest, now):
                printable(told.mount_point, guestinfo.LONGEST_PATH)
            now += guestinfo.NEWS_APART
        require(len(reported) <= 2 * guestinfo.MOST_FILE_SYSTEMS, "a guest has too many series")

    def _check(self, guest: Guest) -> None:
        paths = [one.mount_point for one in guest.file_systems]
        require(len(set(paths)) == len(paths) and paths == sorted(paths), "mount points come twice, or in no order")
        for one in guest.file_systems:
            require(0 < len(one.mount_point) <= guestinfo.LONGEST_PATH, "the length of a mount point is not bounded")
            require(len(one.disks) <= guestinfo.MOST_DISKS, "the number of disks is not bounded")
            for text in (one.name, one.kind, *one.disks):
                self._check_text(text)
            require((one.total is None) == (one.used is None), "of total and used one is known alone")
            if one.total is not None and one.used is not None:
                require(0 <= one.used <= one.total <= 2**63, "sizes make no sense")
        for text in guest.texts.values():
            self._check_text(text)
        require(guest.users is None or 0 <= guest.users <= guestinfo.MOST_USERS, "users make no sense")
        require(guest.load is None or all(map(math.isfinite, guest.load)), "load makes no sense")

    def _check_text(self, text: str) -> None:
        # Where it is cut, a sign says so, which has three bytes.
        require(len(text.encode()) <= guestinfo.LONGEST_TEXT + 3, "the length of a text is not bounded")
        require(text.isprintable(), "a text is not one printable line")
