"""Runs one target in this process: makes inputs, has each new one judged, keeps what failed, and looks at memory."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from tests.fuzz import memory
from tests.fuzz.recipes import Kitchen, round_seed
from tests.fuzz.shrink import ATTEMPTS, shrink
from tests.fuzz.target import Plain, Target
from tests.fuzz.verdict import BROKEN, HUNG, RAISED, SLOW, Judge, Verdict, packed
from tests.fuzz.watch import DEFAULT_BOUNDS, Bounds

LEAK, DIED = "leak", "died"
"""Kinds of failures of a whole session, in addition to those of one input."""

SEEN_BITS = 27
"""Of how many bits of a hash it is remembered that an input was there. A million inputs then have at most one in a
hundred taken for one that was there, and is not counted."""
MOST_FAILURES = 20
"""Different failures that a session describes. It only counts the others."""
MOST_HUNG = 10
"""Inputs that are ended because they take too long, after which a session ends early: each costs seconds."""
SLOW_ATTEMPTS = 30
"""Tries to make an input small that fails by taking long."""
WARM_UP = 50_000
"""Inputs after which the caches of virt2 and of Python are taken to be full."""


class Failure(NamedTuple):
    """One fault that was found."""

    target: str
    kind: str
    place: str
    words: str
    """These three are those of a `Verdict`."""
    seed: int
    """Of the round."""
    position: int
    """Which input of the round it was, from 0."""
    data: Plain
    """The input, made small."""


class Outcome(NamedTuple):
    """What came of a session."""

    target: str
    inputs: int
    """How many different inputs were run."""
    seconds: float
    """By the clock."""
    before: int
    """Bytes of memory that the process had when its caches were full, or at the end where there were few inputs."""
    after: int
    """Bytes of memory at the end."""
    failures: tuple[Failure, ...]
    failed: int
    """How many inputs failed, of whatever fault."""


class Position(NamedTuple):
    """Which input is being run: what a process that never comes back was doing."""

    seed: int
    number: int


class Session:
    """One target, run for a number of inputs.

    Arguments:
        target: what is run.
        seed: of the run.
        bounds: what an input may take.
        begin: called with the position of each input before it is run.
        warm_up: inputs after which the memory of the process must not grow any more.
    """

    def __init__(
        self,
        target: Target,
        seed: int,
        bounds: Bounds = DEFAULT_BOUNDS,
        begin: Callable[[Position], object] = lambda position: None,
        warm_up: int = WARM_UP,
    ) -> None:
        self._target = target
        self._seed = seed
        self._bounds = bounds
        self._begin = begin
        self._judge = Judge(target, bounds)
        self._warm_up = warm_up
        self._seen = bytearray(b"\1") * (1 << (SEEN_BITS - 3))
        # Every page is written to now, so that it does not look like a leak later.
        self._seen[:] = bytes(len(self._seen))
        self._failures: dict[tuple[str, str], Failure] = {}
        self._failed = 0
        self._hung = 0
        self._inputs = 0
        self._settled = 0
        """Bytes of memory that were in use after the warm-up; 0 before. After a leak was told it is what is left."""
        self._before = 0
        """The same, whatever was told."""

    def run(self, inputs: int) -> Outcome:
        """Run so many different inputs. It ends earlier where inputs hang."""
        began = time.monotonic()
        kitchen = Kitchen(self._target)
        number = 0
        with self._judge:
            while not self._is_over(inputs):
                self._round(kitchen, round_seed(self._seed, number), inputs)
                number += 1
        memory.give_back(thoroughly=True)
        after = memory.now()
        return Outcome(
            self._target.name,
            self._inputs,
            time.monotonic() - began,
            self._before or after,
            after,
            tuple(self._failures.values()),
            self._failed,
        )

    def run_one(self, data: Plain) -> Failure | None:
        """Run one input. Say how it fails; None where it does not."""
        size = len(packed(data))
        with self._judge as judge:
            verdict = judge.judge(data, size) or judge.judge_memory(data, size)
        return None if verdict is None else Failure(self._target.name, *verdict, self._seed, 0, data)

    def _round(self, kitchen: Kitchen, seed: int, inputs: int) -> None:
        position = 0
        for batch in kitchen.batches(seed):
            run: list[tuple[int, Plain, int]] = []
            memory.give_back()
            memory.forget_most()
            began = memory.now()
            for data in batch:
                size = self._size_if_new(data)
                if size:
                    run.append((position, data, size))
                    self._take(Position(seed, position), data, size)
                position += 1
                if self._is_over(inputs):
                    break
            self._look_at_memory(seed, run, began)
            if self._is_over(inputs):
                return

    def _is_over(self, inputs: int) -> bool:
        return self._inputs >= inputs or self._hung >= MOST_HUNG

    def _size_if_new(self, data: Plain) -> int:
        """Give about how many bytes an input has; 0 where the same one was there before."""
        content = packed(data)
        byte, bit = divmod(hash(content) & ((1 << SEEN_BITS) - 1), 8)
        if self._seen[byte] >> bit & 1:
            return 0
        self._seen[byte] |= 1 << bit
        return len(content)

    def _take(self, position: Position, data: Plain, size: int) -> None:
        """Run one input, and keep it if it fails."""
        self._begin(position)
        verdict = self._judge.judge(data, size)
        self._inputs += 1
        if verdict is None:
            return
        self._failed += 1
        self._hung += verdict.kind == HUNG
        if verdict.fault in self._failures or len(self._failures) >= MOST_FAILURES:
            return
        if verdict.kind == SLOW and not all(self._judge.fails_so(verdict, data) for _ in range(2)):
            # Something else has taken the time, such as the collection of garbage.
            self._failed -= 1
            return
        self._keep(verdict, position, data)

    def _keep(self, verdict: Verdict, position: Position, data: Plain) -> None:
        """Keep a fault that was not there before, with the smallest input that has it."""
        if verdict.fault not in self._failures:
            attempts = ATTEMPTS if verdict.kind in (RAISED, BROKEN) else SLOW_ATTEMPTS
            small = shrink(data, functools.partial(self._judge.fails_so, verdict), attempts)
            self._failures[verdict.fault] = Failure(self._target.name, *verdict, *position, small)

    def _look_at_memory(self, seed: int, run: list[tuple[int, Plain, int]], began: int) -> None:
        """See whether an input of this batch took too much memory, and whether it is given back."""
        largest = max((size for _, _, size in run), default=0)
        if memory.most() - began > self._bounds.bytes_for(largest):
            self._blame(seed, run)
        if not self._settled:
            if self._inputs >= self._warm_up:
                memory.give_back(thoroughly=True)
                self._settled = self._before = memory.now()
        elif run and self._kept() > self._bounds.memory:
            memory.give_back(thoroughly=True)
            if self._kept() > self._bounds.memory:
                self._leaked(seed, run)

    def _kept(self) -> int:
        return memory.now() - self._settled

    def _leaked(self, seed: int, run: list[tuple[int, Plain, int]]) -> None:
        self._failed += 1
        kept, (number, data, _) = self._kept(), run[-1]
        words = f"{kept >> 20} MiB of memory were taken since the first {self._warm_up} inputs, and not given back"
        verdict = Verdict(LEAK, "", words)
        self._failures.setdefault(verdict.fault, Failure(self._target.name, *verdict, seed, number, data))
        self._settled = memory.now()

    def _blame(self, seed: int, run: Iterable[tuple[int, Plain, int]]) -> None:
        """Find the inputs that take so much, by running each alone."""
        for number, data, size in run:
            verdict = self._judge.judge_memory(data, size)
            if verdict is not None:
                self._failed += 1
                self._keep(verdict, Position(seed, number), data)
