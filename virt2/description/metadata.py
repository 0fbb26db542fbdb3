"""Picks a name out of a domain's metadata: one text of one element, which is found by its namespace.

Metadata is hostile. So only a bounded part of it is kept, and prefixes are resolved here and not by expat (see
`virt2.description.domainxml`, which calls this).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from virt2.text import xpath
from virt2.text.printable import quoted

LONGEST_PICK = 255
"""Most characters of the text that is picked; collectd accepts 127 bytes of a name."""
MOST_NODES = 2000
"""Most elements and attributes of an element that a text is picked from; Nova writes about a hundred. This bounds what
evaluating a path costs."""

Name = tuple[str, str]
"""Namespace (empty for none) and local name of an element."""


class Pick(NamedTuple):
    """Which text is picked out of the metadata."""

    namespaces: tuple[str, ...]
    """The namespaces whose elements are tried, in this order. Of several elements in one namespace libvirt gives the
    first."""
    path: xpath.Path
    """Selects one text of such an element."""


class Tree:
    """An element of the metadata as a path sees it.

    Elements and attributes of its own namespace, or of no namespace, have no prefix. It is the same where libvirt hands
    out the element alone.

    Attributes:
        root: the element. None once it is larger than `MOST_NODES`; then nothing more may be added.
    """

    def __init__(self, namespace: str, scopes: list[dict[str, str]]) -> None:
        """Begin with an element of this namespace that is within elements that declare these prefixes."""
        self.root: xpath.Element | None = None
        self._own = ("", namespace)
        self._scopes = scopes
        self._open: list[xpath.Element] = []
        self._pieces: list[str] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Enter an element."""
        self.split()
        self._count += 1 + len(attributes)
        if self._count > MOST_NODES:
            self.root = None
            return
        self._scopes.append(declared(attributes))
        element = xpath.Element(self._local(name), self._attributes(attributes))
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)

    def data(self, text: str) -> None:
        """Take a piece of text."""
        self._pieces.append(text)

    def split(self) -> None:
        """End the text that was being read."""
        if self._pieces:
            self._open[-1].children.append("".join(self._pieces))
            self._pieces = []

    def end(self) -> None:
        """Leave an element."""
        self.split()
        self._open.pop()
        self._scopes.pop()

    def _local(self, name: str) -> str:
        namespace, local = expand(name, self._scopes)
        return local if namespace in self._own else ""

    def _attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        found = {}
        for key, value in attributes.items():
            prefix, colon, local = key.partition(":")
            if not colon and key != "xmlns":
                found[key] = value
            elif colon and prefix != "xmlns" and expand(key, self._scopes)[0] == self._own[1]:
                found.setdefault(local, value)
        return found


def choose(pick: Pick, trees: Mapping[str, xpath.Element | None]) -> tuple[str, tuple[str, ...]]:
    """Pick the text of the first element in which the path selects exactly one. If there is none, say why."""
    reasons = []
    for namespace in pick.namespaces:
        if namespace in trees:
            tree = trees[namespace]
            if tree is None:
                reasons.append(f"the element of {quoted(namespace)} has over {MOST_NODES} elements and attributes")
                continue
            found = pick.path.select(tree)
            if len(found) == 1:
                return found[0][:LONGEST_PICK], ()
            reasons.append(f"{quoted(pick.path.text)} selects {len(found)} texts in its element, not one")
    reason = reasons[0] if reasons else f"it has none of {' or '.join(map(quoted, pick.namespaces[:2]))}"
    return "", (f"no metadata in its identity: {reason}",)


def declared(attributes: dict[str, str]) -> dict[str, str]:
    """Give the namespaces that an element declares, by prefix. The prefix is empty for names without one."""
    return {key[6:]: value for key, value in attributes.items() if key[:6] in ("xmlns", "xmlns:")}


def expand(name: str, scopes: list[dict[str, str]]) -> Name:
    """Resolve a name's prefix by the declarations that apply. A prefix that is not declared gives no namespace."""
    prefix, _, local = name.partition(":") if ":" in name else ("", "", name)
    for scope in reversed(scopes):
        if prefix in scope:
            return scope[prefix], local
    return "", name
