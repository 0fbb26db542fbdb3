"""The lab that everything is measured in, and what its processes use."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import processes
from tests.lab import Guest, Lab

GUEST_BYTES = 28 << 20
"""Memory a guest takes: 25 MiB of its own, and what libvirtd and the kernel keep of it."""
BASE_BYTES = 512 << 20
"""Memory for everything else."""
SETTLING = 3.0
"""Seconds after the last guest was started until their firmware is through with booting."""


class NotEnoughMemory(Exception):
    """So many guests do not fit."""


class Use(NamedTuple):
    """CPU used so far, by process."""

    when: float
    libvirtd: processes.Clocks
    qemus: processes.Clocks
    own: processes.Clocks


class Machine:
    """A lab with guests of 2 disks and 2 interfaces each.

    Arguments:
        lab: is up, without guests.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._guests = 0
        self._qemus: list[int] = []
        self._libvirtd = lab.libvirtd_pid

    def grow(self, number: int) -> None:
        """Have so many guests."""
        self.lab.guests(Guest(f"guest-{n}") for n in range(self._guests, number))
        self._guests = number
        self._qemus = [pid for pid in self.lab.pids().values() if _is_guest(pid)]
        time.sleep(SETTLING)

    @property
    def guests(self) -> int:
        """How many guests run."""
        return self._guests

    def use(self, own: int | None = None) -> Use:
        """What libvirtd, the guests and one more process have used."""
        qemus = processes.cpu(self._qemus)
        return Use(
            time.monotonic(), processes.cpu([self._libvirtd]), qemus, processes.cpu([] if own is None else [own])
        )

    def idle(self, seconds: float) -> float:
        """CPU that all guests together use per second while nobody asks them anything."""
        before = self.use()
        time.sleep(seconds)
        after = self.use()
        return processes.used(before.qemus, after.qemus) / (after.when - before.when)

    @contextmanager
    def frozen(self, number: int) -> Iterator[None]:
        """Have so many guests stopped."""
        try:
            self._signal(number, signal.SIGSTOP)
            yield
        finally:
            self._signal(number, signal.SIGCONT)

    def _signal(self, guests: int, number: int) -> None:
        for pid in self._qemus[:guests]:
            os.kill(pid, number)


def require_memory(guests: int) -> None:
    """Raise `NotEnoughMemory` where so many guests do not fit: a machine that swaps measures its disk."""
    needed, there = BASE_BYTES + guests * GUEST_BYTES, processes.available()
    if needed > there:
        raise NotEnoughMemory(
            f"{guests} guests need {needed / 2**30:.1f} GiB of memory, {there / 2**30:.1f} GiB are available:"
            " choose less with --sizes"
        )


def _is_guest(pid: int) -> bool:
    try:
        return b"\0-uuid\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
