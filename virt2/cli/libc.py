"""Two functions of the C library with which collectd finds its files, because Python's own differ in details."""

from __future__ import annotations

import ctypes
import os

_NO_COMMANDS = 4
"""WRDE_NOCMD: nothing in the text is run."""
_REASONS = {
    1: "there is not enough memory",
    2: "one of | & ; < > ( ) { } or a newline is not quoted",
    4: "commands in it are not run",
    5: "a quote or a parenthesis is not closed",
}


class _Words(ctypes.Structure):
    _fields_ = (("count", ctypes.c_size_t), ("words", ctypes.POINTER(ctypes.c_char_p)), ("offset", ctypes.c_size_t))


def expand(text: str | bytes) -> list[bytes]:
    """Expand a text as a shell does: wildcards, ``~``, variables and quotes, into words that are parted by blanks.

    A word whose wildcards match no file stays as it is. No command is run.

    Raises:
        ValueError: it cannot be expanded; the message says why.
    """
    words = _Words()
    library = ctypes.CDLL(None)
    status = library.wordexp(os.fsencode(text), ctypes.byref(words), _NO_COMMANDS)
    if status != 0:
        raise ValueError(_REASONS.get(status, f"wordexp gives {status}"))
    try:
        return [word for word in (words.words[number] for number in range(words.count)) if word is not None]
    finally:
        library.wordfree(ctypes.byref(words))


def matches(pattern: str | bytes, name: bytes) -> bool:
    """Tell whether a file name matches a shell pattern."""
    return bool(ctypes.CDLL(None).fnmatch(os.fsencode(pattern), name, 0) == 0)
