"""``virt2 limits``: what libvirtd says of its workers, and the plan that follows, each number with its reason."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from virt2.cli import commands, report, saying, word
from virt2.cli.columns import Column, table
from virt2.status.answers import Limits, Number

CALLS = (
    Column("DOMAIN", least=12),
    Column("CALL", least=12),
    Column("KIND"),
    Column("FOR", right=True),
    Column("STATE"),
    Column("STORAGE", least=8, leave=1),
)
_WORKERS = (
    ("max_workers", "workers at most"),
    ("workers", "workers now"),
    ("free_workers", "of them free"),
    ("priority_workers", "priority workers"),
    ("job_queue_depth", "calls that wait for a worker"),
    ("clients", "clients"),
    ("max_clients", "clients at most"),
)


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Tells what libvirtd's admin interface says of its workers, how many of them each part of virt2 may hold and"
        " why, and what holds them now. The exit status is 1 where calls are stuck, libvirtd has no worker left, or"
        " libvirt cannot be reached."
    )
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    word.declare(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the limits, and give the exit status."""
    with word.Source(arguments, time.monotonic()) as source:
        told = source.ask("limits")
    answer: Limits = told.answer
    troubles = list(_troubles(answer, told.listed))
    status = saying.status_of(told, bool(troubles))
    if arguments.json:
        print(saying.as_json(told, status, answer))
        return status
    width = report.columns()
    for line in text(answer, width):
        print(line)
    for trouble in troubles:
        print("\n".join(report.wrapped(commands.as_sentence(trouble), width)))
    print("\n".join(saying.about(told, width)))
    return status


def text(answer: Limits, width: int | None) -> Iterator[str]:
    """Give the lines that tell of libvirtd, the plan, and what is held."""
    admin, plan, held = answer["admin"], answer["plan"], answer["held"]
    if admin["known"]:
        asked = saying.since(admin["asked"])
        yield f"libvirtd says{f' ({asked} ago)' if asked else ''}:"
        for key, meaning in _WORKERS:
            number = admin[key]  # type: ignore[literal-required]
            yield f"  {'not known' if number is None else number:>9}  {meaning}"
    else:
        yield from report.wrapped(f"libvirtd's limits are not known: {admin['reason']}.", width)
    yield ""
    yield "The plan:"
    yield from _number("budget: workers that virt2 holds at most", plan["budget"], width)
    yield from _number("reserve: workers that are left to others", plan["reserve"], width)
    yield from _number("set aside", plan["set_aside"], width)
    for share in plan["shares"]:
        yield from _number(f"share of reader {share['reader']}", share["share"], width)
    yield from _number("quarantine: for what touches the storage", plan["quarantine"], width)
    yield from _number("for guests' agents", plan["agents"], width)
    yield ""
    yield (
        f"Held now: {held['used']}, in flight {held['in_flight']}, of these stuck {held['stuck']}, cut off"
        f" {held['charged']}, free {held['free']}."
    )
    if answer["calls"]:
        rows = [
            [
                call["domain"] or call["uuid"],
                call["call"],
                call["kind"],
                saying.since(call["since"]),
                "cut off" if call["cut_off"] else "stuck" if call["stuck"] else "in flight",
                ", ".join(call["storage"]) or "-",
            ]
            for call in answer["calls"]
        ]
        yield from table(CALLS, rows, width).lines


def _number(what: str, number: Number, width: int | None) -> Iterator[str]:
    yield from report.wrapped(f"  {number['value']:>5}  {what}: {number['reason']}.", width, " " * 9)


def _troubles(answer: Limits, is_listed: bool) -> Iterator[str]:
    """Give what is wrong. Where there is no list, why that is so is told with what is missing."""
    trouble = saying.trouble(answer["reach"])
    if trouble and is_listed:
        yield trouble
    if answer["silent"] and trouble != saying.SILENT:
        yield saying.SILENT
    if answer["out_of_workers"]:
        yield "libvirtd has no worker left; raise max_workers in its configuration, and see who holds them"
    if answer["held"]["stuck"]:
        count = answer["held"]["stuck"]
        are = "call is" if count == 1 else "calls are"
        yield f"{count} {are} stuck; virt2 explain tells what the domain waits for"
    connects = answer["connects"]
    if connects["refusal"] and not trouble:
        yield f"the last attempt to connect failed: {connects['refusal']}"
