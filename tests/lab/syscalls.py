"""The few system calls of the lab that the standard library of our oldest Python does not offer."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 2
CLONE_NEWCGROUP = 0x02000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


def mount(source: str | Path, target: str | Path, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2)."""
    arguments = [os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()]
    _check(_libc.mount(*arguments), f"mount {source} on {target}")


def unmount(target: str | Path) -> None:
    """umount2(2), even of what is in use."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH), f"unmount {target}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")
