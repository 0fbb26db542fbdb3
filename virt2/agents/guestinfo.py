"""What a guest says of itself through its agent. Pure.

Root in the guest chooses every name, number and length in it. So everything is checked and bounded here. What makes no
sense is left out. The series of a domain are limited in number for as long as it runs, and not just in one reply,
because a guest may invent new mount points every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from virt2.metrics.metric import Metric
from virt2.text.identifiers import MARK, digest, presentable
from virt2.text.printable import printable

GUEST_INFO = "guest_info"
"""Selector of what the agent tells, as metrics."""
FS_INFO = "fs_info"
"""Selector of notifications on file systems, as the C plugin's."""
AGENT_SELECTORS = (GUEST_INFO, FS_INFO)
FILE_SYSTEM = "file_system"
"""The type of these notifications. It is not in collectd's own types.db."""

MOST_FILE_SYSTEMS = 32
"""Mount points of one domain that are reported, for as long as it runs: the first ones seen."""
MOST_DISKS = 16
"""Disks below one file system that are named."""
LONGEST_PATH = 1024
"""Characters in a mount point; a file system with a longer one is passed over."""
LONGEST_TEXT = 200
"""Bytes of any other text; longer ones are cut."""
MOST_USERS = 65535
"""What collectd's type `users` goes to."""
MOST_LOAD = 5000.0
"""What collectd's type `load` goes to."""
NEWS_APART = 3600.0
"""Seconds at least between two notifications of one mount point: a guest may change its mind all the time."""

TEXTS = {
    "hostname": "guest_hostname",
    "os.id": "guest_os",
    "os.version-id": "guest_os_version",
    "os.pretty-name": "guest_os_name",
    "os.kernel-release": "guest_kernel",
    "os.machine": "guest_machine",
    "timezone.name": "guest_timezone",
    "timezone.offset": "guest_timezone_offset",
}
"""What is a text and no number: libvirt's name (virDomainGetGuestInfo), and that of the meta data it becomes."""

_MOST_ENTRIES = 2048
"""Entries of a reply that are looked at: as many parameters as libvirt lets through."""
_LONGEST_MARKED = 100
"""Characters that are kept of a label before a mark is added to it."""


class FileSystem(NamedTuple):
    """One file system of a guest."""

    mount_point: str
    name: str
    """What the guest calls its device."""
    kind: str
    """``ext4``, ``NTFS``, ..."""
    disks: tuple[str, ...]
    """Those it lies on, by libvirt's target (``vda``)."""
    total: int | None = None
    """Bytes for users; None where the agent does not tell, or tells nonsense."""
    used: int | None = None


class Guest(NamedTuple):
    """What an agent told."""

    file_systems: tuple[FileSystem, ...] = ()
    """One for each mount point, sorted by it."""
    users: int | None = None
    """Logged in."""
    load: tuple[float, float, float] | None = None
    """Over 1, 5 and 15 minutes."""
    texts: Mapping[str, str] = {}
    """By the names of `TEXTS`; empty ones left out."""


def from_guest_info(reply: Mapping[str, Any]) -> Guest:
    """Read virDomainGetGuestInfo's parameters; those that are not there or make no sense are left out."""
    texts = {name: _text(reply.get(key)) for key, name in TEXTS.items()}
    loads = [reply.get(f"load.{minutes}m") for minutes in (1, 5, 15)]
    return Guest(
        file_systems=_distinct(
            _file_system(reply, f"fs.{number}") for number in range(_count(reply.get("fs.count"), _MOST_ENTRIES) or 0)
        ),
        users=_count(reply.get("user.count"), MOST_USERS),
        load=(loads[0], loads[1], loads[2]) if all(map(_is_load, loads)) else None,  # type: ignore[arg-type]
        texts={name: text for name, text in texts.items() if text},
    )


def from_fs_info(reply: Iterable[Sequence[Any]]) -> Guest:
    """Read virDomainGetFSInfo's list: mount point, name, type, targets of the disks. Other lines are left out."""
    found = []
    for line in reply:
        if not isinstance(line, (list, tuple)) or len(line) != 4:
            continue
        mount_point, name, kind, disks = line
        if _is_path(mount_point):
            found.append(FileSystem(mount_point, _text(name), _text(kind), _disks(disks)))
    return Guest(file_systems=_distinct(found))


class Names(NamedTuple):
    """The type instances of one file system."""

    used: str
    free: str


class Series:
    """The mount points of one domain that are reported, and what they are called in type instances.

    Attributes:
        full: whether one was refused because there were too many.
    """

    def __init__(self) -> None:
        self.full = False
        self._names: dict[str, Names] = {}
        self._taken: set[str] = set()

    def names(self, mount_point: str) -> Names | None:
        """The type instances for a mount point, which they name as collectd's plugin ``df`` does.

        ``used-root`` for ``/``, ``used-var-log`` for ``/var/log``. Two that would be called the same are kept apart by
        a mark on the later one. None where there were too many before.
        """
        known = self._names.get(mount_point)
        if known is not None:
            return known
        if len(self._names) >= MOST_FILE_SYSTEMS:
            self.full = True
            return None
        label = presentable(mount_point.replace("\\", "/").strip("/").replace("/", "-") or "root")
        plain, attempts = label[:_LONGEST_MARKED], 0
        while label in self._taken:
            # More than once, since the guest may have chosen another mount point that is called just that.
            label = f"{plain}~{digest(mount_point + attempts * '/')[:MARK]}"
            attempts += 1
        self._taken.add(label)
        names = self._names[mount_point] = Names(presentable(f"used-{label}"), presentable(f"free-{label}"))
        return names

    def metrics(self, guest: Guest) -> list[Metric]:
        """What is drawn of a guest."""
        found = []
        if guest.users is not None:
            found.append(Metric("users", "", (guest.users,)))
        if guest.load is not None:
            found.append(Metric("load", "", guest.load))
        for file_system in guest.file_systems:
            total, used = file_system.total, file_system.used
            names = self.names(file_system.mount_point)
            if names is None or total is None or used is None:
                continue
            found.append(Metric("df_complex", names.used, (used,)))
            found.append(Metric("df_complex", names.free, (total - used,)))
            if total:
                found.append(Metric("percent_bytes", names.used, (100 * used / total,)))
        return found


class News:
    """Which of a domain's file systems are worth a notification: new ones, and those that are not what they were."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._told: dict[str, tuple[FileSystem, float]] = {}

    def of(self, guest: Guest, now: float) -> list[FileSystem]:
        """Those to be told of now."""
        found = []
        for file_system in guest.file_systems:
            identity = file_system._replace(total=None, used=None)
            before, when = self._told.get(file_system.mount_point, (None, 0.0))
            if before == identity or (before is not None and now - when < NEWS_APART):
                continue
            if self._series.names(file_system.mount_point):
                self._told[file_system.mount_point] = identity, now
                found.append(identity)
        return found


def _file_system(reply: Mapping[str, Any], prefix: str) -> FileSystem | None:
    mount_point = reply.get(f"{prefix}.mountpoint")
    if not _is_path(mount_point):
        return None
    disks = [
        reply.get(f"{prefix}.disk.{number}.alias")
        for number in range(min(_count(reply.get(f"{prefix}.disk.count"), _MOST_ENTRIES) or 0, MOST_DISKS))
    ]
    total = _count(reply.get(f"{prefix}.total-bytes"), 2**63)
    used = _count(reply.get(f"{prefix}.used-bytes"), 2**63)
    if total is None or used is None or used > total:
        total = used = None
    name, kind = _text(reply.get(f"{prefix}.name")), _text(reply.get(f"{prefix}.fstype"))
    return FileSystem(mount_point, name, kind, _disks(disks), total, used)  # type: ignore[arg-type]


def _distinct(found: Iterable[FileSystem | None]) -> tuple[FileSystem, ...]:
    """One for each mount point, in an order of ours, so that which of too many are reported depends on no reply."""
    by_path: dict[str, FileSystem] = {}
    for file_system in found:
        if file_system is not None:
            by_path.setdefault(file_system.mount_point, file_system)
    return tuple(by_path[path] for path in sorted(by_path))


def _disks(aliases: object) -> tuple[str, ...]:
    if not isinstance(aliases, (list, tuple)):
        return ()
    return tuple(filter(None, map(_text, aliases[:MOST_DISKS])))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_PATH


def _is_load(value: object) -> bool:
    return isinstance(value, (int, float)) and 0 <= value <= MOST_LOAD


def _count(value: object, most: int) -> int | None:
    """A whole number from 0 to `most`, or None."""
    return value if isinstance(value, int) and 0 <= value <= most else None


def _text(value: object) -> str:
    """A text or a number as one line of bounded length; empty for anything else."""
    return printable(str(value), LONGEST_TEXT) if isinstance(value, (str, int)) else ""
