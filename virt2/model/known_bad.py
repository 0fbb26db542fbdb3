"""Versions that are known to be bad: what happens with them, where it was corrected, and what to do.

Distributions correct old versions without a new number, so nobody can tell from a number alone that a fault is there.
Each entry names where it is described. NEWS is that of libvirt, by the version that corrects it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

DAEMON = "libvirtd"
"""The daemon at the other end: libvirtd, virtqemud and so on, by the version that it tells."""
CLIENT = "libvirt's client library"
"""The C library that collectd's process loads."""
BINDING = "libvirt-python"
"""The Python binding of that."""

Version = tuple[int, int, int]

EVER: Version = (0, 0, 0)


class KnownBad(NamedTuple):
    """One fault."""

    what: str
    """`DAEMON`, `CLIENT` or `BINDING`."""
    first: Version
    """The first version that has it; `EVER` where that is not known, or does not matter because it is so old."""
    fixed: Version
    """The first version that does not have it any more."""
    harms: bool
    """Whether virt2, as it is configured, brings it about or suffers from it. Where it does not, it is only good to
    know."""
    reason: str
    """What happens, in one sentence without its full stop."""
    todo: str
    """What to do where the version cannot be replaced, in a sentence; empty where there is nothing."""
    source: str
    """Where it is described."""
    needs: frozenset[str] = frozenset()
    """Selectors of ExtraStats, or `BULK_DISKS`, of which one has to be on; empty where it does not depend on any."""


BULK_DISKS = "DiskStats bulk"
"""Stands among the selectors where ``DiskStats "bulk"`` is set."""

TABLE: tuple[KnownBad, ...] = (
    KnownBad(
        BINDING,
        EVER,
        (3, 8, 0),
        True,
        "its calls for disk errors, and for memory where there are no bulk statistics, keep all other Python code"
        " waiting. So one stuck domain stops all of collectd's Python plugins",
        "Remove disk_err, memory and balloon from ExtraStats.",
        "libvirt-python 3.8.0, commit 7af7450",
        frozenset({"disk_err", "memory", "balloon"}),
    ),
    KnownBad(
        DAEMON,
        (3, 0, 0),
        (3, 1, 0),
        True,
        "bulk statistics of disks crash libvirtd where a guest has an empty CD-ROM drive (CVE-2017-2635)",
        'Leave DiskStats at "each", and remove disk_layers and disk_threshold from ExtraStats.',
        "LSN-2017-0001",
        frozenset({"disk_layers", "disk_threshold", BULK_DISKS}),
    ),
    KnownBad(
        DAEMON,
        (4, 10, 0),
        (6, 1, 0),
        True,
        "each question for I/O threads leaks memory of libvirtd (CVE-2020-12430)",
        "Remove iothread from ExtraStats.",
        "CVE-2020-12430",
        frozenset({"iothread"}),
    ),
    KnownBad(
        DAEMON,
        (7, 2, 0),
        (7, 9, 0),
        True,
        "with a QEMU older than 5.2, a question for the dirty rate makes all bulk statistics of that domain fail",
        "Remove dirty_rate from ExtraStats.",
        "NEWS 7.9.0",
        frozenset({"dirty_rate"}),
    ),
    KnownBad(
        DAEMON,
        EVER,
        (4, 1, 0),
        True,
        "statistics of virtual CPUs wake those that are halted, which costs CPU time on the host with every read",
        "Remove the selectors that begin with vcpu_ and halt_polling from ExtraStats.",
        "NEWS 4.1.0",
        frozenset({"vcpu_delay", "vcpu_halted", "vcpu_stats", "vcpu_wait", "halt_polling"}),
    ),
    KnownBad(
        DAEMON,
        (11, 0, 0),
        (11, 5, 0),
        False,
        "it waits for a domain's monitor when it is asked for the domain's XML, so a domain that is stuck when virt2"
        " first sees it is reported without its disks until it answers",
        "Let virt2 run as root: then it reads the XML from libvirt's own files.",
        "NEWS 11.5.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (10, 8, 0),
        False,
        "a question to a domain's monitor may crash libvirtd while a backup of that domain is under way",
        "Make backups through libvirt only with a corrected version.",
        "NEWS 10.8.0",
    ),
    KnownBad(
        CLIENT,
        EVER,
        (10, 4, 0),
        False,
        "a race in its event loop may crash a program that uses one connection from several threads (CVE-2024-4418)."
        " virt2 does so only with the selectors that ask guests' agents",
        "",
        "NEWS 10.4.0",
        frozenset({"guest_info", "fs_info"}),
    ),
    KnownBad(
        DAEMON,
        EVER,
        (6, 2, 0),
        False,
        "a single QEMU whose monitor misbehaves may stop the monitors of all domains",
        "",
        "NEWS 6.2.0",
    ),
    KnownBad(
        DAEMON,
        (6, 1, 0),
        (6, 7, 0),
        False,
        "a race in its event loop may crash it",
        "",
        "NEWS 6.7.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (6, 0, 0),
        True,
        "a guest whose agent does not answer blocks other calls for that domain without limit (CVE-2019-20485)",
        "Remove guest_info and fs_info from ExtraStats.",
        "LSN-2019-0009",
        frozenset({"guest_info", "fs_info"}),
    ),
    KnownBad(
        DAEMON,
        EVER,
        (3, 8, 0),
        True,
        "the list of domains hangs while any domain is being saved, and virt2 works with its last list until then",
        "",
        "NEWS 3.8.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (3, 9, 0),
        True,
        "it reports what some kinds of interfaces received as sent, and the other way round",
        "",
        "NEWS 3.9.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (8, 10, 0),
        False,
        "a new connection hangs while all of its workers are taken, so virt2 needs longer to come back after a restart",
        "Raise max_workers in its configuration.",
        "NEWS 8.10.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (7, 9, 0),
        False,
        "it uses a whole CPU once it has no file descriptor left",
        "Give its service a higher LimitNOFILE on hosts with many domains.",
        "NEWS 7.9.0",
    ),
    KnownBad(
        DAEMON,
        (3, 2, 0),
        (3, 3, 0),
        False,
        "a migration that copies two or more disks never ends, and the domain stays paused on both hosts",
        "",
        "libvirt's list, April 2017",
    ),
    KnownBad(
        DAEMON,
        (6, 4, 0),
        (6, 5, 0),
        False,
        "every blockCommit crashes it",
        "",
        "NEWS 6.5.0",
    ),
    KnownBad(
        DAEMON,
        (8, 8, 0),
        (8, 9, 0),
        False,
        "it crashes if it is restarted while a domain migrates away",
        "",
        "NEWS 8.9.0",
    ),
    KnownBad(
        DAEMON,
        (9, 0, 0),
        (9, 1, 0),
        False,
        "some jobs on disks never end, and the disk cannot be detached afterwards",
        "",
        "NEWS 9.1.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (10, 5, 0),
        False,
        "it may crash if a guest shuts down while it migrates",
        "",
        "NEWS 10.5.0",
    ),
    KnownBad(
        DAEMON,
        (11, 2, 0),
        (11, 4, 0),
        False,
        "it may crash when a post-copy migration is resumed",
        "",
        "NEWS 11.4.0",
    ),
    KnownBad(
        DAEMON,
        EVER,
        (10, 7, 0),
        False,
        "other local users can crash it over its read-only socket, with calls that virt2 does not make (CVE-2024-1441,"
        " CVE-2024-2494, CVE-2024-8235, CVE-2023-3750)",
        "Allow the read-only socket to a group only: SocketMode of libvirtd-ro.socket where systemd makes it, as on"
        " Debian, or unix_sock_ro_perms in its configuration.",
        "NEWS 9.6.0, 10.1.0, 10.2.0 and 10.7.0",
    ),
)
"""Every fault that is known here, those first that virt2 itself has to do with."""


def known_bad(versions: Mapping[str, Version], uses: Collection[str]) -> Iterator[KnownBad]:
    """Give the faults of some versions.

    Args:
        versions: the version of each thing, by `DAEMON` and so on; what is not known is left out.
        uses: the selectors of ExtraStats that are on, and `BULK_DISKS` where that is.
    """
    for entry in TABLE:
        version = versions.get(entry.what)
        is_bad = version is not None and entry.first <= version < entry.fixed
        if is_bad and (not entry.needs or entry.needs & set(uses)):
            yield entry


def parse_version(text: str) -> Version | None:
    """Read the numbers of a version such as ``9.0.0``; None where it is none. What is missing at the end is 0."""
    numbers = text.strip().split("-")[0].split(".")
    if not all(number.isascii() and number.isdigit() and len(number) < 7 for number in numbers):
        return None
    first, second, third = (*map(int, numbers[:3]), 0, 0)[:3]
    return first, second, third


def spelled(version: Version) -> str:
    """Spell a version out."""
    return ".".join(map(str, version))
