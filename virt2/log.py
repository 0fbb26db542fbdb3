"""Forwarding Python's logging to collectd's log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

LONGEST = 1000
"""Bytes of a message: collectd cuts at 1023, in the middle of a character where it happens to be one."""


class Handler(logging.Handler):
    """Gives each record to the function of its level.

    Domain names and metadata reach messages: control characters are escaped, so that nobody forges a line.

    Arguments:
        outputs: per level the function that takes a line; a record takes that of the highest level not above its own.
    """

    def __init__(self, outputs: Mapping[int, Callable[[str], None]]) -> None:
        super().__init__()
        self._outputs = sorted(outputs.items(), reverse=True)
        self.setFormatter(logging.Formatter("virt2: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Put one record out."""
        output = next((output for level, output in self._outputs if record.levelno >= level), None)
        if output is not None:
            for line in printable(self.format(record)):
                output(line)


def printable(text: str) -> list[str]:
    """A message as lines that a log takes: a traceback keeps its lines, everything else is escaped and cut."""
    lines = text.split("\n") if "\nTraceback " in text else [text]
    return [_fit("".join(char if char.isprintable() else _escaped(char) for char in line)) for line in lines if line]


def _fit(line: str) -> str:
    encoded = line.encode(errors="backslashreplace")
    return line if len(encoded) <= LONGEST else encoded[:LONGEST].decode(errors="ignore") + "…"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()
