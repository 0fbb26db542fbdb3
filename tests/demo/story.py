"""Pure: what the demo does to its lab, when, and in which words it says so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

STOPPED = "web-2"
"""The guest whose QEMU is stopped."""
ASKED = "db-1"
"""The guest on the storage whose size somebody asks."""
ON_STORAGE = (ASKED, "db-2")
"""The guests whose images lie on the storage that hangs."""

GUEST, STORAGE, LIBVIRTD = "guest", "storage", "libvirtd"
"""What the acts are about, which is what `stage.Stage` is told to do."""

LEAD = 3
"""Intervals before the first act: rates need two reads, and one more shows how it looks when all is well."""
LENGTH = 6
"""Intervals of an act: what is lost disappears from the table after two and a half."""
REST = 3
"""Intervals between two acts, in which everything comes back."""
AFTERWARDS = 1
"""Intervals that must be left behind an act, so that a table shows that it is over."""


class Act(NamedTuple):
    """Something that goes wrong, and is well again."""

    about: str
    """`GUEST`, `STORAGE` or `LIBVIRTD`."""
    begins: str
    """What is said then: sentences."""
    ends: str


ACTS = (
    Act(
        GUEST,
        f"The QEMU of {STOPPED} is stopped, so it answers nobody. {STOPPED} loses the rates of its disks, and nobody"
        " else loses anything.",
        f"The QEMU of {STOPPED} goes on.",
    ),
    Act(
        STORAGE,
        f"The storage of {' and '.join(ON_STORAGE)} hangs, and a tool asks for the size of a disk of {ASKED}, which"
        f" freezes {ASKED}. virt2 asks for no sizes by default.",
        "The storage answers again.",
    ),
    Act(
        LIBVIRTD,
        "libvirtd is stopped. CPU time and interfaces go on, because the kernel tells them. Memory and disks come back"
        " with libvirtd.",
        "libvirtd goes on.",
    ),
)


class Step(NamedTuple):
    """One moment of the story."""

    at: float
    """Seconds after the demo began to read."""
    about: str
    begins: bool
    """Whether it goes wrong then, or is made well."""
    words: str
    """What is said when it is done."""


def steps(acts: Sequence[Act], interval: float, seconds: float) -> list[Step]:
    """Give what is to be done, oldest first.

    Arguments:
        acts: what the lab can play.
        interval: seconds between two reads.
        seconds: for which the demo runs. Acts that do not end in time are left out.
    """
    found: list[Step] = []
    for number, act in enumerate(acts):
        begin = (LEAD + number * (LENGTH + REST)) * interval
        end = begin + LENGTH * interval
        if end + AFTERWARDS * interval > seconds:
            break
        count = f"Act {number + 1} of {len(acts)}"
        found.append(Step(begin, act.about, True, f"{count}: {act.begins}"))
        found.append(Step(end, act.about, False, f"{count} is over: {act.ends}"))
    return found


def preface(acts: Sequence[Act], interval: float, seconds: float) -> str:
    """Say what will happen: sentences, or nothing where nothing can."""
    told = len(steps(acts, interval, seconds)) // 2
    if not acts:
        return ""
    if not told:
        return f"In {seconds:g} s nothing goes wrong: the first of {len(acts)} acts takes longer."
    first = f"In {LEAD * interval:g} s things begin to go wrong, in {_acts(told)}."
    left = len(acts) - told
    return first + (f" {seconds:g} s are too short for {left} more." if left else "")


def _acts(number: int) -> str:
    return f"{number} act{'s' if number != 1 else ''}"


class Story:
    """Goes through the steps once, and never again.

    Arguments:
        steps: oldest first.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._left = list(steps)

    def __repr__(self) -> str:
        return f"<Story left={len(self._left)}>"

    @property
    def next_at(self) -> float:
        """When there is something to do next: seconds after the demo began to read, infinity after the last step."""
        return self._left[0].at if self._left else float("inf")

    def due(self, elapsed: float) -> list[Step]:
        """Give the steps whose moment has come, oldest first, each once."""
        number = sum(step.at <= elapsed for step in self._left)
        due, self._left = self._left[:number], self._left[number:]
        return due
