"""Finds what virt2 logs as a warning or an error, in its source: the templates of all such lines.

A template is followed back to where its words stand: through variables, parameters of methods of the same module, and
conditional expressions. What comes from another module is listed in `PRODUCERS`, and what is found nowhere is an error,
so that no line is left out because this module does not understand it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "virt2"
LEVELS = {"warning", "error", "exception", "critical"}
LEFT_OUT = {"cli", "once"}
"""The command logs nothing, and `once` logs what others give it."""
GAP = "\0"
"""Stands for what is put into a template."""
FEWEST = 3
"""Words of a text that is prose."""

PRODUCERS: dict[str, tuple[str, ...]] = {
    "assembly: text": ("capacity:follow",),
    "assembly: complaint": ("description.filters:_complaint",),
    "capacity: self._lack_of_connections()": ("workers.connects:lack", "capacity:_watch_connections"),
    "domains.entries: problem": (
        *(f"description.domainxml:{name}" for name in ("describe", "_tag_alone", "_pick_alone", "_choose")),
        "description.metadata:choose",
    ),
    "plugin: problem.text": (
        *(f"config.reading:{name}" for name in ("_report_guesses", "_report_conflict", "_find", "_advice")),
        "errors:BadSetting",
    ),
    "readers.results: trouble.text": ("readers.records:report",),
    "status.server: str(error)": ("status.listening",),
}
"""By module and expression: where the words are made, as `module:function`, or as a module for all of its texts."""


class Template(NamedTuple):
    """A line that may be logged."""

    place: str
    """File and number of the line where it is logged."""
    text: str
    """Its words, with `GAP` for everything that is put in."""

    @property
    def fragments(self) -> list[str]:
        """The words between what is put in."""
        return [part for part in self.text.split(GAP) if part.strip()]


def templates() -> list[Template]:
    """Give every template.

    Raises:
        LookupError: the words of one were not found.
    """
    found: dict[str, Template] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name.split(".")[0] not in LEFT_OUT:
            for template in _Module(name, path).templates():
                found.setdefault(template.text, template)
    return list(found.values())


def _sink(node: ast.Call) -> ast.expr | None:
    """The words of a call that logs, or has something logged; None for any other call."""
    function = node.func
    if not isinstance(function, ast.Attribute):
        return None
    owner = ast.unparse(function.value)
    if owner == "log" and function.attr in LEVELS:
        return node.args[1] if ast.unparse(node.args[0]) == "'%s'" else node.args[0]
    if owner == "log" and function.attr == "log":
        return node.args[-1]
    if owner.endswith("conditions") and function.attr == "update":
        return node.args[1]
    if owner.endswith(("troubles", "gatherer")) and function.attr == "add":
        return node.args[2]
    return None


class _Module:
    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self._tree = ast.parse(path.read_text(encoding="utf-8"))
        self._parents = {child: node for node in ast.walk(self._tree) for child in ast.iter_child_nodes(node)}

    def templates(self) -> Iterator[Template]:
        for node in ast.walk(self._tree):
            words = _sink(node) if isinstance(node, ast.Call) else None
            if words is not None and isinstance(node, ast.Call):
                place = f"{self._path.relative_to(ROOT)}:{words.lineno}"
                texts = [*self._texts(words, ()), *self._put_in(node)]
                yield from (Template(place, text) for text in texts if len(text.split()) >= FEWEST)

    def _put_in(self, call: ast.Call) -> Iterator[str]:
        """What a call that logs puts into its template, where that is prose as well."""
        for argument in call.args[1:] if ast.unparse(call.func).startswith("log.") else ():
            inner = argument.args[0] if isinstance(argument, ast.Call) and argument.args else argument
            if isinstance(inner, ast.Name) and self._is_text(inner):
                yield from self._texts(inner, ())

    def _is_text(self, name: ast.Name) -> bool:
        """Whether a variable is a parameter that is given prose, or words of another module."""
        return any(
            literal(source) is not None or f"{self.name}: {ast.unparse(source)}" in PRODUCERS
            for source in self._sources(name)
        )

    def texts_of(self, function: str) -> Iterator[str]:
        """Every text of several words in a function, or in the module."""
        trees = [
            node
            for node in ast.walk(self._tree)
            if (not function and isinstance(node, ast.Module))
            or (isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == function)
        ]
        if not trees:
            raise LookupError(f"virt2/{self.name} has no function {function}")
        for node in ast.walk(trees[0]):
            # The log has no room for what is to be done (see `virt2.config.reading.Problem`).
            is_left_out = isinstance(self._parents.get(node), ast.Expr) or self._is_todo(node)
            if not is_left_out and not isinstance(self._parents.get(node), (ast.JoinedStr, ast.FormattedValue)):
                text = literal(node)
                if text is not None and len(text.split()) >= FEWEST:
                    yield text

    def _is_todo(self, node: ast.AST) -> bool:
        parent = self._parents.get(node)
        if isinstance(parent, ast.Assign):
            return ast.unparse(parent.targets[0]) == "todo"
        return isinstance(parent, ast.keyword) and parent.arg == "todo"

    def _texts(self, node: ast.expr, seen: tuple[ast.AST, ...]) -> Iterator[str]:
        text = literal(node)
        if text is not None:
            if text:
                yield text
        elif isinstance(node, ast.IfExp):
            yield from self._texts(node.body, seen)
            yield from self._texts(node.orelse, seen)
        elif isinstance(node, ast.Name) and node not in seen and (sources := list(self._sources(node))):
            for source in sources:
                yield from self._texts(source, (*seen, node))
        else:
            key = f"{self.name}: {ast.unparse(node)}"
            if key not in PRODUCERS:
                raise LookupError(f"{self._path.relative_to(ROOT)}:{node.lineno}: where do the words come from? {key}")
            for producer in PRODUCERS[key]:
                module, _, function = producer.partition(":")
                yield from _Module(module, PACKAGE / f"{module.replace('.', '/')}.py").texts_of(function)

    def _sources(self, name: ast.Name) -> Iterator[ast.expr]:
        """What a variable may be: what is assigned to it in its function, or what is given for the parameter."""
        function = self._function_of(name)
        if function is None:
            return
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(ast.unparse(target) == name.id for target in node.targets):
                yield node.value
        arguments = [argument.arg for argument in function.args.args]
        if name.id in arguments and isinstance(function, ast.FunctionDef):
            position = arguments.index(name.id) - (arguments[0] == "self")
            for node in ast.walk(self._tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in (f"self.{function.name}", function.name):
                    yield node.args[position]

    def _function_of(self, node: ast.AST) -> ast.FunctionDef | None:
        while node in self._parents:
            node = self._parents[node]
            if isinstance(node, ast.FunctionDef):
                return node
        return None


def literal(node: ast.AST) -> str | None:
    """The words of a text, with `GAP` for what is put in; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _percent(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values)
    return None


def _percent(text: str) -> str:
    return re.sub(r"%(?:\.\d+)?[sdrfg]", GAP, text)
