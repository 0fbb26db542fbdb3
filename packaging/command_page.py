"""Makes the man page virt2(1), out of what the commands declare of themselves to argparse."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from roff import entry, heading, paragraph, references, subheading, text, title

WIDTH = 1000
"""Characters of a line of usage, so that man breaks it and not argparse."""


def page(parser: argparse.ArgumentParser, date: str) -> str:
    """Give the page.

    Arguments:
        parser: of the whole command line. Its epilog tells the exit status.
        date: of the version.
    """
    return text(
        title("virt2", 1, date),
        heading("Name"),
        ["virt2 \\- explain what collectd\\(aqs plugin virt2 does on this host"],
        heading("Synopsis"),
        paragraph("`virt2` [*options*] *command* [*arguments*]"),
        heading("Description"),
        paragraph(parser.description or ""),
        paragraph("collectd needs neither to run nor to be installed."),
        *_actions(parser),
        heading("Commands"),
        *(line for name, one in _commands(parser).items() for line in _command(name, one)),
        heading("Exit status"),
        paragraph((parser.epilog or "").partition(": ")[2]),
        heading("See also"),
        references(("collectd-virt2", 5), ("collectd.conf", 5), ("virsh", 1)),
    )


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Give the parser of each command by its name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _command(name: str, parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    yield subheading(f"virt2 {name}")
    yield paragraph(f"`{_usage(parser)}`")
    yield paragraph(parser.description or "")
    yield from _actions(parser)


def _usage(parser: argparse.ArgumentParser) -> str:
    formatter = argparse.HelpFormatter(parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return formatter.format_help().strip()


def _actions(parser: argparse.ArgumentParser) -> Iterator[list[str]]:
    """Give every option and argument that is not hidden, without the commands themselves."""
    formatter = argparse.HelpFormatter(parser.prog, width=WIDTH)
    for action in parser._actions:
        if action.help != argparse.SUPPRESS and not isinstance(action, argparse._SubParsersAction):
            # As the help shows it: its names, and the words that belong to it.
            term = formatter._format_action_invocation(action)
            yield entry(f"`{term}`", _sentence(formatter._expand_help(action) if action.help else ""))


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}." if words else ""
