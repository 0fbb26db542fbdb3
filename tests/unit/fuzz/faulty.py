"""Targets with a fault each, by which the fuzzer is tested."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence

from tests.fuzz import mutation
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Plain, Target, require

CORPUS = ("first", "the second one", "x" * 50)


class Harmless(Target):
    """Takes every text."""

    name = "harmless"
    share = 1
    what = "texts"

    def corpus(self) -> Sequence[Plain]:
        return CORPUS

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts(("!",)), strange=0.0)

    def run(self, data: Plain) -> None:
        pass


class Raises(Harmless):
    """Raises another exception than it should, for some texts in one place, and for some in another."""

    name = "raises"

    def run(self, data: Plain) -> None:
        if "!" in data:
            {}[data]
        if "\n" in data:
            int("no number")


class Breaks(Harmless):
    """Gives a result that must not be."""

    name = "breaks"

    def run(self, data: Plain) -> None:
        require("!" not in data, "there is a !")


class Loops(Harmless):
    """Never comes back from Python code, and catches everything that is an Exception."""

    name = "loops"

    def run(self, data: Plain) -> None:
        while "!" in data:
            try:
                time.monotonic()
            except Exception:
                continue


class Waits(Harmless):
    """Waits for what never happens, which takes no CPU time."""

    name = "waits"

    def run(self, data: Plain) -> None:
        if "!" in data:
            threading.Event().wait()


class Slow(Harmless):
    """Takes CPU time."""

    name = "slow"
    SECONDS = 0.1

    def run(self, data: Plain) -> None:
        ends = time.thread_time() + self.SECONDS
        while "!" in data and time.thread_time() < ends:
            pass


class Leaks(Harmless):
    """Keeps something of every input."""

    name = "leaks"
    SIZE = 50_000

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def run(self, data: Plain) -> None:
        self.kept.append(b"x" * self.SIZE)


class Takes(Harmless):
    """Takes much memory for some texts, and gives it back."""

    name = "takes"
    SIZE = 24 << 20

    def run(self, data: Plain) -> None:
        if "!" in data:
            b"x" * self.SIZE


class Dies(Harmless):
    """Ends the process for some texts."""

    name = "dies"

    def run(self, data: Plain) -> None:
        if "!" in data:
            os._exit(3)


class Lost(Harmless):
    """Never comes back, and no signal can change that, as in a C library."""

    name = "lost"

    def run(self, data: Plain) -> None:
        if "!" in data:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
            threading.Event().wait()


class Malformed(Harmless):
    """The fuzzer's own part has a fault."""

    name = "malformed"

    def make(self, *_: object) -> Plain:
        raise ZeroDivisionError("in the fuzzer")
