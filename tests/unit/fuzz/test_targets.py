"""A short run of every target of the fuzzer. The long ones are made by scripts/fuzz."""

from __future__ import annotations

import pytest

from tests.fuzz.session import Session
from tests.fuzz.targets import TARGETS

SEED = 20261127
INPUTS = 600
"""A few batches, after the inputs that are known."""


@pytest.mark.parametrize("name", TARGETS)
def test_what_nobody_meant_does_no_harm(name):
    target = TARGETS[name]()
    try:
        outcome = Session(target, SEED).run(INPUTS)
    finally:
        target.close()
    assert outcome.failures == ()
    assert outcome.inputs == INPUTS
    assert outcome.target == name


def test_every_target_says_what_it_is_for_and_how_much_of_a_run_it_gets():
    assert all(target.name == name and target.what and target.share > 0 for name, target in TARGETS.items())
    assert len(TARGETS) == 8
