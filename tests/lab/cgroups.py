"""A cgroup tree of a lab's own.

libvirtd names a guest's cgroup after its number and name, so two labs, or a lab and a live host, would share
`machine/qemu-1-web`. Each lab therefore makes one cgroup of its own in every hierarchy it can write to, and shows
that to its processes as the root of the hierarchy. What a dead lab leaves behind is then below one known name.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from . import syscalls

PREFIX = "virt2-lab-"
"""Followed by the pid of the lab's first process, as seen from outside."""


class Hierarchy(NamedTuple):
    """One mounted cgroup hierarchy."""

    mount_point: Path
    version: int


def hierarchies() -> list[Hierarchy]:
    """The cgroup hierarchies mounted here: one for version 2, one per controller for version 1, or none."""
    found = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        name = kind.split()[0]
        if name in ("cgroup", "cgroup2"):
            path = Path(mount.split()[4])
            found[path] = Hierarchy(path, 2 if name == "cgroup2" else 1)
    return list(found.values())


def enter(lab: int) -> None:
    """Give the calling process a tree of its own in all hierarchies; it needs its own mount namespace.

    Where one cannot be had (a read-only mount, a container without delegation) all are taken away: libvirtd runs well
    without cgroups, but not with some it may see and not use.
    """
    mounted = hierarchies()
    try:
        for hierarchy in mounted:
            _join(hierarchy, hierarchy.mount_point / f"{PREFIX}{lab}")
    except OSError as error:
        print(f"no cgroups in this lab: {error}", flush=True)
        for hierarchy in mounted:
            # Not covered, unmounted: libvirtd goes by /proc/mounts, not by what it finds there.
            syscalls.unmount(hierarchy.mount_point)
        return
    if not mounted:
        return
    # From here /proc/PID/cgroup, too, names paths below the lab's tree: libvirtd finds its guests after a restart.
    syscalls.unshare(syscalls.CLONE_NEWCGROUP)
    for hierarchy in mounted:
        own = hierarchy.mount_point / f"{PREFIX}{lab}"
        if hierarchy.version == 2:
            # Version 2 gives no controllers to the children of a cgroup that has processes itself.
            (own / "init").mkdir()
            (own / "init/cgroup.procs").write_text("0")
        syscalls.mount(own, hierarchy.mount_point, flags=syscalls.MS_BIND)


def _join(hierarchy: Hierarchy, own: Path) -> None:
    claim(own)
    for name in ("cpuset.cpus", "cpuset.mems"):
        # Version 1 refuses processes in a cpuset that has not been given processors and memory.
        if hierarchy.version == 1 and (own / name).exists():
            (own / name).write_text((hierarchy.mount_point / name).read_text())
    (own / "cgroup.procs").write_text("0")


def claim(own: Path) -> None:
    """Make a lab's tree in one hierarchy, and lock it: that shows that the lab lives to whoever cannot see it.

    The lock lasts as long as the calling process.

    Raises:
        FileExistsError: another lab has it, or had it and was not swept.
    """
    while True:
        own.mkdir()
        try:
            # Never closed.
            folder = os.open(own, os.O_RDONLY)
        except FileNotFoundError:
            continue
        fcntl.flock(folder, fcntl.LOCK_SH)
        # Somebody's sweep may have come before the lock. It holds a lock of its own until everything is removed.
        if own.exists() and os.path.samestat(own.stat(), os.fstat(folder)):
            return
        os.close(folder)


def sweep() -> None:
    """Remove what labs that are dead have left behind; called from outside."""
    for hierarchy in hierarchies():
        for tree in hierarchy.mount_point.glob(f"{PREFIX}*"):
            if not Path("/proc", tree.name[len(PREFIX) :]).exists():
                with _locked(tree) as is_ours:
                    if is_ours:
                        _remove(tree)


@contextlib.contextmanager
def _locked(tree: Path) -> Iterator[bool]:
    """Keep labs from the tree. It is refused where a live lab has it, also one of another pid namespace."""
    try:
        folder = os.open(tree, os.O_RDONLY)
    except FileNotFoundError:
        yield False
        return
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(folder)


def _remove(tree: Path) -> None:
    for folder, _, _ in os.walk(tree, topdown=False):
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            # Another lab's sweep was here first.
            continue
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            # It has processes still, which are about to end.
            return
