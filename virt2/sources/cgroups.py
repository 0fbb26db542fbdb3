"""The CPU time of a domain in user and in kernel mode, from its control group.

libvirt gives each domain of QEMU's a control group, and takes virDomainGetCPUStats from there: it counts what the
kernel's own threads do for a domain as well, and so differs from what /proc tells of the process. The process tells
which group that is, because its main thread is in a group below it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from virt2.model.replies import CpuTimes

PROC = "/proc"
EMULATOR = "emulator"
"""What libvirt calls the group of the main thread, below the domain's own group."""
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_MICROSECOND = 1000


class _File(NamedTuple):
    """The file of a hierarchy that tells CPU time, and its format."""

    name: str
    user: bytes
    system: bytes
    unit: int
    """Nanoseconds"""


_OF_VERSION_1 = _File("cpuacct.stat", b"user", b"system", _TICK)
_OF_VERSION_2 = _File("cpu.stat", b"user_usec", b"system_usec", _MICROSECOND)


class Group(NamedTuple):
    """The file that tells the CPU time of one domain."""

    path: str
    format: _File

    def read(self) -> CpuTimes | None:
        """Read the CPU time; None where the group is gone."""
        try:
            with open(self.path, "rb") as file:
                said = dict(line.split()[:2] for line in file if line.strip())
            user, system = int(said[self.format.user]), int(said[self.format.system])
        except (OSError, KeyError, ValueError):
            return None
        return CpuTimes(user * self.format.unit, system * self.format.unit)


def group_of(pid: int, proc: str = PROC) -> Group | None:
    """Find the control group of a domain by its QEMU; None where libvirt has made none, or it cannot be seen."""
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
        mounts = _mounts(proc)
    except OSError:
        return None
    # As in libvirt: a hierarchy of version 1 that counts CPU time goes before version 2.
    found = {}
    for line in lines:
        if len(line) == 3:
            number, controllers, where = line
            if "cpuacct" in controllers.split(","):
                found["cpuacct"] = where
            elif number == "0" and not controllers:
                found[""] = where
    for name, format in (("cpuacct", _OF_VERSION_1), ("", _OF_VERSION_2)):
        path, mount = found.get(name), mounts.get(name)
        if path is not None and mount is not None and os.path.basename(path) == EMULATOR:
            group = Group(f"{mount}{os.path.dirname(path)}/{format.name}", format)
            if os.access(group.path, os.R_OK):
                return group
    return None


def _mounts(proc: str) -> dict[str, str]:
    """Find where hierarchies are mounted: that of ``cpuacct`` by this name, and that of version 2 by an empty one.

    Only those count that are mounted whole, as seen from here, because others have other paths. What was mounted last
    hides what was there before. Raises OSError.
    """
    found = {}
    with open(f"{proc}/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields, _, kind = line.partition(" - ")
            where, what = fields.split(), kind.split()
            if len(where) < 5 or len(what) < 3 or where[3] != "/":
                continue
            if what[0] == "cgroup2":
                found[""] = where[4]
            elif what[0] == "cgroup" and "cpuacct" in what[2].split(","):
                found["cpuacct"] = where[4]
    return found
