"""What memory this process has now, had at most, and what one function takes."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import tracemalloc
from collections.abc import Callable

_PAGE = os.sysconf("SC_PAGE_SIZE")
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""None where the C library is another one than GNU's."""


def now() -> int:
    """Give the bytes of memory that this process has now."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * _PAGE


def most() -> int:
    """Give the bytes of memory that this process has had at most since `forget_most`."""
    with open("/proc/self/status", encoding="ascii") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell VmHWM")


def forget_most() -> None:
    """Begin again to look for the most memory.

    Where the kernel refuses, `most` goes on to tell the most of the whole time. Then only what exceeds that is seen.
    """
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def give_back(thoroughly: bool = False) -> None:
    """Give back what is not used any more, but is kept by the C library for what may come.

    What is kept would hide what is taken next. To give back what Python keeps in circles takes a hundred times as long.
    """
    if thoroughly:
        gc.collect()
    if _trim is not None:
        _trim(0)


def taken_by(function: Callable[[], object]) -> int:
    """Run a function, and give the bytes that it had at most. That takes several times as long."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        function()
        _, peak = tracemalloc.get_traced_memory()
        return peak - before
    finally:
        tracemalloc.stop()
