"""``virt2 explain``: the story of one domain."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from virt2.cli import commands, report, saying, word
from virt2.status.answers import BLOCKED, Explain
from virt2.text.printable import printable


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.description = (
        "Tells the story of one domain: who reads it and why, what was asked last, what it waits for and since when,"
        " and what to do. The exit status is 1 where something has to be done."
    )
    named = parser.add_argument("domain", metavar="DOMAIN", help="its name or its UUID")
    commands.complete_with(named, ("domains", "--names"))
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    word.declare(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the story, and give the exit status."""
    if not arguments.domain:
        raise commands.CannotDo("DOMAIN is empty: accepted is the name or the UUID of a domain.")
    with word.Source(arguments, time.monotonic()) as source:
        told = source.ask("explain", arguments.domain)
    answer: Explain = told.answer
    is_wrong = bool(answer["next_steps"]) or answer["domain"]["monitor"]["state"] == BLOCKED
    status = saying.status_of(told, is_wrong)
    if arguments.json:
        print(saying.as_json(told, status, answer))
        return status
    width = report.columns()
    for line in text(answer, width):
        print(line)
    print("\n".join(saying.about(told, width)))
    return status


def text(answer: Explain, width: int | None) -> Iterator[str]:
    """Give the lines of the story."""
    for sentence in answer["sentences"]:
        yield from report.wrapped(sentence, width)
    identity = answer["identity"]
    if identity is not None:
        instance = f", plugin instance {identity['plugin_instance']}" if identity["plugin_instance"] else ""
        yield from report.wrapped(f"collectd knows it as host {identity['host']}{instance}.", width)
    for disk in answer["disks"]:
        label = "" if disk["label"] == disk["target"] else f", called {disk['label']}"
        place = f", on {disk['storage']}" if disk["storage"] else ""
        left = "" if disk["reported"] else ", not reported"
        source = f": {disk['source']}" if disk["source"] else ""
        yield from report.wrapped(f"Disk {disk['target']}{label}{place}{left}{source}", width, "    ")
    if answer["interfaces"]:
        yield from report.wrapped(f"Interfaces: {', '.join(answer['interfaces'])}.", width, "    ")
    if answer["next_steps"]:
        yield "What to do:"
        for step in answer["next_steps"]:
            yield from report.wrapped(f"  {printable(step, report.LONGEST)}", width, "  ")
