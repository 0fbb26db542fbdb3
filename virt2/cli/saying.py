"""How the views say things: durations, where an answer is from, and JSON. It is pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from virt2.cli import commands
from virt2.cli.findings import FAILED
from virt2.cli.report import wrapped
from virt2.status import wire
from virt2.status.answers import Reach, Since
from virt2.version import VERSION

if TYPE_CHECKING:
    from virt2.cli.word import Word

FORMAT = 1
"""The number of the JSON that the views print. It changes when the meaning of something does."""
SILENT = "libvirtd seems to answer nobody; look whether it is stopped, and restart it if that lasts"
"""What is said where there is a connection, and nothing comes over it. Restarting libvirtd stops no guest."""
_UNITS = ((86400 * 2, 86400, "d"), (3600 * 2, 3600, "h"), (60 * 2, 60, "min"), (0, 1, "s"))


def duration(seconds: float) -> str:
    """Say how long something takes, in the unit that leaves two digits or more of sense, such as ``90 s``."""
    for least, size, unit in _UNITS:
        if seconds >= least:
            return f"{seconds // size:.0f} {unit}"
    return "0 s"


def since(when: Since | None) -> str:
    """Say since how long something is so; empty where that is not known."""
    return "" if when is None else duration(when["seconds"])


def trouble(reach: Reach) -> str:
    """Say that libvirt cannot be reached, or does not answer; empty where it does."""
    if reach["state"] == "up":
        return SILENT if reach["silent"] else ""
    if reach["since"] is None:
        return "libvirt did not answer, so it is not known which domains there are"
    return f"libvirt cannot be reached, since {since(reach['since'])}: {reach['reason']}"


def about(word: Word, width: int | None) -> Iterator[str]:
    """Say where an answer is from, and what is missing in it."""
    for sentence in word.missing:
        yield from wrapped(commands.as_sentence(sentence), width)
    yield from wrapped(f"{word.about}.", width)


def as_json(word: Word, status: int, answer: Any) -> str:
    """Give an answer as one line of JSON, with the exit status and with where it is from."""
    return wire.as_json(
        {
            "version": FORMAT,
            "virt2": VERSION,
            "status": status,
            "source": word.source,
            "about": f"{word.about}.",
            "missing": [f"{sentence}." for sentence in word.missing],
            "answer": answer,
        }
    )


def status_of(word: Word, is_wrong: bool) -> int:
    """Give the exit status. Where it is not known which domains there are, nothing else counts."""
    return FAILED if not word.listed else int(is_wrong or bool(word.missing))
