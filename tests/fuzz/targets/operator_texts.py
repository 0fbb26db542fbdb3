"""Texts that an operator writes into the configuration: paths, patterns, filters, URIs, and libvirt's own aliases."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from hypothesis import strategies as st

from tests.fuzz import mutation
from tests.fuzz.mutation import Mutator, below, pick
from tests.fuzz.target import Plain, Target, require
from virt2.description.filters import Filters
from virt2.sources import daemon
from virt2.text import xpath
from virt2.text.patterns import Match

PATHS = (
    "/instance/name/text()", "//name/text()", "/instance//port[2]/ip[@type='fixed'][1]/@address",
    '//*[name="second"]//@*', "/*/*[1]/text()", " / a / @ b ", "//port[@uuid='b'][name='second']//text()",
    "/a[0]/text()", "/a/b", "/a::b/text()", "/f(x)/text()", "/x:y/text()", "/a[@b]/text()", "//@uuid",
)  # fmt: skip
PATTERNS = (
    "/^web-[0-9]+$/", "/(a|b)*c/", "/[[:alpha:]_]{1,3}/", "/a{2}b{,3}c{4,}/", "/\\<x\\>/", "/(.)\\1/", "/[^]a-]/",
    "/[]-a]/", "/a++b*?c/", "/\\//", "/^$|^a|b$/", "/((a)(b))\\2/", "web-1", "//", "/", "/[[.a.]]/", "/[[=a=]]/",
    "/\\w\\W\\s\\b/", "/x{32767}/", "name", "name:device", "/(((((a)))))/", "/[\u00e0-\U0001f600]/",
)  # fmt: skip
URIS = (
    "", "qemu:///system", "qemu:///session", "qemu+unix:///system?socket=/run/libvirt/libvirt-sock-ro", "lxc:///",
    "xen://", "qemu:///system?socket=/tmp/x/libvirt-sock&mode=direct&name=qemu:///system",
    "qemu+ssh://root@host:22/system?no_tty=1", "virtqemud:///system?socket=/x", "libvirtd:///session",
    "test:///default", "qemu://[::1]/system", "%71emu:///system",
    "qemu:///system?socket=%2Frun%2Flibvirt%2Fvirtqemud-sock;mode=legacy", "esx://h/?no_verify=1", "vz:///system",
    "mine",
)  # fmt: skip
ALIASES = (
    'uri_aliases = [\n  "hail=qemu+ssh://root@hail.cloud/system",\n  "mine=qemu:///system", # "x=y"\n]\n',
    "uri_aliases=['mine=qemu:///system','a=b=c']",
    '#uri_aliases = []\nuri_default = "qemu:///system"\n',
)
TOKENS = (
    "//", "/", "text()", "text ( )", "@", "*", "[", "]", "[1]", "[@a='b']", "[b='c']", "=", "'", '"', "name", "port",
    "::", "()", "instance", "[[:digit:]]", "[[:", ":]]", "[:x:]", "[.", "[=", "[^", "^", "$", "|", "(", ")", "*", "+",
    "?", "{", "}", "{1,2}", "{,}", "{32767}", "{32768}", "{00000}", "\\", "\\1", "\\9", "\\b", "\\<", "\\`", "\\'",
    "\\d", "a-z", "-", "a", "b", ".", "qemu", "+unix", "://", ":///", "/system", "?socket=", "&", ";", "mode=",
    "name=", "%00", "%2f", "%", "%ff", "#", "libvirt-sock", "/run/libvirt", "[::1]", "uri_aliases", " = [", '"mine=',
    '",', "]\n",
)  # fmt: skip
VALUES = ("", "a", "ab", "web-1", "\n", "\u00e9b")
"""What patterns are matched with. They are short, because a correct pattern may take exponential time (see `Match`)."""
MOST_REPETITIONS = 2
"""A pattern with more of these is compiled, but not matched, and neither is one with a number of `_LARGE_NUMBER`."""
_LARGE_NUMBER = re.compile(r"\{[^}]*[0-9]{3}")

KINDS = ("path", "pattern", "uri", "aliases")
_SAMPLES = dict(zip(KINDS, (PATHS, PATTERNS, URIS, ALIASES)))

TREE: Plain = (
    "instance",
    {"id": "1"},
    (
        ("name", {}, ("web-1",)),
        ("ports", {}, (("port", {"uuid": "a"}, (("ip", {"type": "fixed", "address": "::1"}, ()),)),) * 3),
        ("port", {"uuid": "b"}, (("name", {}, ("second",)), "text", "more")),
        ("", {"name": "other"}, (("a", {}, (("b", {"a": "b"}, ("c",)),)),)),
    ),
)  # fmt: skip
"""A document: name, attributes and children of its element."""


class OperatorTexts(Target):
    """An input is the kind of text, the text, and for a path the document that it is evaluated on."""

    name = "operator_texts"
    share = 16
    what = "paths (`HostnameMetadataXPath`), patterns and filters, connection URIs, libvirt's file of aliases"

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="virt2-fuzz-", dir=_memory_folder())
        self._file = os.path.join(self._folder.name, "libvirt.conf")
        self._environments = (
            {"XDG_RUNTIME_DIR": "/run/user/1"},
            {"XDG_CACHE_HOME": "/tmp/\udcff"},
            {"XDG_RUNTIME_DIR": self._folder.name},
        )
        self._checks: dict[str, Callable[[str, Plain], None]] = {
            "path": self._path,
            "pattern": self._pattern,
            "uri": self._uri,
            "aliases": self._aliases,
        }

    def close(self) -> None:
        self._folder.cleanup()

    def corpus(self) -> Sequence[Plain]:
        return [(kind, text, TREE) for kind in KINDS for text in _SAMPLES[kind]]

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts((*TOKENS, *PATHS, *PATTERNS)), strange=0.0)

    def fresh(self) -> st.SearchStrategy[Plain]:
        text = st.lists(st.sampled_from(TOKENS) | st.text(max_size=3), max_size=12).map("".join)
        word = st.sampled_from(("name", "port", "a", "instance", ""))
        attributes = st.dictionaries(st.sampled_from(("uuid", "name", "a")), st.text(max_size=3), max_size=2)
        tree = st.recursive(
            st.sampled_from(("second", "web-1", "c", "")),
            lambda inner: st.tuples(word, attributes, st.lists(inner, max_size=4).map(tuple)),
            max_leaves=20,
        )
        path = text.map("/".__add__)
        pattern = text.map("/{}/".format)
        return st.one_of(
            st.tuples(st.just("path"), path, tree),
            st.tuples(st.just("pattern"), pattern, st.just(TREE)),
            st.tuples(st.just("uri"), text.map("qemu:///".__add__), st.just(TREE)),
            st.tuples(st.just("aliases"), text.map("uri_aliases=[".__add__), st.just(TREE)),
        )

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        kind, text, tree = base
        if kind == "path" and random.random() < 0.2:
            return kind, text, _grown(random, tree)
        return kind, mutator.strings.change(random, text, other[1], mutator.styles), tree

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        kind, text, tree = base
        if kind == "path" and random.random() < 0.6:
            # As large as metadata may be: see `virt2.description.metadata.MOST_NODES`.
            for _ in range(60):
                tree = _grown(random, tree)
            return kind, text, tree
        # Nobody writes more than some KiB, and collectd reads no larger text quickly.
        return kind, mutator.inflate(random, text, min(size, 1 << 12))[: 1 << 13], tree

    def run(self, data: Plain) -> None:
        kind, text, tree = data
        self._checks[kind](text, tree)

    def _path(self, text: str, tree: Plain) -> None:
        try:
            path = xpath.Path(text)
        except ValueError as error:
            require(0 < len(str(error)) < 500, "what is wrong with a path is not told in one line")
            return
        for found in path.select(_document(tree)):
            require(isinstance(found, str), "a path selects what is no text")

    def _pattern(self, text: str, tree: Plain) -> None:
        try:
            match = Match(text)
        except ValueError as error:
            require(str(error), "what is wrong with a pattern is not told")
            return
        require(match == Match(text), "the same entry is not equal to itself")
        if sum(map(text.count, "*+?{")) <= MOST_REPETITIONS and not _LARGE_NUMBER.search(text):
            filters = Filters([match], [match], [match], ignore=len(text) % 2 == 0)
            for value in VALUES:
                require(isinstance(match.matches(value), bool), "an entry neither matches nor does not match")
                filters.domain(value, value)
                filters.disk(value, value)
            require(all(len(words) < 1000 for words in filters.complaints()), "a complaint is too long for a log line")

    def _uri(self, text: str, tree: Plain) -> None:
        for environment in self._environments:
            there = daemon.place(text, self._folder.name, environment)
            require(bool(there.daemons) or there.reason, "it is not told why there is no daemon")
            daemon.identify(there, self._folder.name)
            servers, reason = daemon.admin_servers(text, self._folder.name, environment)
            require(bool(servers) or reason, "it is not told why nobody tells the limits")

    def _aliases(self, text: str, tree: Plain) -> None:
        with open(self._file, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
        for alias in ("mine", "hail", "a"):
            require(isinstance(daemon.resolve(alias, self._file), str), "an alias stands for what is no text")


def _memory_folder() -> str | None:
    """Give a folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _document(tree: Plain) -> xpath.Element:
    """Make the document of a tree. It takes no recursion, because a tree may be deep."""
    top = xpath.Element("", {})
    waiting: list[tuple[xpath.Element, Plain]] = [(top, tree)]
    while waiting:
        parent, part = waiting.pop()
        if isinstance(part, str):
            parent.children.append(part)
            continue
        name, attributes, children = part
        element = xpath.Element(name, attributes)
        parent.children.append(element)
        waiting += [(element, child) for child in reversed(children)]
    first = top.children[0]
    return first if isinstance(first, xpath.Element) else top


def _grown(random: Random, tree: Plain) -> Plain:
    """Put a tree into another one, or several of it beside each other, up to the size that metadata may have."""
    if _size(tree) > 600:
        return tree
    name = pick(random, ("instance", "port", "name", "a", ""))
    if random.random() < 0.7:
        return name, {"uuid": "a", "a": "b"}, (tree, "second")
    return name, {}, (tree,) * (1 + below(random, 3))


def _size(tree: Plain) -> int:
    waiting, size = [tree], 0
    while waiting:
        part = waiting.pop()
        size += 1
        if not isinstance(part, str):
            waiting += part[2]
    return size
