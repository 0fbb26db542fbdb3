"""``virt2 domains``: which domains there are, who reads them, and how their monitors are."""

from __future__ import annotations

import argparse
import fnmatch
import time

from virt2.cli import commands, report, saying, word
from virt2.cli.columns import Column, table
from virt2.cli.findings import FINE
from virt2.status.answers import BLOCKED, METADATA, STORAGE, DomainRow, Domains
from virt2.text.printable import encodable, printable, quoted

COLUMNS = (
    Column("DOMAIN", least=12),
    Column("STATE", least=7),
    Column("MONITOR", least=11),
    Column("FOR", right=True),
    Column("TAG", least=8),
    Column("FROM", leave=2),
    Column("STORAGE", least=8, leave=1),
    Column("READER", least=6),
    Column("UUID", leave=3),
)
SOURCES = {METADATA: "metadata", STORAGE: "disk"}
"""Where a tag comes from, in a word."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Lists the domains with their state, how their monitor is and for how long, tag, storage domains and reader."
        " The virt2 that runs is asked. Where none runs, this host is looked at, and no monitor is asked."
        " It ends within 3 s. The exit status is 1 where a monitor is blocked or libvirt cannot be reached."
    )
    named = parser.add_argument(
        "pattern", nargs="*", metavar="NAME", help="names, with * and ? for any characters; without any, all domains"
    )
    commands.complete_with(named, ("domains", "--names"))
    parser.add_argument("--stuck", action="store_true", help="put those whose monitor is blocked first")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="print one line of JSON")
    how.add_argument("--names", action="store_true", help="print the names alone, one in each line")
    word.declare(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the domains, and give the exit status."""
    with word.Source(arguments, time.monotonic()) as source:
        told = source.ask("domains")
    answer: Domains = told.answer
    rows = [row for row in answer["domains"] if is_wanted(row["name"], arguments.pattern)]
    if arguments.pattern and not rows:
        patterns = ", ".join(quoted(pattern) for pattern in arguments.pattern)
        raise commands.CannotDo(f"None of {len(answer['domains'])} domains has a name that matches {patterns}.")
    if arguments.stuck:
        rows.sort(key=lambda row: -blocked_for(row))
    if arguments.names:
        for row in rows:
            # A name with a newline would be two, and nothing that is completed may control a terminal.
            if printable(row["name"]) == row["name"]:
                print(row["name"])
        return FINE
    trouble = saying.trouble(answer["reach"])
    status = saying.status_of(told, bool(trouble) or any(row["monitor"]["state"] == BLOCKED for row in rows))
    if arguments.json:
        print(saying.as_json(told, status, {**answer, "domains": rows}))
        return status
    width = report.columns()
    made = table(COLUMNS, list(map(_texts, rows)), width)
    for line in made.lines:
        print(line)
    if made.left_out:
        print(f"There is no room for {', '.join(made.left_out)}; --json has everything.")
    if trouble:
        print("\n".join(report.wrapped(commands.as_sentence(trouble), width)))
    print("\n".join(report.wrapped(f"{summary(rows)}.", width)))
    print("\n".join(saying.about(told, width)))
    return status


def is_wanted(name: str, patterns: list[str]) -> bool:
    """Whether a name matches one of some patterns; every name does where there are none."""
    return not patterns or any(fnmatch.fnmatchcase(encodable(name), encodable(pattern)) for pattern in patterns)


def blocked_for(row: DomainRow) -> float:
    """Seconds for which a domain's monitor has been blocked; -1 where it is not."""
    monitor = row["monitor"]
    if monitor["state"] != BLOCKED:
        return -1.0
    return monitor["since"]["seconds"] if monitor["since"] is not None else 0.0


def summary(rows: list[DomainRow]) -> str:
    """Say how many domains there are, and how many are stuck."""
    active = sum(1 for row in rows if row["active"])
    stuck = sum(1 for row in rows if row["monitor"]["state"] == BLOCKED)
    idle = f", {len(rows) - active} not active" if len(rows) > active else ""
    return f"{active} active domain{'' if active == 1 else 's'}{idle}, {stuck or 'none'} stuck"


def _texts(row: DomainRow) -> list[str]:
    monitor = row["monitor"]
    cause = f": {monitor['cause']}" if monitor["state"] == BLOCKED and monitor["cause"] else ""
    return [
        row["name"],
        row["state"] or "not known",
        f"{monitor['state']}{cause}" if row["active"] else "-",
        saying.since(monitor["since"]),
        row["tag"] or "-",
        SOURCES.get(row["tag_source"], "-"),
        ", ".join(row["storage"]) or "-",
        row["reader"] or "-",
        row["uuid"],
    ]
