"""Pure: the figures as text, for a terminal and for bench/results.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from bench import figures
from bench.figures import Lost, Pace, Paced, Row, Rows, Spread, ThreadUse, Verdict

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
PACED_COLUMNS = ("", "", "libvirtd, ms", "QEMUs, ms", "own CPU, ms", "RSS, MiB")
THREAD_COLUMNS = ("", "threads", "CPU, ms", "wake-ups")


class Results(NamedTuple):
    """Everything that one run found out."""

    host: Sequence[str]
    """What it ran on, a line each."""
    extra: str
    """The ExtraStats that are called all."""
    sizes: Mapping[int, Rows] = {}
    """Reads without a pause, by number of domains."""
    calls: Mapping[int, Mapping[str, Calls]] = {}
    """By size and row."""
    paces: Mapping[Pace, Paced] = {}
    """Reads at an interval."""
    outage: Mapping[str, Lost] = {}
    """What each plugin lost while libvirtd was away."""

    @property
    def verdicts(self) -> list[Verdict]:
        """Everything held against what is promised."""
        return figures.verdicts(self.sizes, {pace: paced.rows for pace, paced in self.paces.items()}, self.outage)


def table(results: Results) -> list[Sequence[str]]:
    """Every row of every size, the titles first."""
    lines: list[Sequence[str]] = [COLUMNS]
    for size, rows in results.sizes.items():
        calls = results.calls.get(size, {})
        for name in figures.ROWS:
            lines.append([str(size), name, *_cells(rows[name]), _calls(calls.get(name)), *_memory(rows[name])])
    return lines


def paced_table(results: Results) -> list[Sequence[str]]:
    """Every row of every pace, per interval, the titles first."""
    lines: list[Sequence[str]] = [PACED_COLUMNS]
    for pace, paced in results.paces.items():
        for name in figures.PACED_ROWS:
            row = paced.rows[name]
            used = [milliseconds(spread, 1) for spread in (row.libvirtd, row.qemus, row.own)]
            lines.append([str(pace), name, *used, f"{row.rss.median / 1024:.1f}"])
    return lines


def thread_table(uses: Mapping[str, ThreadUse]) -> list[Sequence[str]]:
    """What each kind of thread uses in an interval, the titles first."""
    lines = [(name, str(use.threads), f"{use.cpu * 1000:.2f}", f"{use.wakes:.0f}") for name, use in uses.items()]
    return [THREAD_COLUMNS, *lines]


def outage_table(outage: Mapping[str, Lost]) -> list[Sequence[str]]:
    """What each plugin lost, the titles first."""
    return [
        ("", "series", "points expected", "missing, libvirtd dead", "missing, libvirtd frozen"),
        *((name, *map(str, lost)) for name, lost in outage.items()),
    ]


def verdict_table(verdicts: Iterable[Verdict]) -> list[Sequence[str]]:
    """What is promised and what was measured, the titles first."""
    lines: list[Sequence[str]] = [("figure", "promised at most", "measured", "")]
    for verdict in verdicts:
        unit = f" {verdict.unit}" if verdict.unit else ""
        measured = "" if verdict.measured is None else f"{verdict.measured:.{verdict.digits}f}{unit}"
        word = {True: "reached", False: "missed", None: "not measured"}[verdict.reached]
        lines.append((verdict.figure, f"{verdict.bound:.{verdict.digits}f}{unit}", measured, word))
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
    parts = [
        "# Results of scripts/bench",
        "Written by the run; how each figure comes about is told in [README.md](README.md). CPU and wall time"
        " are per cycle, or per interval: the median, and in brackets the least and the greatest.",
        "\n".join(f"* {line}" for line in results.host),
        f"## What is promised, at {size} domains where nothing else is said{note}",
        markdown_table(verdict_table(results.verdicts)),
    ]
    if results.sizes:
        parts += [
            "## Reads without a pause",
            markdown_table(table(results)),
            f"All ExtraStats: `{results.extra}`.",
            "![Wall time and CPU of a cycle by number of domains](cycle.svg)",
        ]
    if results.paces:
        parts += ["## Reads at an interval", markdown_table(paced_table(results))]
        for pace, paced in results.paces.items():
            parts += [
                f"Threads of collectd with virt2, {pace}, per interval:",
                markdown_table(thread_table(paced.threads)),
            ]
    if results.outage:
        parts += ["## Points of CPU and interfaces lost", markdown_table(outage_table(results.outage))]
    if results.calls:
        parts += [
            "## Round trips of one cycle",
            f"At {min(results.calls)} domains, counted on libvirtd's sockets.",
            markdown_table(call_table(results)),
        ]
    return "\n\n".join(parts) + "\n"


def markdown_table(lines: Sequence[Sequence[str]]) -> str:
    """A table for a page."""
    titles, *rest = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([titles, "|" + "---|" * len(lines[0]), *rest])


def _cells(row: Row) -> list[str]:
    return [milliseconds(spread) for spread in (row.wall, row.libvirtd, row.qemus, row.own)]


def _memory(row: Row) -> list[str]:
    return [f"{spread.median / 1024:.1f}" for spread in (row.rss, row.pss)]


def milliseconds(spread: Spread, digits: int = 0) -> str:
    """Seconds in words: the median, and the ends in brackets."""
    middle, low, high = (f"{seconds * 1000:.{digits}f}" for seconds in spread)
    return f"{middle} ({low}-{high})"


def _calls(calls: Calls | None) -> str:
    return "" if calls is None else str(sum(calls.values()))
