"""Reads man pages back, as far as packaging/roff.py writes them."""

from __future__ import annotations

import re
from typing import NamedTuple

_WRITTEN = {"rs": "\\", "aq": "'", "ga": "`", "ha": "^", "ti": "~", "dq": '"', "bu": "•"}
_ESCAPE = re.compile(r"\\(?:\((..)|\[u([0-9A-F]{4,6})\]|(f[BIR]|[&%])|(-))")
MACROS = {"TH", "SH", "SS", "PP", "TP", "RS", "RE", "EX", "EE", "BR"}


class Entry(NamedTuple):
    """A term and what is said of it."""

    section: str
    term: str
    text: str
    depth: int


def plain(line: str) -> str:
    """What a line shows. An escape that `packaging/roff.py` does not write is an error."""
    end, parts = 0, []
    for match in _ESCAPE.finditer(line):
        parts.append(line[end : match.start()])
        parts.append(
            _WRITTEN[match[1]] if match[1] else chr(int(match[2], 16)) if match[2] else "-" if match[4] else ""
        )
        end = match.end()
    rest = [*parts, line[end:]]
    assert not any("\\" in part for part in rest[::2]), line
    return "".join(rest)


def macro(line: str) -> str:
    """The macro that a line calls; empty where it is text."""
    return line[1:].split(" ")[0] if line[:1] in (".", "'") else ""


def entries(page: str) -> list[Entry]:
    """Every term of a page with its section, without the quotes of code, which are bold there."""
    found, section, depth = [], "", 0
    lines = iter(page.splitlines())
    for line in lines:
        name = macro(line)
        if name == "SH":
            section = plain(line[4:])
        depth += (name == "RS") - (name == "RE")
        if name == "TP":
            found.append(Entry(section, plain(next(lines)), plain(next(lines)), depth))
    return found
