"""Makes texts of users and guests printable in log lines and messages."""

from __future__ import annotations

LONGEST = 1000
"""Most bytes of a message. collectd cuts after 1023 bytes, even in the middle of a character."""


def printable(text: str, longest: int = LONGEST) -> str:
    """Make one line of a text: control characters are escaped, and the line is cut after `longest` bytes."""
    # No character becomes less than a byte. What is behind these is cut off anyway, and a guest may send megabytes.
    start = text[: longest + 1]
    return _fit("".join(char if char.isprintable() else _escaped(char) for char in start), longest)


def _fit(line: str, longest: int) -> str:
    encoded = line.encode(errors="backslashreplace")
    return line if len(encoded) <= longest else encoded[:longest].decode(errors="ignore") + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def encodable(text: str) -> str:
    """Escape what UTF-8 cannot encode, such as half of a surrogate pair; nearly every text is returned as it is."""
    return text.encode(errors="backslashreplace").decode()


def quoted(text: str, longest: int = 60) -> str:
    """Quote the start of a text of unknown origin on one line; `longest` is in characters."""
    return repr(text[:longest]) + ("..." if len(text) > longest else "")
