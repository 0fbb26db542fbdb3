"""The part of XPath 1.0 that picks a name out of a domain's metadata.

These absolute paths are understood, and mean what they mean in XPath: steps that are names or ``*``, joined by ``/`` or
``//``, with ``text()`` or ``@name`` at the end. Behind a step there may be any number of ``[2]``, ``[@name='text']``
and ``[child='text']``. Everything else is refused by name.

A document may be hostile. Evaluating a path on it uses no recursion, and takes time in proportion to the number of
nodes times the depth of the document, at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Union

_NAME = r"[^\W\d][\w.-]*"
_TOKEN = re.compile(
    rf"\s*(?P<token>//|[]/@*=[]|text\s*\(\s*\)|(?P<name>{_NAME}(?![\w.-]|\s*[:(]))|(?P<number>[0-9]+)(?![.\w])"
    r"|\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')"
)
_FUNCTION = re.compile(rf"({_NAME})\s*\(")
_AXIS = re.compile(rf"({_NAME})\s*::")
_PREFIX = re.compile(rf"({_NAME})\s*:")
_SHOWN = 30


class Element:
    """An element of a document, with what a path can see of it."""

    __slots__ = ("attributes", "children", "name")

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        """Without a prefix. Empty for an element of another namespace, because no name in a path means such a one."""
        self.attributes = attributes
        self.children: list[Element | str] = []
        """The elements in it, and the texts between them."""

    def __repr__(self) -> str:
        return f"<Element {self.name!r} children={len(self.children)}>"


class _Attribute(NamedTuple):
    """``[@name='text']``."""

    name: str
    value: str


class _Child(NamedTuple):
    """``[child='text']``."""

    name: str
    value: str


_Predicate = Union[int, _Attribute, _Child]


class _Step(NamedTuple):
    """One step of a path: it selects children of what was found so far."""

    deep: bool
    """Whether children of everything below are selected as well (``//``)."""
    name: str
    """The name of the children; empty for ``*``."""
    predicates: tuple[_Predicate, ...]


class Path:
    """A path that selects texts.

    Raises:
        ValueError: the path is not understood; the message says which part of it.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        parser = _Parser(text)
        self._steps = tuple(parser.steps())
        self._deep, self._attribute = parser.deep, parser.attribute

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Path) and other.text == self.text

    def __hash__(self) -> int:
        return hash((Path, self.text))

    def __repr__(self) -> str:
        return f"Path({self.text!r})"

    def select(self, root: Element) -> list[str]:
        """Give the texts of the nodes this path selects in the document with this root, in no particular order."""
        document = Element("", {})
        document.children.append(root)
        found = [document]
        for step in self._steps:
            found = [child for parent in _below(found, step.deep) for child in _children(parent, step)]
        holders = _below(found, self._deep)
        if self._attribute:
            return [holder.attributes[self._attribute] for holder in holders if self._attribute in holder.attributes]
        return [child for holder in holders for child in holder.children if isinstance(child, str)]


class _Parser:
    """Reads a path. `deep` and `attribute` say how it ends; `attribute` is empty for ``text()``."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.deep = False
        self.attribute = ""

    def steps(self) -> Iterable[_Step]:
        while True:
            slash = self._take("/", "//")
            if slash is None:
                raise ValueError(self._complaint("a / is missing before" if self._at else "it does not begin with /:"))
            self.deep = slash == "//"
            if self._take("@"):
                self.attribute = self._expect("name", "a name after @")
                break
            if self._take("text()"):
                break
            name = "" if self._take("*") else self._expect("name", "a name, *, text() or @name")
            yield _Step(self.deep, name, tuple(self._predicates()))
            if not self._text[self._at :].strip():
                raise ValueError(
                    "it ends in an element; text() or @name must follow, to say what of the element is taken"
                )
        if self._text[self._at :].strip():
            raise ValueError(self._complaint("nothing may follow text() or @name:"))

    def _predicates(self) -> Iterable[_Predicate]:
        while self._take("["):
            number = self._next("number")
            if number is not None:
                if not number.strip("0"):
                    raise ValueError("[0] selects nothing: the first is [1]")
                yield int(number[:18])
            else:
                kind = _Attribute if self._take("@") else _Child
                name = self._expect("name", "a number, @name or a child's name")
                if not self._take("="):
                    raise ValueError(self._complaint("only ='text' may follow here:"))
                value = self._next("double")
                yield kind(name, self._expect("single", "a text in quotes") if value is None else value)
            if not self._take("]"):
                raise ValueError(self._complaint("a ] is missing before"))

    def _take(self, *tokens: str) -> str | None:
        """Read one of these tokens, if it comes next."""
        found = _TOKEN.match(self._text, self._at)
        token = "".join(found["token"].split()) if found else None
        if found is None or token not in tokens:
            return None
        self._at = found.end()
        return token

    def _next(self, group: str) -> str | None:
        """Read a token of this kind, if it comes next."""
        found = _TOKEN.match(self._text, self._at)
        if found is None or found[group] is None:
            return None
        self._at = found.end()
        return found[group]

    def _expect(self, group: str, wanted: str) -> str:
        found = self._next(group)
        if found is None:
            raise ValueError(self._complaint(f"{wanted} is wanted instead of"))
        return found

    def _complaint(self, problem: str) -> str:
        """Say what is wrong with what comes next. What is XPath but not supported is called by its name."""
        rest = self._text[self._at :].strip()
        for pattern, kind in ((_FUNCTION, "the function {}()"), (_AXIS, "the axis {}::")):
            found = pattern.match(rest)
            if found:
                return f"{kind.format(found[1][:_SHOWN])} is not supported"
        found = _PREFIX.match(rest)
        if found:
            prefix = f"{found[1][:_SHOWN]}:"
            return f"the prefix {prefix} must be left out, because elements of the namespace go by their name alone"
        return f"{problem} {rest[:_SHOWN]!r}" if rest else f"{problem} its end"


def _below(elements: list[Element], deep: bool) -> list[Element]:
    """Give the elements themselves or, if `deep`, also everything in them; each once."""
    if not deep:
        return elements
    found: dict[int, Element] = {}
    stack = elements[::-1]
    while stack:
        element = stack.pop()
        if id(element) not in found:
            found[id(element)] = element
            stack += [child for child in reversed(element.children) if isinstance(child, Element)]
    return list(found.values())


def _children(parent: Element, step: _Step) -> list[Element]:
    chosen = [child for child in parent.children if isinstance(child, Element) and step.name in ("", child.name)]
    for predicate in step.predicates:
        if isinstance(predicate, int):
            chosen = chosen[predicate - 1 : predicate]
        elif isinstance(predicate, _Attribute):
            chosen = [element for element in chosen if element.attributes.get(predicate.name) == predicate.value]
        else:
            chosen = [element for element in chosen if _has_child(element, predicate)]
    return chosen


def _has_child(element: Element, wanted: _Child) -> bool:
    return any(
        isinstance(child, Element) and child.name == wanted.name and _reads(child, wanted.value)
        for child in element.children
    )


def _reads(element: Element, value: str) -> bool:
    """Tell whether all text in an element is this. Looks no further than the first difference."""
    at = 0
    stack = element.children[::-1]
    while stack:
        node = stack.pop()
        if isinstance(node, Element):
            stack += node.children[::-1]
        elif value.startswith(node, at):
            at += len(node)
        else:
            return False
    return at == len(value)
