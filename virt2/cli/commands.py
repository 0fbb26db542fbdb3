"""The commands of ``virt2``, as a table. To add one, write its module and add its line here.

A command is a module with two functions::

    def declare(parser: argparse.ArgumentParser) -> None
        Say what the command does (``parser.description``), and add its options.

    def run(arguments: argparse.Namespace) -> int
        Do it, and give the exit status: one of `virt2.cli.findings`.

Only the module of the command that was asked for is imported. Help, documentation and completion come from this table
and from what the modules declare.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

from virt2.errors import Error
from virt2.version import VERSION

EPILOG = (
    "Exit status: 0 if all is well, 1 if something is wrong, 2 if it could not be found out (bad usage, a configuration"
    " that cannot be read, nothing that answers)."
)


class Command(NamedTuple):
    """One line of the table."""

    name: str
    module: str
    about: str
    """What it does, in one line that begins in lower case and has no full stop."""


COMMANDS: tuple[Command, ...] = (
    Command("check", "virt2.cli.check", "say what is wrong with the configuration and with this host"),
    Command("completion", "virt2.cli.completion", "print what makes a shell complete the words of this command"),
    Command("domains", "virt2.cli.domains", "list the domains, who reads them, and how their monitors are"),
    Command("explain", "virt2.cli.explain", "tell the story of one domain: what it waits for, and what to do"),
    Command("limits", "virt2.cli.limits", "tell what libvirtd can bear, and the plan that follows"),
    Command("top", "virt2.cli.top", "show the domains with their rates, and suspected storage, live"),
)
"""Every command, in alphabetical order."""


class CannotDo(Error):
    """What was asked for cannot be done. The message says why and what to do, in whole sentences."""


UNFREEZE = (
    "Look whether libvirtd is stopped or has no free worker: systemctl status libvirtd virtqemud, and virt-admin"
    " srv-threadpool-info libvirtd. Restarting it does not stop any guest."
)
"""What to do where libvirtd does not answer."""


def as_sentence(text: str) -> str:
    """Make a sentence of a text without a full stop, which begins in lower case where it begins with a name."""
    start = text if text.startswith(("libvirt", "virt2")) else text[:1].upper() + text[1:]
    return f"{start}."


FILES = "files"
"""How the words of an option are completed: by the names of files."""


def complete_with(action: argparse.Action, how: str | Sequence[str]) -> None:
    """Say how a shell completes the words of an option: `FILES`, or a command line of ``virt2`` that prints them.

    It prints one word in each line. The choices of an option are completed without this.
    """
    setattr(action, "complete", how)  # noqa: B010 (argparse's type has no such attribute)


def completed_with(action: argparse.Action) -> str | Sequence[str]:
    """Give what `complete_with` was told; empty where it was told nothing."""
    return cast("str | Sequence[str]", getattr(action, "complete", ""))


def parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Build the parser of the command line.

    Args:
        wanted: the command whose module is imported; None for all of them.
    """
    top = argparse.ArgumentParser(
        prog="virt2",
        description="Explains what virt2, collectd's plugin for libvirt domains, does on this host.",
        epilog=EPILOG,
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"virt2 {VERSION}", help="print the version and exit")
    # Without `prog` it is made out of the usage, which takes longer than all else here.
    commands = top.add_subparsers(prog="virt2", metavar="COMMAND", dest="command", required=True, title="commands")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.about, epilog=EPILOG, allow_abbrev=False)
        if wanted in (None, command.name):
            importlib.import_module(command.module).declare(one)
    return top


def runner(name: str) -> Callable[[argparse.Namespace], int]:
    """Give the function that does a command of the table."""
    module = next(command.module for command in COMMANDS if command.name == name)
    return cast("Callable[[argparse.Namespace], int]", importlib.import_module(module).run)
