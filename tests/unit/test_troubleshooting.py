"""docs/troubleshooting.md: whoever has a line of the log, or a sentence of the command, finds it there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.unit.log_messages import GAP, PACKAGE, ROOT, Template, literal, templates
from tests.unit.test_docs import sections

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PARTS = {
    f"domain {GAP}: {GAP}",
    f"{GAP}; everything else goes on",
    f"no {GAP} is left out",
    f"no {GAP} is reported",
    f"{GAP} in the sample configuration stands for an entry of your own",
    "case counts, and only an entry between slashes is a pattern",
    "; the domains are asked over the connections there are",
    " and then to ",
    "a process of another namespace",
    "a symbolic link",
}
"""Templates that are parts of others, or have no words of their own."""
OVER = {"libvirtd answers attempts to connect again"}
"""What says that something is over, and stands in a function beside what says that it begins."""


def entries(heading: str) -> list[tuple[str, ...]]:
    """What the first column of the tables below a heading has: of each row the words by which a line is found."""
    rows = [line for line in sections(PAGE)[heading].splitlines() if line.startswith("| `")]
    return [tuple(re.findall(r"`([^`]+)`", row.split(" | ")[0])) for row in rows]


LOG = [words for row in entries("What the log says") for words in row]
COMMAND = [words for row in entries("What the command says") for words in row]


def is_covered(template: Template, words: list[str]) -> bool:
    """Whether a line can be found by words that stand in one piece of it."""
    return any(entry in fragment for entry in words for fragment in template.fragments)


def test_every_line_that_is_logged_as_a_warning_or_an_error_is_found():
    found = [one for one in templates() if one.text not in PARTS | OVER]
    missing = [f"{one.place}: {one.text.replace(GAP, '…')}" for one in found if not is_covered(one, LOG)]
    assert not missing, "docs/troubleshooting.md has no entry for:\n" + "\n".join(missing)


def test_the_source_has_as_many_lines_as_anybody_would_look_for():
    texts = {one.text for one in templates()}
    assert len(texts) > 75
    assert f"domain {GAP}: monitor blocked for {GAP} s ({GAP}), storage domain {GAP}" in texts
    assert texts >= PARTS | OVER


def test_a_line_that_is_not_on_the_page_is_told():
    assert not is_covered(Template("virt2/any.py:1", f"the moon is full for {GAP} s"), LOG)


def prose() -> Iterator[str]:
    """Every text in the source."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            text = literal(node)
            if text is not None:
                yield text


SOURCE = "\n".join(prose())


@pytest.mark.parametrize("words", [*LOG, *COMMAND])
def test_what_the_page_lists_is_said(words):
    assert any(words in line for line in SOURCE.split("\n")), words


def sentences() -> Iterator[Template]:
    """What the command says where it cannot do something, as far as the words stand where that is raised."""
    for path in sorted((PACKAGE / "cli").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = ast.unparse(node.func).rpartition(".")[2]
            text = literal(node.args[0]) if name in ("CannotDo", "NotThere", "BadAnswer", "failed") else None
            if text is not None and len(text.split()) > 2:
                yield Template(f"{path.relative_to(ROOT)}:{node.lineno}", text)


def test_what_the_command_says_when_it_cannot_do_something_is_found():
    said = list(sentences())
    assert len(said) > 15
    missing = [f"{one.place}: {one.text.replace(GAP, '…')}" for one in said if not is_covered(one, COMMAND)]
    assert not missing, "docs/troubleshooting.md has no entry for:\n" + "\n".join(missing)
