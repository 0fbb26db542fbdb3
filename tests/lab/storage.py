"""Storage that hangs or fails on command."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from .guests import Images
from .process import Process
from .waiting import wait_for

if TYPE_CHECKING:
    from .machine import Lab

MOUNT_TIMEOUT = 10.0
"""Seconds for the file system's process to start and mount; takes a quarter of one when the machine is idle."""


class HangingStorage:
    """A file system mounted inside a lab; every operation on it waits while it hangs.

    Whoever holds an exclusive lock on its gate file makes it hang, so it heals with the end of the process that does.
    """

    def __init__(self, lab: Lab, name: str) -> None:
        folder = lab.work_dir / "storage" / name
        backing = folder / "backing"
        backing.mkdir(parents=True)
        self.name = name
        self.path = folder / "mounted"
        """The mount point; nothing is mounted there outside the lab."""
        self.path.mkdir()
        self.images = Images(backing, self.path)
        self._gate: IO[str] = open(folder / "gate", "w")  # noqa: SIM115 - held until close()
        self._hanging = False
        argv = [sys.executable, "-m", "tests.lab.hanging_fs", str(backing), str(self.path), self._gate.name]
        self._process: Process = lab.popen(argv, log=folder / "log")
        mounted = lab.inside(self.path)
        wait_for(lambda: self._mounted(mounted, folder / "log"), MOUNT_TIMEOUT, f"{name} mounted")

    def __repr__(self) -> str:
        return f"<HangingStorage {self.name} {'hanging' if self._hanging else 'well'}>"

    def hang(self) -> None:
        """From now on every operation waits."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        self._hanging = True

    def fail(self, number: int) -> None:
        """From now on every read and write fails with this error, such as `errno.EIO`."""
        self._write(str(number))

    def heal(self) -> None:
        """Let everything that waits go on, and all succeed; does nothing on storage that is well."""
        self._write("")
        fcntl.flock(self._gate, fcntl.LOCK_UN)
        self._hanging = False

    def _write(self, text: str) -> None:
        self._gate.seek(0)
        self._gate.truncate()
        self._gate.write(text)
        self._gate.flush()

    def close(self) -> None:
        """Give up the gate, which heals it."""
        self._gate.close()

    def _mounted(self, mounted: Path, log: Path) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"the file system ended: {log.read_text()}")
        return os.stat(mounted).st_dev != os.stat(mounted.parent).st_dev
