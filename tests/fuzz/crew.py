"""Runs sessions in processes of their own, some at a time, and ends those that never come back."""

from __future__ import annotations

import multiprocessing
import resource
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing import connection, sharedctypes
from typing import Any, NamedTuple

from tests.fuzz.recipes import Kitchen
from tests.fuzz.session import DIED, Failure, Outcome, Position, Session
from tests.fuzz.target import Target
from tests.fuzz.verdict import HUNG
from tests.fuzz.watch import DEFAULT_BOUNDS, Bounds

MOST_MEMORY = 4 << 30
"""Bytes of address space that a session may have. What takes more fails with a MemoryError, and not this machine."""
LOST = 300.0
"""Seconds by the clock after which an input that not even a signal could end is ended with its process. It is far above
what `tests.fuzz.watch.Bounds` give an input."""
LOOK = 1.0
"""Seconds between two looks at the processes."""
SAY = 60.0
"""Seconds between two lines of progress."""

_CONTEXT = multiprocessing.get_context("spawn")
"""Each session begins with a fresh interpreter, so that its memory tells of itself only."""


class Job(NamedTuple):
    """One session that is to be run."""

    target: type[Target]
    seed: int
    inputs: int
    bounds: Bounds = DEFAULT_BOUNDS
    lost: float = LOST


class Crew:
    """Runs jobs, so many at a time.

    Arguments:
        processes: how many.
        say: called with lines of progress.
    """

    def __init__(self, processes: int, say: Callable[[str], object]) -> None:
        self._processes = processes
        self._say = say

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Run all jobs. Give their outcomes in the order in which they ended."""
        waiting, running, outcomes = list(jobs), list[_Worker](), list[Outcome]()
        said = time.monotonic()
        try:
            while waiting or running:
                while waiting and len(running) < self._processes:
                    running.append(_Worker(waiting.pop(0)))
                connection.wait([worker.pipe for worker in running], LOOK)
                for worker in tuple(running):
                    outcome = worker.outcome()
                    if outcome is not None:
                        running.remove(worker)
                        outcomes.append(outcome)
                        self._say(f"{outcome.target}: {outcome.inputs:,} inputs, {len(outcome.failures)} faults")
                if running and time.monotonic() - said > SAY:
                    said = time.monotonic()
                    self._say(", ".join(worker.progress() for worker in running))
        finally:
            for worker in running:
                worker.end()
        return outcomes


class _Worker:
    """One process, and what it is doing."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._began = time.monotonic()
        self._state = sharedctypes.RawArray("Q", 3)  # seed and number of the input, and how many there were
        self._since = sharedctypes.RawArray("d", 1)  # when it began; 0 where none is run
        self.pipe, theirs = _CONTEXT.Pipe(duplex=False)
        self._process = _CONTEXT.Process(target=_work, args=(job, theirs, self._state, self._since), daemon=True)
        self._process.start()
        theirs.close()

    def progress(self) -> str:
        """Say how far it is."""
        return f"{self._job.target.name} {self._state[2]:,} of {self._job.inputs:,}"

    def outcome(self) -> Outcome | None:
        """Give what came of it; None while it runs. Raise RuntimeError where the fuzzer itself failed."""
        if self.pipe.poll():
            try:
                sent = self.pipe.recv()
            except EOFError:
                self._process.join()
                return self._lost(DIED, f"the process died, with exit code {self._process.exitcode}")
            self.end()
            if isinstance(sent, str):
                raise RuntimeError(f"{self._job.target.name}, seed {self._job.seed}: {sent}")
            return Outcome(*sent)
        if self._since[0] and time.monotonic() - self._since[0] > self._job.lost:
            self.end()
            return self._lost(HUNG, f"it did not come back in {self._job.lost:.0f} s, and no signal could end it")
        return None

    def end(self) -> None:
        """End the process, if it still runs."""
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def _lost(self, kind: str, words: str) -> Outcome:
        """Say which input the process was lost to."""
        seed, number, inputs = self._state
        target = self._job.target()
        try:
            data = Kitchen(target).input_at(seed, number)
        finally:
            target.close()
        failure = Failure(target.name, kind, "", words, seed, number, data)
        return Outcome(target.name, inputs, time.monotonic() - self._began, 0, 0, (failure,), 1)


def _work(job: Job, pipe: Any, state: Any, since: Any) -> None:
    """Run one session; the process's body."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))

    def begin(position: Position) -> None:
        state[0], state[1] = position
        state[2] += 1
        since[0] = time.monotonic()

    target = job.target()
    try:
        pipe.send(tuple(Session(target, job.seed, job.bounds, begin).run(job.inputs)))
    except Exception:
        pipe.send(traceback.format_exc())
    finally:
        target.close()
