"""The source speaks plain English: docstrings, comments and messages do without turns that few readers know."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.unit.test_docs import ARCHAIC as PAGES_DO_WITHOUT

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "virt2").rglob("*.py"))

ARCHAIC = {
    **PAGES_DO_WITHOUT,
    "because": (
        r"[,;(] for (?:it|they|we|there|the|its|theirs|nobody|nothing|somebody|what|a|an|whoever|this|that|those)\b"
    ),
    "only": r"\b(?:is|are|has|have|was|there is|where there is) but (?:one|a|an)\b",
    "until the end": r"\bto the last\b",
    "without saying so": r"\bwithout a word\b",
}
"""Turns of phrase that plain English does without, each with what it says instead: those of the pages, and more."""


class Text(NamedTuple):
    """One docstring, string or comment."""

    line: int
    words: str


def texts(source: str) -> Iterator[Text]:
    """All prose of a module: strings of several words, which are docstrings and messages, and comments.

    Comments on lines that follow each other are one text, because a sentence may run over several lines.
    """
    tree = ast.parse(source)
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield Text(node.lineno, "".join(_literal(part) for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield Text(node.lineno, node.value)
    comments: list[Text] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            line, words = token.start[0], token.string.lstrip("# ")
            if comments and line == comments[-1].line + comments[-1].words.count("\n") + 1:
                comments[-1] = comments[-1]._replace(words=f"{comments[-1].words}\n{words}")
            else:
                comments.append(Text(line, words))
    yield from comments


def _literal(part: ast.expr) -> str:
    return str(part.value) if isinstance(part, ast.Constant) else "…"


def turns(source: str) -> Iterator[str]:
    """Each archaic turn in the prose of a module, with its line and what to write."""
    for text in texts(source):
        words = re.sub(r"\s", " ", text.words)
        for instead, turn in ARCHAIC.items():
            for match in re.finditer(turn.replace(" ", " +"), words, re.IGNORECASE):
                line = text.line + text.words[: match.start()].count("\n")
                around = re.sub(" +", " ", words[max(0, match.start() - 30) : match.end() + 30])
                yield f"{line}: {match.group()!r}: write {instead!r} in …{around}…"


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_the_source_is_in_plain_english(file):
    name = file.relative_to(ROOT)
    found = [f"{name}:{turn}" for turn in turns(file.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


def test_every_module_is_gone_over():
    assert len(FILES) > 80


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ('"""All\nbut for one."""\n', "2: 'but for': write 'except'"),
        ('x = 1\n"""None, for\n    there is none."""\n', "2: ', for     there': write 'because'"),
        ('log.info("no %s is to be had", x)\n', "1: 'to be had': write 'there is, one can have'"),
        ('log.info(f"{x}: nor is {y}")\n', "1: 'nor is': write 'and not'"),
        ("x = 1  # made\n# fit\n", "1: 'made fit': write 'changed so that'"),
    ],
)
def test_a_turn_is_found_in_docstrings_messages_and_comments_and_named_with_its_line(source, told):
    (found,) = turns(source)
    assert found.startswith(told)


@pytest.mark.parametrize(
    "source", ['"""What to wait for. They wait for the others, and for a reason."""', "but = for_ = 1", 'x = "but"']
)
def test_plain_words_are_let_through(source):
    assert list(turns(source)) == []
