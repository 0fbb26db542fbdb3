"""What a target is: a kind of input, and the code of virt2 that takes it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.mutation import Mutator

Plain = Any
"""An input: texts, bytes, numbers, booleans, None, and tuples, lists and dictionaries of these. Its ``repr`` is enough
to make it again."""


class Broken(AssertionError):
    """Something that must hold for every input does not hold for this one."""


def require(holds: object, words: str) -> None:
    """Raise `Broken` unless something holds. The words must not depend on the input, because they tell faults apart."""
    if not holds:
        raise Broken(words)


class Target(ABC):
    """A kind of input, and what is done with it. One object serves one session.

    Attributes:
        name: what ``scripts/fuzz --only`` takes.
        share: of all inputs of a run, how many are for this target, compared with others.
        what: what is fuzzed, in a few words.
    """

    name: str
    share: int
    what: str

    @abstractmethod
    def corpus(self) -> Sequence[Plain]:
        """Give inputs as they really come. Mutation begins with them."""

    @abstractmethod
    def mutator(self) -> Mutator:
        """Give what changes inputs, with this target's vocabulary."""

    def fresh(self) -> st.SearchStrategy[Plain] | None:
        """Give a strategy for inputs that hypothesis builds from a grammar; None where there is none."""
        return None

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        """Make a new input of two known ones. A target whose inputs have a fixed shape keeps it here."""
        return mutator.change(random, base, other)

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        """Make an input of about so many bytes."""
        return mutator.inflate(random, base, size)

    @abstractmethod
    def run(self, data: Plain) -> None:
        """Give an input to virt2, and check what comes back.

        Documented errors are caught here. Anything else that is raised is a failure.
        """

    def close(self) -> None:  # noqa: B027 - most targets make nothing
        """Remove what the target made."""
