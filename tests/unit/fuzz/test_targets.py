"""A short run of every target of the fuzzer. The long ones are made by scripts/fuzz."""

from __future__ import annotations

import re
from pathlib import Path

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
    assert len(TARGETS) == 9


PAGE = (Path(__file__).resolve().parents[3] / "docs" / "reliability.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading of the page, without its titles."""
    table = re.search(rf"^### {heading}\n(?:[^#|\n].*\n|\n)*((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()[2:]]


def test_the_page_lists_every_target():
    assert rows("What is fuzzed") == [[f"`{name}`", TARGETS[name].what] for name in sorted(TARGETS)]


def test_the_page_has_the_counts_of_a_long_run_without_a_failure():
    *counted, total = ([cell.replace(",", "") for cell in row] for row in rows("Results"))
    assert [row[0] for row in counted] == [f"`{name}`" for name in sorted(TARGETS)]
    assert sum(int(row[1]) for row in counted) == int(total[1]) >= 10_000_000
    assert [row[-1] for row in (*counted, total)] == ["0"] * (len(TARGETS) + 1)
