"""Says a thing once: what was said is remembered, within bounds, and some time passes before it is said again.

There are three kinds of things. An event is logged the first time (`Once`). A condition is logged when it begins and
when it is over (`Conditions`). A trouble that many domains have in the same way is one line with their number
(`Gatherer`).

Any thread may use any of these. No lock is held while a line is logged.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Hashable

log = logging.getLogger(__name__)

MOST = 10000
"""Most things that are remembered. These are some for each domain of a large host."""
APART = 60.0
"""Fewest seconds between two lines that say the same."""
HELD = 15.0
"""Seconds after which a condition that does not come back is over. They are longer than the usual interval of 10 s,
because a condition that changes with every read is not over."""
STILL = 600.0
"""Seconds after which a condition that comes and goes all the time is logged again."""
GATHERED = 2.0
"""Seconds for which similar troubles are gathered. All readers of one interval read within 1.5 s."""
NAMED = 5
"""Most names of domains in one line."""
MOST_GROUPS = 500
"""Most kinds of trouble that are gathered at a time."""

Clock = Callable[[], float]


class Once:
    """Remembers what was said.

    Arguments:
        most: how many things are remembered. Beyond that, what was asked for longest ago is forgotten first, and may be
            said again.
        again: seconds after which a thing may be said again; None for never.
        clock: monotonic seconds; not asked where `again` is None.
        silent_when_full: whether nothing is forgotten, and nothing more is said once `most` things were. This is for
            things that differ each time, such as the texts of unexpected errors.
    """

    def __init__(
        self,
        most: int = MOST,
        again: float | None = None,
        clock: Clock = time.monotonic,
        silent_when_full: bool = False,
    ) -> None:
        self._most = most
        self._again = again
        self._silent_when_full = silent_when_full
        self._clock = clock
        self._said: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Once said={len(self._said)}>"

    def __len__(self) -> int:
        return len(self._said)

    def first(self, *thing: Hashable) -> bool:
        """Note a thing. Returns whether it is to be said now; then the caller says it, and the next one is told no."""
        now = 0.0 if self._again is None else self._clock()
        with self._lock:
            said = self._said.get(thing)
            if said is not None and (self._again is None or now - said < self._again):
                self._said.move_to_end(thing)
                return False
            if said is None and self._silent_when_full and len(self._said) >= self._most:
                return False
            self._said[thing] = now
            self._said.move_to_end(thing)
            if len(self._said) > self._most:
                self._said.popitem(last=False)
            return True

    def review(self) -> None:
        """Forget what may be said again by now."""
        if self._again is not None:
            now = self._clock()
            with self._lock:
                for thing in [thing for thing, said in self._said.items() if now - said >= self._again]:
                    del self._said[thing]

    def forget(self, start: Hashable) -> None:
        """Forget all things that begin with `start`, such as what was said about one domain."""
        with self._lock:
            for thing in [thing for thing in self._said if thing[0] == start]:  # type: ignore[index]
                del self._said[thing]


class _Condition:
    """One condition. It is changed under the lock of its `Conditions`."""

    __slots__ = ("begun", "count", "said", "since", "wrong")

    def __init__(self, now: float) -> None:
        self.wrong = False
        self.since = now
        """Since when it has been wrong, or right."""
        self.said = False
        """Whether the last line was that it is wrong."""
        self.begun: float | None = None
        """When the last such line was logged."""
        self.count = 0
        """How often it began since the last line."""


class Conditions:
    """What is wrong. Each condition is logged once when it begins and once when it is over.

    A condition is over when nothing was wrong for a while. One that begins again soon after it was over is logged a
    minute after the last line about its beginning. One that comes and goes all the time is logged every ten minutes.
    Each such line says how often it began.

    Arguments:
        held: seconds for which nothing must be wrong before a condition is over.
        clock: monotonic seconds.
    """

    def __init__(self, held: float = HELD, clock: Clock = time.monotonic) -> None:
        self._held = held
        self._clock = clock
        self._conditions: OrderedDict[str, _Condition] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Conditions {sorted(self._conditions)}>"

    def update(self, wrong: bool, begin: str, end: str) -> None:
        """Log `begin` if something has become wrong, and `end` if it is right again. `end` identifies the condition.

        Each call also logs what else is over by now.
        """
        now = self._clock()
        with self._lock:
            begun = self._turn(wrong, begin, end, now)
            over = self._over(now)
        for text in begun:
            log.warning("%s", text)
        for text in over:
            log.info("%s", text)

    def review(self) -> None:
        """Log what is over by now. This is for times when `update` is not called."""
        with self._lock:
            over = self._over(self._clock())
        for text in over:
            log.info("%s", text)

    def _turn(self, wrong: bool, begin: str, end: str, now: float) -> list[str]:
        """Note how a condition is now. Gives the line which says that it is wrong, if that is due."""
        condition = self._conditions.get(end)
        if condition is None:
            if not wrong:
                return []
            condition = self._conditions[end] = _Condition(now)
            if len(self._conditions) > MOST:
                self._conditions.popitem(last=False)
        if wrong != condition.wrong:
            condition.wrong, condition.since = wrong, now
            condition.count += wrong
        if not wrong or (condition.said and not condition.count):
            return []
        passed = None if condition.begun is None else now - condition.begun
        if passed is not None and passed < (STILL if condition.said else APART):
            return []
        often = condition.count
        condition.said, condition.begun, condition.count = True, now, 0
        return [begin if passed is None or often < 2 else f"{begin} (this began {often} times in {passed:.0f} s)"]

    def _over(self, now: float) -> list[str]:
        """Give lines for what is over, and forget what was over long ago."""
        lines = []
        for name, condition in list(self._conditions.items()):
            if condition.wrong or now - condition.since < self._held:
                continue
            if condition.said:
                often = f" (this began {condition.count} more times)" if condition.count else ""
                lines.append(f"{name}{often}")
                condition.said, condition.count = False, 0
            elif condition.begun is None or now - condition.begun >= APART:
                del self._conditions[name]
        return lines


class _Group:
    """Troubles that are similar. It is changed under the lock of its `Gatherer`."""

    __slots__ = ("differ", "first", "names", "number", "said", "text")

    def __init__(self) -> None:
        self.text = ""
        self.differ = False
        """Whether the texts are similar, but not the same."""
        self.names: list[str] = []
        self.number = 0
        self.first = 0.0
        """When the first trouble was added after the last line."""
        self.said: float | None = None
        """When the last line was logged."""


class Gatherer:
    """Troubles of domains. Each is logged once, and the same trouble of many domains is one line with their number.

    Arguments:
        wait: seconds between the first trouble of a kind and the line about it, in which others are gathered.
        most: how many troubles of domains are remembered.
        clock: monotonic seconds.
    """

    def __init__(self, wait: float = GATHERED, most: int = MOST, clock: Clock = time.monotonic) -> None:
        self._wait = wait
        self._clock = clock
        self._once = Once(most)
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<Gatherer waiting={sum(group.number for group in self._groups.values())}>"

    def add(self, uuid: str, name: str, text: str) -> None:
        """Have a trouble of a domain logged. Does nothing if it was logged for that domain before."""
        if not self._once.first(uuid, text):
            return
        now = self._clock()
        with self._lock:
            kind = _kind(text, name, uuid)
            group = self._groups.setdefault(kind, _Group())
            self._groups.move_to_end(kind)
            if not group.number:
                group.first, group.text, group.differ, group.names = now, text, False, []
            group.differ = group.differ or group.text != text
            group.number += 1
            if len(group.names) < NAMED:
                group.names.append(name)
            lines = [_line(self._groups.popitem(last=False)[1])] if len(self._groups) > MOST_GROUPS else []
        _say(lines)

    def forget(self, uuid: str) -> None:
        """Have the troubles of a domain logged again if they come again."""
        self._once.forget(uuid)

    def say(self, everything: bool = False) -> None:
        """Log what has been gathered for long enough, or everything. Each kind has at most one line a minute."""
        now = self._clock()
        lines = []
        with self._lock:
            for kind, group in list(self._groups.items()):
                if not group.number:
                    if group.said is None or now - group.said >= APART:
                        del self._groups[kind]
                elif everything or (
                    now - group.first >= self._wait and (group.said is None or now - group.said >= APART)
                ):
                    lines.append(_line(group))
                    group.said, group.number = now, 0
        _say(lines)


def _say(lines: Collection[str]) -> None:
    for line in lines:
        if line:
            log.warning("%s", line)


def _line(group: _Group) -> str:
    """Make one line for a group. It is empty if nothing was added after the last line."""
    if group.number <= 1:
        return f"domain {group.names[0]}: {group.text}" if group.number else ""
    others = group.number - len(group.names)
    names = ", ".join(group.names) + (f" and {others} others" if others > 1 else " and 1 other" if others else "")
    example = f" have a trouble like that of {group.names[0]}" if group.differ else ""
    return f"{group.number} domains ({names}){example}: {group.text}"


def _kind(text: str, name: str, uuid: str) -> str:
    """Give what similar texts have in common: everything except numbers, and the domain's own name and UUID."""
    text = re.sub(rf"(?<!\w)({re.escape(uuid)}|{re.escape(name)})(?!\w)", "", text)
    return re.sub(r"[0-9]+", "0", text)
