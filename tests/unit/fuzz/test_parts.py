"""The parts of the fuzzer: changes of texts and trees, small inputs, words."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import hostile, mutation, report
from tests.fuzz.__main__ import jobs
from tests.fuzz.mutation import MOST, STYLES, Mutator
from tests.fuzz.session import Failure, Outcome
from tests.fuzz.shrink import candidates, shrink
from tests.fuzz.targets import TARGETS
from tests.fuzz.verdict import RAISED

MUTATOR = Mutator(mutation.texts(("token",)))
LEAVES = st.text(max_size=20) | st.binary(max_size=20) | st.integers() | st.floats() | st.booleans() | st.none()
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.lists(inner, max_size=4).map(tuple) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=12,
)


@given(st.sampled_from(STYLES), st.text(max_size=50), st.text(max_size=50), st.integers(0, 2**32))
def test_a_changed_text_is_a_text_and_a_seed_makes_the_same_one(style, text, other, seed):
    changed = [MUTATOR.strings.change(Random(seed), text, other, [style]) for _ in range(2)]
    assert changed[0] == changed[1]
    assert isinstance(changed[0], str)
    assert len(changed[0]) <= MOST


@given(st.sampled_from(STYLES), st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 2**32))
def test_changed_bytes_are_bytes(style, data, other, seed):
    assert isinstance(MUTATOR.bytes.change(Random(seed), data, other, [style]), bytes)


@pytest.mark.parametrize("style", STYLES)
def test_every_kind_of_change_changes_something(style):
    random = Random(style)
    text = "abc 12 def 34 ghi"
    assert any(MUTATOR.strings.change(random, text, "other", [style]) != text for _ in range(20))


@given(TREES, TREES, st.integers(0, 2**32))
def test_a_changed_tree_leaves_the_old_one_as_it_is(tree, other, seed):
    before = repr(tree)
    MUTATOR.change(Random(seed), tree, other)
    assert repr(tree) == before


@given(TREES, st.integers(0, 2**32), st.sampled_from((1 << 10, 1 << 14)))
def test_an_inflated_tree_is_large_but_bounded(tree, seed, size):
    assert len(repr(MUTATOR.inflate(Random(seed), tree, size))) < 64 * size + 1000 + 100 * len(repr(tree))


def test_a_leaf_may_become_one_of_any_type():
    random, mutator = Random(1), Mutator(mutation.texts(()), strange=1.0)
    types = {type(mutator.change(random, "text", "other")) for _ in range(3000)}
    assert types == {str, int, float, bytes, bool, type(None), tuple, list, dict}


@given(TREES)
def test_every_simpler_input_is_another_one_and_simplifying_has_an_end(tree):
    steps = 0
    while True:
        simpler = next(candidates(tree), None)
        if simpler is None:
            break
        assert repr(simpler) != repr(tree)
        tree, steps = simpler, steps + 1
        assert steps < 5000
    assert not isinstance(tree, (str, bytes, tuple, list, dict)) or not tree


@pytest.mark.parametrize(
    ("data", "fails", "smallest"),
    [
        ("some text with ! in it", lambda text: "!" in text, "!"),
        (b"some bytes with \xff in them", lambda data: b"\xff" in data, b"\xff"),
        ([1, "a", {"key": ["!", 2]}], lambda tree: "!" in str(tree), [{"key": ["!"]}]),
        ((5, 70000), lambda pair: len(pair) == 2 and pair[1] > 100, (0, 101)),
        ({"a": 1.5, "b": True}, lambda found: "b" in found, {"b": False}),
        ("nothing smaller fails", lambda text: text == "nothing smaller fails", "nothing smaller fails"),
    ],
)
def test_the_smallest_that_fails_is_found(data, fails, smallest):
    assert shrink(data, fails) == smallest


def test_the_search_for_a_smaller_one_has_an_end():
    tried: list[object] = []
    shrink("x" * 1000, lambda text: bool(tried.append(text)), attempts=10)
    assert len(tried) == 10


@pytest.mark.parametrize("data", [hostile.VALUES, {"a": (b"\0", [1.5])}, "\ud800'\"", (math.inf, -math.inf)])
def test_an_input_is_read_from_its_repr(data):
    assert repr(report.read(repr(data))) == repr(data)


@pytest.mark.parametrize("text", ["", "(", "__import__('os')", "name", "[" * 5000])
def test_what_is_no_input_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - which words there are depends on Python
        report.read(text)


FAILURE = Failure("names", RAISED, "KeyError virt2/x.py:5", "line\nKeyError: 'a'", 7, 41, ("a'b", "\n"))


def test_a_failure_tells_target_seed_input_and_how_to_repeat_it():
    told = report.describe(FAILURE)
    assert "FAILURE of names: raised KeyError virt2/x.py:5\n    line\n    KeyError: 'a'\n" in told
    assert repr(FAILURE.data) in told
    assert "scripts/fuzz --only names --seed 7 --inputs 42\n" in told
    assert """scripts/fuzz --only names --input '("a'"'"'b", '"'"'\\n'"'"')'""" in told


def test_of_a_very_long_input_only_the_start_is_shown():
    told = report.describe(FAILURE._replace(data="x" * 10**6))
    assert len(told) < 5000
    assert "(1000002 characters)" in told
    assert "--seed 7" in told
    assert "--input " not in told


def test_the_table_has_each_target_and_all_together():
    outcomes = [
        Outcome("b", 1000, 2.4, 50 << 20, 51 << 20, (FAILURE,), 3),
        Outcome("a", 234567, 10.0, 0, 0, (), 0),
    ]
    assert report.table(outcomes).splitlines()[2:] == [
        "| `a` | 234,567 | 10 | 0 | 0 | 0 |",
        "| `b` | 1,000 | 2 | 50 | 51 | 1 |",
        "| all | 235,567 | 12 | | | 1 |",
    ]


def test_all_inputs_are_shared_out():
    made = jobs(list(TARGETS), 5, 1_000_000)
    assert [job.target.name for job in made] == list(TARGETS)
    assert 1_000_000 <= sum(job.inputs for job in made) < 1_000_010
    assert jobs(["statistics"], 5, 123)[0].inputs == 123
