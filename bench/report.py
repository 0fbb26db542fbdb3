"""Pure: the figures as text, for a terminal and for bench/results.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench import figures
from bench.figures import Row, Rows, Spread, Verdict

Calls = Mapping[str, int]
"""Round trips of one cycle by name."""
COLUMNS = (
    "domains",
    "",
    "wall, ms",
    "libvirtd, ms",
    "QEMUs, ms",
    "own CPU, ms",
    "round trips",
    "RSS, MiB",
    "PSS, MiB",
)


class Results(NamedTuple):
    """Everything that one run found out."""

    host: Sequence[str]
    """What it ran on, a line each."""
    sizes: Mapping[int, Rows]
    calls: Mapping[int, Mapping[str, Calls]]
    """By size and row."""
    extra: str
    """The ExtraStats that are called all."""


def table(results: Results) -> list[Sequence[str]]:
    """Every row of every size, the titles first."""
    lines: list[Sequence[str]] = [COLUMNS]
    for size, rows in results.sizes.items():
        calls = results.calls.get(size, {})
        for name in figures.ROWS:
            lines.append([str(size), name, *_cells(rows[name]), _calls(calls.get(name)), *_memory(rows[name])])
    return lines


def verdict_table(verdicts: Iterable[Verdict]) -> list[Sequence[str]]:
    """What is promised and what was measured, the titles first."""
    lines: list[Sequence[str]] = [("figure", "promised at most", "measured", "")]
    for verdict in verdicts:
        unit = f" {verdict.unit}" if verdict.unit else ""
        measured = "" if verdict.measured is None else f"{verdict.measured:.2f}{unit}"
        word = {True: "reached", False: "missed", None: "not measured"}[verdict.reached]
        lines.append((verdict.figure, f"{verdict.bound:.2f}{unit}", measured, word))
    return lines


def call_table(results: Results) -> list[Sequence[str]]:
    """Which calls make up a cycle at the least size, where those of all ExtraStats are counted; the titles first."""
    size = min(results.calls)
    rows = results.calls[size]
    names = sorted({name for calls in rows.values() for name in calls})
    return [("", *names), *((row, *(str(calls.get(name, "")) for name in names)) for row, calls in rows.items())]


def plain(lines: Sequence[Sequence[str]]) -> str:
    """A table for a terminal."""
    widths = [max(len(cell) for cell in column) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def markdown(results: Results) -> str:
    """The page bench/results.md."""
    size = figures.judged_at(results.sizes)
    note = "" if size == figures.PROMISED_AT else f"; the promises are for {figures.PROMISED_AT}"
    return (
        "\n\n".join(
            [
                "# Results of scripts/bench",
                "Written by the run; how each figure comes about is told in [README.md](README.md). CPU and wall time"
                " are per cycle: the median, and in brackets the least and the greatest.",
                "\n".join(f"* {line}" for line in results.host),
                f"## What is promised, at {size} domains{note}",
                _markdown(verdict_table(figures.verdicts(results.sizes))),
                "## Everything measured",
                _markdown(table(results)),
                f"All ExtraStats: `{results.extra}`.",
                "![Wall time and CPU of a cycle by number of domains](cycle.svg)",
                "## Round trips of one cycle",
                f"At {min(results.calls)} domains, counted on libvirtd's sockets.",
                _markdown(call_table(results)),
            ]
        )
        + "\n"
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    titles, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([titles, "|" + "---|" * len(lines[0]), *rest])


def _cells(row: Row) -> list[str]:
    return [_milliseconds(spread) for spread in (row.wall, row.libvirtd, row.qemus, row.own)]


def _memory(row: Row) -> list[str]:
    return [f"{spread.median / 1024:.1f}" for spread in (row.rss, row.pss)]


def _milliseconds(spread: Spread) -> str:
    middle, low, high = (f"{seconds * 1000:.0f}" for seconds in spread)
    return f"{middle} ({low}-{high})"


def _calls(calls: Calls | None) -> str:
    return "" if calls is None else str(sum(calls.values()))
