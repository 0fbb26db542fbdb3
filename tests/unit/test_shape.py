"""The shape of the code: constructors take few things, because what travels together is a record."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "virt2"
FILES = sorted(PACKAGE.rglob("*.py"))
MOST_PARAMETERS = 7
LONGEST = 550
"""Lines of a module. One job seldom takes more; most take a third of that."""


def constructors(source: str) -> Iterator[tuple[str, int]]:
    """Each class of a module that is no record, with how many things its constructor takes."""
    for node in ast.walk(ast.parse(source)):
        for method in node.body if isinstance(node, ast.ClassDef) else ():
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                arguments = method.args
                yield node.name, len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]) - 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_constructor_takes_at_most_seven_things(file):
    found = {name: count for name, count in constructors(file.read_text()) if count > MOST_PARAMETERS}
    assert found == {}, file


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_a_module_is_short(file):
    assert len(file.read_text().splitlines()) <= LONGEST


def test_a_constructor_that_takes_more_is_found():
    source = "class A:\n    def __init__(self, a, b, c, d, *, e, f, g, h=0):\n        pass\n"
    assert list(constructors(source)) == [("A", 8)]
