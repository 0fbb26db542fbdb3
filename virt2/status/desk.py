"""Where questions are answered: takes a line, gives a line, and never fails."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from virt2.once import Once
from virt2.status import building, story, wire
from virt2.status.snapshot import Snapshot
from virt2.status.wire import Question, Refused
from virt2.text.printable import quoted

log = logging.getLogger(__name__)

FRESH = 0.2
"""Seconds for which an answer is given again to the same question, so that a crowd of clients costs one answer. A
viewer that asks twice a second or less often is told something new each time."""
MOST_SAID = 20
"""Unexpected failures that are said at the most, each once."""

ANSWERS: Mapping[str, Callable[[Snapshot], Any]] = {
    "hello": building.hello,
    "domains": building.domains,
    "limits": building.limits,
    "top": building.top,
}
"""What answers each question that is about no single domain."""


def find_answer(question: Question, snapshot: Snapshot) -> Any:
    """Give the answer to a question, as `virt2.status.answers` has it.

    Raises:
        UnknownDomain: there is no such domain.
    """
    if question.ask == "explain":
        return story.explain(snapshot, question.domain)
    return ANSWERS[question.ask](snapshot)


class Desk:
    """Answers lines. Not for two threads at a time.

    Arguments:
        take: takes a snapshot; must not block.
        clock: monotonic seconds.
    """

    def __init__(self, take: Callable[[], Snapshot], clock: Callable[[], float] = time.monotonic) -> None:
        self._take = take
        self._clock = clock
        self._failures = Once(MOST_SAID, silent_when_full=True)
        self._given: dict[str, tuple[Question, float, bytes]] = {}
        """The last answer to each kind of question, and when it was made."""

    def __repr__(self) -> str:
        return f"<Desk given={sorted(self._given)}>"

    def reply(self, line: bytes) -> bytes:
        """Answer one line with one line. Never raises."""
        try:
            return self._answer(wire.parse(line))
        except (Refused, story.UnknownDomain) as error:
            return wire.error(str(error))
        except Exception as error:
            if self._failures.first(repr(error)):
                log.exception("unexpected failure with a question at the status socket, said once")
            return wire.error(f"virt2 cannot answer because of a fault of its own, {quoted(repr(error))}; see its log")

    def tidy(self) -> bool:
        """Forget answers that are not given again, because one of a large host takes a megabyte.

        Returns whether there are answers left.
        """
        now = self._clock()
        self._given = {ask: given for ask, given in self._given.items() if now - given[1] < FRESH}
        return bool(self._given)

    def _answer(self, question: Question) -> bytes:
        given = self._given.get(question.ask)
        if given is not None and given[0] == question and self._clock() - given[1] < FRESH:
            return given[2]
        line = b"".join(wire.answer(find_answer(question, self._take())))
        self._given[question.ask] = (question, self._clock(), line)
        return line
