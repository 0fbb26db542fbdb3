"""Pure: a seed becomes a schedule of what goes wrong, the same on every machine and with every Python."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from .model import Action, Span

T = TypeVar("T")


class Kind(NamedTuple):
    """What may be drawn for a kind of action."""

    shortest: float
    """Seconds."""
    longest: float
    guests: int = 0
    """How many guests it takes at the most."""
    storage: str = ""
    """Whether it takes a storage as well: ANY, or OWN where the guests have to lie on it."""
    fixed: bool = False
    """Whether it takes exactly so many guests."""
    resource: str = ""
    """What only one action at a time may have."""
    details: tuple[str, ...] = ("",)
    """One of these is its detail."""


ANY, OWN = "any", "own"
LIBVIRTD, COLLECTD = "libvirtd", "collectd"

KINDS: Mapping[str, Kind] = {
    # QEMUs and storage.
    "stop_guests": Kind(3, 20, guests=3),
    "hang_storage": Kind(3, 25, storage=ANY),
    "other_clients": Kind(5, 25, guests=3, storage=OWN),
    "hot_plug": Kind(5, 20, guests=1, storage=ANY),
    # Guests that come, go and change.
    "come_and_go": Kind(6, 20, details=("0", "1", "2")),
    "replace_guest": Kind(0, 0, guests=1),
    "return_guest": Kind(1, 6, guests=1),
    "crash_guest": Kind(1, 5, guests=1),
    "pause_guest": Kind(2, 10, guests=1),
    "retag_guest": Kind(0, 0, guests=1, details=("first", "second", "third")),
    # libvirtd and collectd.
    "kill_libvirtd": Kind(1, 10, resource=LIBVIRTD),
    "freeze_libvirtd": Kind(1, 30, resource=LIBVIRTD),
    "restart_libvirtd": Kind(0, 0, resource=LIBVIRTD),
    "limit_workers": Kind(5, 20, resource=LIBVIRTD, details=("6", "10", "40")),
    "fill_workers": Kind(6, 15, guests=5, fixed=True, resource=LIBVIRTD),
    "hide_admin": Kind(5, 20, resource=LIBVIRTD),
    "restart_collectd": Kind(0, 3, resource=COLLECTD),
}
"""Everything that may be on a schedule. Times are in seconds."""

STORM: Span = (12.0, 45.0)
"""Seconds for which things go wrong, at least and at most."""
CALM: Span = (9.0, 14.0)
"""Seconds without anything in between: longer than recovery takes, so that it is seen, and a read or two more."""
FIRST_CALM, LAST_CALM = 10.0, 16.0
"""Seconds at the begin, until everything runs evenly, and at the end."""
APART = 1.0
"""Seconds between the end of an action and the begin of another one with the same guests or the same storage."""
AT_ONCE = (1, 2, 2, 3, 3, 4)
"""How many actions a storm has; one of these is drawn for each 15 seconds of it."""
STORM_PART = 15.0
ATTEMPTS = 20
"""How often a place is looked for before a kind has to wait for another storm."""
RESTARTS_UNTIL = 0.5
"""The part of the run after which collectd is not restarted any more, so that one process is watched for long."""
SHORT = 180.0
"""Seconds; in a shorter run collectd is restarted at any time."""
READERS = ("explicit", "automatic")


class Schedule(NamedTuple):
    """What is to happen in a run."""

    seed: int
    seconds: float
    readers: str
    """One of READERS: how virt2 is configured to split the domains."""
    actions: tuple[Action, ...]
    """By begin."""
    calms: tuple[Span, ...]
    """Stretches in which nothing goes on, in seconds since the begin; the first and the last one are among them."""


class Dice:
    """Draws from what `random.Random.random` gives: the only method that Python promises to keep as it is."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def between(self, low: float, high: float) -> float:
        """A number, with two decimals."""
        return round(low + (high - low) * self._random.random(), 2)

    def pick(self, choices: Sequence[T]) -> T:
        """One of them."""
        return choices[int(self._random.random() * len(choices))]

    def shuffled(self, choices: Sequence[T]) -> list[T]:
        """All of them, in some order."""
        left = list(choices)
        return [left.pop(int(self._random.random() * len(left))) for _ in choices]


def make(seed: int, minutes: float, guests: Mapping[str, str]) -> Schedule:
    """Make a schedule.

    Arguments:
        guests: the storage of each guest by name; empty for storage that never hangs.
    """
    return _Maker(seed, minutes * 60, guests).make()


class _Maker:
    def __init__(self, seed: int, seconds: float, guests: Mapping[str, str]) -> None:
        self._seed = seed
        self._seconds = seconds
        self._guests = guests
        self._storages = sorted({storage for storage in guests.values() if storage})
        self._dice = Dice(seed)
        self._bag: list[str] = []
        self._actions: list[Action] = []

    def make(self) -> Schedule:
        readers = self._dice.pick(READERS)
        calms = [(0.0, FIRST_CALM)]
        now, last = FIRST_CALM, self._seconds - LAST_CALM
        while last - now >= STORM[0]:
            end = min(last, round(now + self._dice.between(*STORM), 2))
            self._storm(now, end)
            now = end
            if last - now >= CALM[0] + STORM[0]:
                calm = self._dice.between(*CALM)
                calms.append((now, round(now + calm, 2)))
                now = round(now + calm, 2)
            else:
                break
        calms.append((now, self._seconds))
        return Schedule(self._seed, self._seconds, readers, tuple(sorted(self._actions)), tuple(calms))

    def _storm(self, begin: float, end: float) -> None:
        parts = max(1, round((end - begin) / STORM_PART))
        wanted = sum(self._dice.pick(AT_ONCE) for _ in range(parts))
        # Those that find no place stay in the bag, and are tried first in the next storm.
        kept = []
        for _ in range(wanted):
            kind = self._draw(begin)
            action = self._place(kind, begin, end)
            if action is None:
                kept.append(kind)
            else:
                self._actions.append(action)
        self._bag += kept

    def _draw(self, now: float) -> str:
        """The next kind: all come once, in some order, before one comes again."""
        while True:
            if not self._bag:
                self._bag = self._dice.shuffled(sorted(KINDS))
            kind = self._bag.pop()
            is_late = self._seconds > SHORT and now > RESTARTS_UNTIL * self._seconds
            if KINDS[kind].resource != COLLECTD or not is_late:
                return kind

    def _place(self, name: str, begin: float, end: float) -> Action | None:
        """An action of a kind that is in nobody's way; None where there is no room for one."""
        kind = KINDS[name]
        for _ in range(ATTEMPTS):
            start = self._dice.between(begin, max(begin, end - max(kind.shortest, APART)))
            stop = min(end, round(start + self._dice.between(kind.shortest, kind.longest), 2))
            action = Action(start, stop, name, self._targets(kind), self._dice.pick(kind.details))
            if stop - start >= kind.shortest and not any(_clash(action, other) for other in self._actions):
                return action
        return None

    def _targets(self, kind: Kind) -> tuple[str, ...]:
        storage = self._dice.pick(self._storages) if kind.storage else ""
        eligible = sorted(name for name, on in self._guests.items() if kind.storage != OWN or on == storage)
        number = kind.guests if kind.fixed else self._dice.pick(range(1, kind.guests + 1)) if kind.guests else 0
        guests = sorted(self._dice.shuffled(eligible)[:number])
        return ((storage,) if storage else ()) + tuple(guests)


def _clash(one: Action, other: Action) -> bool:
    """Whether two actions cannot go on at the same time."""
    if one.begin > other.end + APART or other.begin > one.end + APART:
        return False
    resources = [{*action.targets, KINDS[action.kind].resource} - {""} for action in (one, other)]
    return bool(resources[0] & resources[1])
