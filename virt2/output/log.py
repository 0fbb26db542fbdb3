"""Forwards Python's logging to collectd's log."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping

from virt2.text.printable import printable


class Handler(logging.Handler):
    """Gives each record to the function of its level.

    Messages contain domain names and metadata. So control characters are escaped, and nobody can forge a line.

    Arguments:
        outputs: for each level the function that takes a line. A record goes to the function of the highest level that
            is not above its own.
    """

    def __init__(self, outputs: Mapping[int, Callable[[str], None]]) -> None:
        super().__init__()
        self._outputs = sorted(outputs.items(), reverse=True)

    def handle(self, record: logging.LogRecord) -> bool:
        """Put one record out without the lock that other handlers hold.

        If collectd never takes one thread's line, all other threads must still be able to log. collectd takes lines of
        several threads at a time.
        """
        passed = bool(self.filter(record))
        if passed:
            self.emit(record)
        return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Put one record out."""
        output = next((output for level, output in self._outputs if record.levelno >= level), None)
        if output is not None:
            output(printable(f"virt2: {record.getMessage()}"))
            # Each line of a traceback begins with our name, because the text of an exception may contain line ends.
            for line in _traceback(record):
                output(printable(f"virt2: {line}"))


def _traceback(record: logging.LogRecord) -> list[str]:
    if record.exc_info is None or record.exc_info[0] is None:
        return []
    return "".join(traceback.format_exception(*record.exc_info)).splitlines()
