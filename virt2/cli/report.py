"""Prints what was found: for people, or as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from virt2.cli.findings import ERROR, NOTE, WARNING, Finding
from virt2.text.printable import printable
from virt2.version import VERSION

LONGEST = 8000
"""Most bytes of one sentence."""
NARROWEST = 40
"""Fewest columns that text is wrapped to."""
_RANK = {ERROR: 0, WARNING: 1, NOTE: 2}


class Report(NamedTuple):
    """What a check found, and what it is about."""

    findings: tuple[Finding, ...]
    files: tuple[str, ...]
    """The files that were read."""
    about: str
    """What was looked at on this host, in a sentence."""
    status: int
    """The exit status."""


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Put the worst first, and say nothing twice."""
    return tuple(sorted(dict.fromkeys(findings), key=lambda finding: _RANK[finding.severity]))


def text(report: Report, width: int | None) -> Iterator[str]:
    """Give the lines for people.

    Args:
        width: the columns of the terminal; None where lines are not to be wrapped.
    """
    for finding in report.findings:
        yield from lines(finding, width)
    yield from wrapped(summary(report), width)


def lines(finding: Finding, width: int | None) -> Iterator[str]:
    """Give the lines of one finding: where and what, and below that what to do."""
    place = f"{finding.at}: " if finding.at is not None else ""
    yield from wrapped(f"{place}{finding.severity}: {finding.what}.", width, "    ")
    yield from wrapped(f"    {finding.todo}", width, "    ")


def summary(report: Report) -> str:
    """Give the last line: how much was found, in what."""
    counts = [(sum(one.severity == severity for one in report.findings), severity) for severity in _RANK]
    said = [f"{count} {severity}{'s' if count > 1 else ''}" for count, severity in counts if count]
    first = ", ".join(said) if said else "Nothing is wrong"
    files = f"{len(report.files)} files" if len(report.files) > 1 else "".join(report.files) or "no file"
    return f"{first}. Read: {printable(files, LONGEST)}. {report.about}".strip()


def as_json(report: Report) -> str:
    """Give the same as JSON, in one line."""
    return json.dumps(
        {
            "version": 1,
            "virt2": VERSION,
            "status": report.status,
            "files": list(report.files),
            "about": report.about,
            "findings": [
                {
                    "severity": finding.severity,
                    "file": finding.at.file if finding.at is not None else None,
                    "line": finding.at.number if finding.at is not None else None,
                    "what": finding.what,
                    "todo": finding.todo,
                }
                for finding in report.findings
            ],
        }
    )


def columns() -> int | None:
    """Give the width of the terminal; None where the output goes elsewhere."""
    if not sys.stdout.isatty():
        return None
    # What only terminals need is not loaded for programs that read this.
    import shutil

    return max(shutil.get_terminal_size().columns, NARROWEST)


def wrapped(text: str, width: int | None, indent: str = "") -> list[str]:
    """Give the lines of a text, made printable. Only what has blanks is wrapped.

    Arguments:
        width: the columns of the terminal; None where lines are not to be wrapped.
        indent: what the lines after the first begin with.
    """
    line = printable(text, LONGEST)
    if width is None:
        return [line]
    import textwrap

    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False) or [""]
