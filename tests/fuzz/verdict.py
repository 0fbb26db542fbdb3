"""Judges one input: has it run within its bounds, and says how it fails."""

from __future__ import annotations

import functools
import marshal
import traceback
from pathlib import Path
from typing import NamedTuple

from tests.fuzz import memory, watch
from tests.fuzz.target import Broken, Plain, Target
from tests.fuzz.watch import Bounds, Hung, Watch

RAISED, BROKEN, SLOW, HUNG, LARGE = "raised", "broken", "slow", "hung", "memory"
"""Kinds of failures of one input."""

MOST_FRAMES = 6
LONGEST_WORDS = 2000
_ROOT = Path(__file__).resolve().parents[2]
_ALWAYS = frozenset({__file__, watch.__file__})
"""Files that are in every traceback, and say nothing."""


class Verdict(NamedTuple):
    """How one input failed."""

    kind: str
    place: str
    """Where it was raised, or what did not hold. Failures of one kind and place are the same fault."""
    words: str
    """What happened, with the end of the traceback."""

    @property
    def fault(self) -> tuple[str, str]:
        """What tells faults apart."""
        return self.kind, self.place


def packed(data: Plain) -> bytes:
    """Give the bytes of an input. Equal inputs give equal bytes, and only they do."""
    # The second version of the format knows no references to what was there before.
    return marshal.dumps(data, 2)


class Judge:
    """Runs the inputs of one target.

    It is a context, within which an input that hangs is ended.

    Arguments:
        target: what is run.
        bounds: what an input may take.
    """

    def __init__(self, target: Target, bounds: Bounds) -> None:
        self._target = target
        self._bounds = bounds
        self._watch = Watch(bounds)

    def __enter__(self) -> Judge:
        self._watch.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._watch.__exit__()

    def judge(self, data: Plain, size: int) -> Verdict | None:
        """Run one input of about so many bytes. Say how it fails; None where it does not."""
        try:
            seconds = self._watch.run(lambda: self._target.run(data), size)
        except Hung as error:
            return Verdict(HUNG, _entry(error), f"it was ended, because it took too long\n{_end_of(error)}")
        except Broken as error:
            return Verdict(BROKEN, str(error), _end_of(error))
        except Exception as error:
            return Verdict(RAISED, f"{type(error).__name__} {_place(error)}", _end_of(error))
        most = self._bounds.seconds_for(size)
        if seconds > most:
            return Verdict(SLOW, "", f"it took {seconds:.2f} s, and {most:.2f} s are what {size} bytes may take")
        return None

    def judge_memory(self, data: Plain, size: int) -> Verdict | None:
        """Run one input again, and say whether it takes too much memory. That takes several times as long."""
        taken, most = memory.taken_by(functools.partial(self.judge, data, size)), self._bounds.bytes_for(size)
        if taken <= most:
            return None
        words = f"it took {taken >> 20} MiB of memory, and {most >> 20} MiB are what {size} bytes may take"
        return Verdict(LARGE, "", words)

    def fails_so(self, verdict: Verdict, data: Plain) -> bool:
        """Run an input, and tell whether it fails by the same fault."""
        judge = self.judge_memory if verdict.kind == LARGE else self.judge
        found = judge(data, len(packed(data)))
        return found is not None and found.fault == verdict.fault


def _end_of(error: BaseException) -> str:
    """Give the end of a traceback, without the part that is always the same."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _ALWAYS]
    lines = [*traceback.format_list(frames[-MOST_FRAMES:]), *traceback.format_exception_only(type(error), error)]
    return "".join(lines).rstrip()[:LONGEST_WORDS]


def _place(error: BaseException) -> str:
    """Say where something was raised: the last line of virt2 on the way there, else the last line of all."""
    frame = _frames(error)[-1]
    return f"{_path(frame)}:{frame.lineno}"


def _entry(error: BaseException) -> str:
    """Say which function of virt2 was called that did not come back. The line in it depends on the moment."""
    frame = _frames(error)[0]
    return f"{frame.name} in {_path(frame)}"


def _frames(error: BaseException) -> list[traceback.FrameSummary]:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename not in _ALWAYS]
    return [frame for frame in frames if f"{_ROOT}/virt2/" in frame.filename] or frames


def _path(frame: traceback.FrameSummary) -> str:
    return frame.filename.removeprefix(f"{_ROOT}/")
