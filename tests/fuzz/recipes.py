"""The part of hypothesis: it chooses from what and how a batch of inputs is made, and a seed makes the batch of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutation import STYLES, Mutator, below, pick
from tests.fuzz.target import Plain, Target

BATCH = 250
"""Inputs of one recipe. This makes the time that hypothesis takes a small part of the whole."""
LARGE_BATCH = 3 << 16
"""Bytes that the inputs of a recipe for large inputs have together, unless fewer than `FEWEST` would be made."""
FEWEST = 3
RECIPES = 40
"""Recipes of one round, which is what one seed makes."""
LARGE = (1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 20)
"""About how many bytes a large input has."""
MOST_CHANGES = 12
"""Changes that one input may go through."""


class Recipe(NamedTuple):
    """What hypothesis chose for one batch."""

    bases: tuple[int, ...]
    """Which inputs of the corpus the batch begins with."""
    fresh: Plain
    """An input that was built from the target's grammar; None where there is none."""
    styles: tuple[str, ...]
    """The kinds of changes that are made."""
    changes: int
    """The most changes that one input goes through."""
    size: int
    """About how many bytes its inputs have; 0 for whatever the changes give."""
    seed: int


def draw(recipes: st.SearchStrategy[Recipe], seed: int, count: int = RECIPES) -> list[Recipe]:
    """Have hypothesis choose recipes. The same seed gives the same ones."""
    found: list[Recipe] = []
    quiet = settings(
        max_examples=count,
        database=None,
        deadline=None,
        derandomize=False,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )

    @hypothesis.seed(seed)
    @quiet
    @given(recipes)
    def collect(recipe: Recipe) -> None:
        found.append(recipe)

    collect()
    return found[:count]


def _recipes(target: Target) -> st.SearchStrategy[Recipe]:
    fresh = target.fresh()
    return st.builds(
        Recipe,
        bases=st.lists(st.integers(0, len(target.corpus()) - 1), min_size=1, max_size=4).map(tuple),
        fresh=st.none() if fresh is None else st.none() | fresh,
        styles=st.lists(st.sampled_from(STYLES), min_size=1, max_size=len(STYLES), unique=True).map(tuple),
        changes=st.integers(1, MOST_CHANGES),
        size=st.integers(0, 9).flatmap(lambda chance: st.just(0) if chance else st.sampled_from(LARGE)),
        seed=st.integers(0, 2**32 - 1),
    )


class Kitchen:
    """Makes the inputs of a target's rounds. It runs nothing of virt2.

    Arguments:
        target: whose inputs these are.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._corpus = tuple(target.corpus())
        self._mutator = target.mutator()
        self._recipes = _recipes(target)

    def batches(self, seed: int) -> Iterator[Iterator[Plain]]:
        """Give the inputs of one round, batch by batch: the known ones first. The same seed gives the same inputs."""
        yield iter(self._corpus)
        for number, recipe in enumerate(draw(self._recipes, seed)):
            # Hypothesis may choose the same twice, and these must not be the same inputs.
            yield self._batch(Random(f"{seed} {number} {recipe.seed}"), recipe)

    def input_at(self, seed: int, position: int) -> Plain:
        """Make one input of a round again, by its place in it."""
        for batch in self.batches(seed):
            for data in batch:
                if position == 0:
                    return data
                position -= 1
        raise IndexError(position)

    def _batch(self, random: Random, recipe: Recipe) -> Iterator[Plain]:
        pool: list[Any] = [self._corpus[number] for number in recipe.bases]
        if recipe.fresh is not None:
            pool.append(recipe.fresh)
            yield recipe.fresh
        mutator = self._mutator.using(recipe.styles)
        for _ in range(max(FEWEST, LARGE_BATCH // recipe.size) if recipe.size else BATCH):
            yield self._one(random, recipe, pool, mutator)

    def _one(self, random: Random, recipe: Recipe, pool: Sequence[Plain], mutator: Mutator) -> Plain:
        data = pick(random, pool)
        if recipe.size:
            data = self._target.inflate(random, data, recipe.size, mutator)
        for _ in range(1 + below(random, recipe.changes)):
            other = pick(random, pool if random.random() < 0.5 else self._corpus)
            data = self._target.make(random, data, other, mutator)
        return data


def round_seed(seed: int, number: int) -> int:
    """Give the seed of a round. The first round has the seed of the run, so that any round can be a run of its own."""
    if number == 0:
        return seed
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4], "big")
