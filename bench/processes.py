"""What processes have used: CPU to the nanosecond, wake-ups of their threads, and memory."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

Clocks = Mapping[int, int]
"""CPU time that processes have used since they began, in ns by pid."""

_CPU_CLOCK = 2
"""The kernel's CPUCLOCK_SCHED: in the number of a process's clock it asks for what the scheduler has counted."""


class Memory(NamedTuple):
    """A process's memory in KiB."""

    rss: int
    pss: int
    """The same, but what n processes share counts a nth for each."""


class Thread(NamedTuple):
    """What one thread has used since it began."""

    name: str
    """As the kernel has it: at most 15 characters."""
    inner: int
    """Its number as its own pid namespace has it."""
    cpu: int
    """CPU time in ns."""
    sleeps: int
    """How often it has gone to sleep by itself, and so was woken up."""


def cpu(pids: Iterable[int]) -> Clocks:
    """The CPU time of these processes; of all their threads, those that have ended too.

    From the clock that the kernel has for each process. `/proc/PID/stat` counts in hundredths of a second, which is
    more than a QEMU uses, and `/proc/PID/schedstat` is that of the main thread alone.
    """
    found = {}
    for pid in pids:
        try:
            # What clock_getcpuclockid(3) computes, which Python does not have for other processes.
            found[pid] = time.clock_gettime_ns((~pid << 3) | _CPU_CLOCK)
        except OSError:
            # There is no such process any more.
            continue
    return found


def used(before: Clocks, after: Clocks) -> float:
    """Seconds of CPU between two readings; what a process used that has ended in between is lost."""
    return sum(now - before.get(pid, 0) for pid, now in after.items()) / 1e9


def memory(pid: int | str) -> Memory:
    """The memory of a process now."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1)) for name in ("Rss", "Pss"))
    return Memory(rss, pss)


def by_thread(pid: int) -> dict[int, Thread]:
    """What each thread of a process has used, by its number; only of those that there are now."""
    found = {}
    for entry in os.listdir(f"/proc/{pid}/task"):
        folder = Path(f"/proc/{pid}/task/{entry}")
        try:
            status, schedstat = (folder / "status").read_text(), (folder / "schedstat").read_text()
        except (FileNotFoundError, ProcessLookupError):
            # It ended while we looked.
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        found[int(entry)] = Thread(
            fields["Name"],
            int(fields["NSpid"].split()[-1]),
            int(schedstat.split()[0]),
            int(fields["voluntary_ctxt_switches"]),
        )
    return found


def threads(pid: int) -> int:
    """How many threads a process has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def descriptors(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def available() -> int:
    """Bytes of memory that can still be had on this machine."""
    text = Path("/proc/meminfo").read_text()
    return int(re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M).group(1)) * 1024
