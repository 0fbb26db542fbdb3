"""What the command finds wrong, as a record."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from virt2.config.reading import Line

ERROR = "error"
"""virt2 or collectd does not work, or not as it is configured."""
WARNING = "warning"
"""Something will go wrong, or is lost, because of this."""
NOTE = "note"
"""Worth knowing. Nothing has to be done now."""

FINE, WRONG, FAILED = 0, 1, 2
"""The exit statuses of the command: all is well; something is wrong; it could not be done."""


class Finding(NamedTuple):
    """One thing that an operator should know."""

    severity: str
    """`ERROR`, `WARNING` or `NOTE`."""
    what: str
    """What is wrong, in one sentence without its full stop."""
    todo: str
    """What to do, in a sentence or two."""
    at: Line | None = None
    """Where it stands; None where it stands in no file."""
    incomplete: bool = False
    """Whether a part of what was asked for could not be found out because of it."""


def status_of(findings: Iterable[Finding]) -> int:
    """Give the exit status that findings lead to. Notes alone are fine."""
    found = list(findings)
    if any(finding.incomplete for finding in found):
        return FAILED
    return WRONG if any(finding.severity != NOTE for finding in found) else FINE
