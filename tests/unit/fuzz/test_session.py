"""The fuzzer finds what it is for: targets that raise, break their promise, hang, are slow, take memory or keep it."""

from __future__ import annotations

import pytest

from tests.fuzz import report
from tests.fuzz.recipes import Kitchen, round_seed
from tests.fuzz.session import LEAK, MOST_HUNG, Failure, Outcome, Session
from tests.fuzz.target import Target
from tests.fuzz.verdict import BROKEN, HUNG, LARGE, RAISED, SLOW
from tests.fuzz.watch import DEFAULT_BOUNDS, MIB, Bounds
from tests.unit.fuzz import faulty

SEED = 7
INPUTS = 400
MANY = 3000
"""Inputs among which there surely is one with a certain character."""
QUICK = Bounds(hang=0.1, wait=0.1, tick=0.01)
PROMPT = Bounds(slow=0.05)
"""Bounds of time that the targets with a fault break within a second."""
SMALL = Bounds(memory=16 * MIB, memory_per_byte=0)
"""Bounds of memory that they break with some hundred inputs."""


def run(target: Target, bounds: Bounds = DEFAULT_BOUNDS, inputs: int = INPUTS) -> Outcome:
    return Session(target, SEED, bounds, warm_up=50).run(inputs)


def only_failure(outcome: Outcome) -> Failure:
    (failure,) = outcome.failures
    assert failure.target == outcome.target
    return failure


def test_a_target_without_a_fault_has_no_failure_and_every_input_is_counted():
    outcome = run(faulty.Harmless())
    assert outcome.inputs == INPUTS
    assert (outcome.failures, outcome.failed) == ((), 0)
    assert outcome.before > 0 < outcome.after


def test_each_fault_is_found_once_with_its_place_and_the_smallest_input():
    outcome = run(faulty.Raises(), inputs=MANY)
    assert outcome.inputs == MANY
    assert outcome.failed > len(outcome.failures) == 2
    found = {failure.place.split(":")[0]: failure for failure in outcome.failures}
    key, value = found["KeyError tests/unit/fuzz/faulty.py"], found["ValueError tests/unit/fuzz/faulty.py"]
    assert (key.kind, key.data) == (RAISED, "!")
    assert (value.kind, value.data) == (RAISED, "\n")
    assert "{}[data]" in key.words
    assert "session.py" not in key.words


def test_what_must_hold_and_does_not_is_found():
    failure = only_failure(run(faulty.Breaks(), inputs=MANY))
    assert (failure.kind, failure.place, failure.data) == (BROKEN, "there is a !", "!")


@pytest.mark.parametrize("target", [faulty.Loops, faulty.Waits])
def test_one_that_hangs_is_ended_by_its_bound_and_named(target):
    outcome = run(target(), QUICK, inputs=10**6)
    failure = only_failure(outcome)
    assert failure.kind == HUNG
    assert failure.place == "run in tests/unit/fuzz/faulty.py"
    assert "!" in failure.data
    # Each of them costs time, so there is an end to them.
    assert outcome.failed == MOST_HUNG


def test_one_that_is_slow_is_found():
    failure = only_failure(run(faulty.Slow(), PROMPT))
    assert failure.kind == SLOW
    assert "!" in failure.data


def test_one_that_is_slow_once_is_not(monkeypatch):
    target = faulty.Slow()
    slow = target.run

    def once(data):
        if "!" in data:
            target.run = lambda data: None
            slow(data)

    target.run = once
    outcome = run(target, PROMPT)
    assert target.run is not once
    assert (outcome.failures, outcome.failed) == ((), 0)


def test_one_that_leaks_is_found():
    outcome = run(faulty.Leaks(), SMALL, MANY // 4)
    failure = only_failure(outcome)
    assert failure.kind == LEAK
    assert outcome.after - outcome.before > SMALL.memory


def test_one_that_takes_too_much_memory_is_found_with_the_input():
    failure = only_failure(run(faulty.Takes(), SMALL))
    assert failure.kind == LARGE
    assert "!" in failure.data
    assert "24 MiB" in failure.words


def test_a_failing_input_can_be_made_again_from_its_seed_and_from_its_repr():
    failures: list[Failure] = []
    for number in range(3):
        failures += Session(faulty.Breaks(), round_seed(SEED, number)).run(MANY).failures
    assert len(failures) == 3
    for failure in failures:
        assert "!" in Kitchen(faulty.Breaks()).input_at(failure.seed, failure.position)
        again = Session(faulty.Breaks(), failure.seed).run(failure.position + 1)
        assert again.failures == (failure,)
        data = report.read(repr(failure.data))
        assert Session(faulty.Breaks(), 0).run_one(data) is not None
    assert Session(faulty.Breaks(), 0).run_one("fine") is None


def test_too_much_memory_is_found_again_in_one_input():
    found = Session(faulty.Takes(), 0, SMALL).run_one("!")
    assert found is not None
    assert found.kind == LARGE


def test_the_same_input_is_run_once():
    run_with: list[object] = []

    class Few(faulty.Harmless):
        def make(self, random, base, other, mutator):
            return random.randrange(5)

        def run(self, data):
            run_with.append(data)

    outcome = run(Few(), inputs=len(faulty.CORPUS) + 5)
    assert outcome.inputs == len(run_with) == len({(type(data), data) for data in run_with})
    assert {data for data in run_with if isinstance(data, int)} == set(range(5))


def test_known_inputs_are_run_as_they_are():
    run_with: list[object] = []

    class Keeps(faulty.Harmless):
        def run(self, data):
            run_with.append(data)

    run(Keeps(), inputs=10)
    assert tuple(run_with[: len(faulty.CORPUS)]) == faulty.CORPUS


def test_a_seed_makes_the_same_inputs_and_another_makes_others():
    def first(seed: int) -> list[object]:
        batches = Kitchen(faulty.Harmless()).batches(seed)
        return [data for _ in range(6) for data in next(batches)]

    assert first(3) == first(3)
    assert len(first(3)) > 500
    assert len(set(map(repr, first(3))) & set(map(repr, first(4)))) < len(first(3)) / 10
