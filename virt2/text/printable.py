"""Texts of users and guests made printable for log lines and messages."""

from __future__ import annotations

LONGEST = 1000
"""Bytes of a message: collectd cuts at 1023, in the middle of a character where it happens to be one."""


def printable(text: str, longest: int = LONGEST) -> str:
    """A text as one line that a log takes: escaped, and cut to `longest` bytes."""
    return _fit("".join(char if char.isprintable() else _escaped(char) for char in text), longest)


def _fit(line: str, longest: int) -> str:
    encoded = line.encode(errors="backslashreplace")
    return line if len(encoded) <= longest else encoded[:longest].decode(errors="ignore") + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def quoted(text: str, longest: int = 60) -> str:
    """Quote the start of a text of unknown origin on one line."""
    return repr(text[:longest]) + ("..." if len(text) > longest else "")
