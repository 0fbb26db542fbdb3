"""Finds the command lines in the pages of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from virt2.cli.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = {"CHANGELOG.md"}
"""Pages that tell of the past: what they name may be gone."""
FENCE = re.compile(r"^\s*(```+|~~~+)\s*(\w*)")
INDENTED = re.compile(r"^ {4,}\S")
SHELL = {"", "sh", "bash", "console", "shell"}
"""Languages of a fenced block that may have command lines."""
LANGUAGES = {"mermaid", "text", "conf", "yaml", "json", "ini", "javascript", "promql", "xml", "toml", "python", "diff"}
"""Other languages. A block in a language that is in neither set is an error, because a typing mistake would hide it."""
NO_COMMAND = re.compile(
    r"""
    <                                 # a block of collectd's configuration, or XML
    | [A-Z][A-Za-z]+\s+(?:"|\d|[\w.-]+\s*(?:\#|$))   # an option of collectd's or virt2's with its value
    | \[\w+\]                         # a section of a unit of systemd
    | virt2:\s                        # lines of the log
    | /\S+:\d+:\s                     # a finding with its file and line
    | list\ of\ domains,              # the picture of a read in docs/readers.md
    """,
    re.VERBOSE,
)
"""How the first line of an indented block begins that has no command lines. Everything else has, so that a block is
never left out because it is not recognised."""
COMMENT = re.compile(r"(?:^|\s+)#\s.*$")
VIEWS = [command.name for command in COMMANDS]
PROGRAMS = (
    *("apt-get", "ausearch", "curl", "journalctl", "kill", "man", "mkdir", "pip", "podman", "promtool", "python3"),
    *("rrdtool", "scripts/bench", "scripts/chaos", "scripts/fresh", "scripts/fuzz", "scripts/package", "scripts/run"),
    *("scripts/test", "service", "setpriv", "systemctl", "timeout", "useradd", "usermod", "virsh", "virt-admin"),
)
"""Programs whose command lines are found within sentences and tables, too."""
COMMAND = re.compile(rf"(?:/usr/bin/)?(?:{'|'.join(PROGRAMS)}) .|collectd -|virt2 (?:-|(?:{'|'.join(VIEWS)}) )")
"""How such a command line begins. Messages of the log begin with the names of collectd and virt2 as well, and `virt2
check` alone is the name of a command."""
SPAN = re.compile(r"(?<!`)`([^`\n]+(?:\n[^`\n]+)?)`(?!`)")


class CommandLine(NamedTuple):
    """A command line of a page."""

    page: str
    """The page's path within the repository."""
    line: int
    """The number of its first line there."""
    text: str
    """The whole command, without its comment; with line ends where it has several lines."""


def pages(root: Path = ROOT) -> list[Path]:
    """Give every page of the documentation that is the repository's own."""
    folders = ("docs", "bench", "packaging", "contrib")
    found = [*root.glob("*.md"), *(page for folder in folders for page in (root / folder).rglob("*.md"))]
    return sorted(page for page in found if page.name not in LEFT_OUT)


def of_page(page: Path, root: Path = ROOT) -> list[CommandLine]:
    """Give every command line of a page: those of blocks, and then those within sentences and tables.

    Raises:
        ValueError: a fenced block has no end, or a language that is not known here.
    """
    return list(of_text(str(page.relative_to(root)), page.read_text(encoding="utf-8")))


def of_text(page: str, text: str) -> Iterator[CommandLine]:
    """Give the same of a page's text."""
    for start, lines in _blocks(text):
        for number, command in _commands(start, lines):
            yield CommandLine(page, number, command)
    for number, span in _spans(text):
        yield CommandLine(page, number, span)


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    """Each block that has command lines: the number of its first line, and its lines without what indents them all."""
    lines = text.split("\n")
    number, before = 0, ""
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if fence:
            end = _end_of_fence(lines, number, fence.group(1))
            if _is_shell(fence.group(2)):
                yield number + 2, _unindented(lines[number + 1 : end])
            number, before = end + 1, ""
        elif INDENTED.match(lines[number]) and not before.strip():
            end = number
            while end < len(lines) and (INDENTED.match(lines[end]) or not lines[end].strip()):
                end += 1
            block = _unindented(lines[number:end])
            # In a list an indented paragraph is a sentence, which ends with a full stop and begins with a capital.
            if not NO_COMMAND.match(block[0]) and not _is_prose(block):
                yield number + 1, block
            number, before = end, ""
        else:
            before = lines[number]
            number += 1


def _end_of_fence(lines: list[str], number: int, fence: str) -> int:
    for end in range(number + 1, len(lines)):
        if lines[end].strip() == fence:
            return end
    raise ValueError(f"the block of line {number + 1} has no end")


def _is_shell(language: str) -> bool:
    if language not in SHELL | LANGUAGES:
        raise ValueError(f"blocks may not be in the language {language!r}: use one of {sorted(SHELL | LANGUAGES)}")
    return language in SHELL


def _unindented(lines: list[str]) -> list[str]:
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    return [line[indent:] for line in lines]


def _is_prose(block: list[str]) -> bool:
    return bool(re.match(r"[A-Z][a-z]+[ ,].*", block[0])) and " ".join(block).rstrip().endswith((".", ":"))


def _commands(start: int, lines: list[str]) -> Iterator[tuple[int, str]]:
    """Each command of a block, with the number of its first line."""
    number = 0
    while number < len(lines):
        first, command = number, lines[number]
        here = re.search(r"<<-?\s*'?(\w+)'?", command)
        while command.endswith("\\") and number + 1 < len(lines):
            number += 1
            command += "\n" + lines[number]
        while here and lines[number].strip() != here.group(1):
            number += 1
            command += "\n" + lines[number]
        number += 1
        command = command.removeprefix("$ ") if here else COMMENT.sub("", command.removeprefix("$ ")).strip()
        if command.strip():
            yield start + first, command


def _spans(text: str) -> Iterator[tuple[int, str]]:
    """Each command line within sentences and tables, with the number of its line."""
    outside = re.sub(r"(?ms)^\s*(```+).*?^\s*\1\s*$", lambda match: "\n" * match.group().count("\n"), text)
    for match in SPAN.finditer(outside):
        span = " ".join(match.group(1).split())
        if COMMAND.match(span):
            yield outside[: match.start()].count("\n") + 1, span
