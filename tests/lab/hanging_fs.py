"""A FUSE file system that passes everything through to a folder, and makes it wait at a gate, or fail.

Run inside a lab as `python -m tests.lab.hanging_fs BACKING MOUNT_POINT GATE`. Each operation first takes a shared
lock on the gate file for a moment: while somebody else holds an exclusive one, all wait. The number of an error in the
gate file is what reads and writes fail with.
"""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any

try:
    # The name that Debian gives to the package that has the other name everywhere else.
    import fusepy as fuse
except ModuleNotFoundError:
    import fuse


class HangingFs(fuse.Operations):  # type: ignore[misc]  # fusepy has no types
    """The operations a disk image needs."""

    def __init__(self, backing: str, gate: str) -> None:
        self._backing = backing
        self._gate = gate

    def __call__(self, operation: str, *args: Any) -> Any:
        """What fusepy calls for each request, on a thread of its own."""
        # Each wait needs its own descriptor: locks taken through a shared one would be one lock.
        if operation not in ("init", "destroy"):
            with open(self._gate) as gate:
                fcntl.flock(gate, fcntl.LOCK_SH)
                failure = gate.read()
            if failure and operation in ("read", "write"):
                raise fuse.FuseOSError(int(failure))
        return super().__call__(operation, *args)

    def _path(self, path: str) -> str:
        return self._backing + path

    def access(self, path: str, amode: int) -> int:
        return 0

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._path(path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._path(path), uid, gid)
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        return os.open(self._path(path), os.O_RDWR | os.O_CREAT, mode)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        os.fsync(fh)
        return 0

    def getattr(self, path: str, fh: int | None = None) -> dict[str, float]:
        found = os.lstat(self._path(path))
        # With its blocks: libvirtd looks at an image that seems to take no space itself, and holds the domain's lock.
        names = ("st_atime", "st_blocks", "st_ctime", "st_gid", "st_mode", "st_mtime", "st_nlink", "st_size", "st_uid")
        return {name: getattr(found, name) for name in names}

    def open(self, path: str, flags: int) -> int:
        # O_DIRECT is between QEMU and us; a buffer of ours need not be aligned for the folder's own file system.
        return os.open(self._path(path), flags & ~os.O_DIRECT)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(fh, size, offset)

    def readdir(self, path: str, fh: int) -> list[str]:
        return [".", "..", *os.listdir(self._path(path))]

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._path(path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_ffree", "f_files", "f_frsize", "f_namemax")
        return {name: getattr(found, name) for name in names}

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        os.truncate(self._path(path), length)
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._path(path))
        return 0

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        return os.pwrite(fh, data, offset)


def main() -> None:
    """Mount and serve until killed."""
    backing, mount_point, gate = sys.argv[1:]
    operations = HangingFs(backing, gate)
    options = {"allow_other": True, "direct_io": True, "attr_timeout": 0, "entry_timeout": 0}
    fuse.FUSE(operations, mount_point, foreground=True, **options)


if __name__ == "__main__":
    main()
