"""Trees like those of collectd's configuration, read as virt2's settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator
from tests.fuzz.target import Plain, Target, require
from virt2.config.reading import _MEANT, own_instances, parse, stopping
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS, Instance, Settings
from virt2.metrics.selectors import NAMES
from virt2.text.patterns import Match

KEYS = tuple(dict.fromkeys(option.key for option in (*OPTIONS, *INSTANCE_OPTIONS)))
VALUES = (
    "true", "yes", "off", "auto", "none", "qemu:///system", "qemu:///session", "test:///default", "10", "1.5", " 7 ",
    "1e3", ".5", "5.", "name", "uuid", "hostname", "metadata", "name uuid", "name,uuid", "target", "source", "address",
    "number", "tag", "storage", "tag storage", "each", "bulk", "/^web-[0-9]+$/", "/(a|b)*c{1,3}/", "/[[:digit:]]/",
    "/[a-/", "/(/", "/a**/", "/\\1(a)/", "/x{32767}{32767}/", "//", "///", "fast", "libvirtd", "0", "3", "a b",
    "http://ovirt.org/ovirtmap/tag/1.0", "urn:a urn:b", "/instance/name/text()", "//owner[@uuid='a'][2]/@uuid",
    "//*[name='x']/text()", "/a::b", "/x:y/@z", "disk_err disk", *NAMES[:6],
)  # fmt: skip

Node = tuple[Plain, Plain, Plain]
"""Key, values and children."""


def option(key: str, *values: Plain) -> Node:
    return key, values, ()


BLOCKS: tuple[tuple[Node, ...], ...] = (
    (option("Connection", "qemu:///system"), option("Interval", 10.0), option("StrictConfig", True)),
    (
        option("HostnameFormat", "name", "uuid"),
        option("hostnameformat", "name uuid"),
        option("PluginInstanceFormat", "name", "none"),
        option("HostnameMetadataNS", "urn:a urn:b", "urn:c"),
        option("HostnameMetadataXPath", "/instance/name/text()"),
    ),
    (
        option("Domain", "web-1", "/^db/", 12.0),
        option("BlockDevice", "web-1:vda"),
        option("InterfaceDevice", "/:vnet[0-9]+$/"),
        option("IgnoreSelected", "yes"),
        option("ExtraStats", "disk", "vcpu domain_state"),
        option("ExtraStats", "disk_err,guest_info"),
    ),
    (
        ("Instance", ("fast",), (option("Tag", "sd-fast", "/^virt/"), option("ExtraStats", ""))),
        ("Instance", (7.0,), (option("Tag", 1.0), option("Nothing", 1.0))),
        option("Instances", 3.0),
        option("Workers", "auto"),
        option("Timeout", 2.0),
        option("Timeout", 3.0),
    ),
    (
        option("StuckAfter", "2"),
        option("RefreshInterval", 0.0),
        option("GuestAgentTimeout", 0.0),
        option("PartitionBy", "tag storage"),
        option("DiskStats", "bulk"),
        option("TagNamespace", "urn:x"),
        option("TagElement", "tag"),
        option("StatusSocket", "/run/virt2.sock"),
        option("StatusSocket", "none"),
        option("Intervall", 10.0),
        option("", ()),
    ),
)

_CHECKS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "str | None": lambda value: value is None or isinstance(value, str),
    "bool": lambda value: isinstance(value, bool),
    "float": lambda value: isinstance(value, float) and value > 0,
    "float | None": lambda value: value is None or (isinstance(value, float) and 0 < value < math.inf),
    "int | None": lambda value: value is None or (type(value) is int and value > 0),
    "tuple[str, ...]": lambda value: isinstance(value, tuple) and all(isinstance(one, str) for one in value),
    "tuple[Match, ...]": lambda value: isinstance(value, tuple) and all(isinstance(one, Match) for one in value),
    "tuple[Instance, ...]": lambda value: isinstance(value, tuple) and all(isinstance(one, Instance) for one in value),
}
"""What the value of a field has to be, by the type that its declaration has."""
_FIELDS = tuple((name, _CHECKS[hint.__forward_arg__]) for name, hint in Settings.__annotations__.items())


class ConfigNode:
    """What collectd hands over, made of a tuple of key, values and children. What is no such tuple stays as it is."""

    def __init__(self, data: Node) -> None:
        self.key, self.values, self._children = data

    @property
    def children(self) -> Plain:
        if isinstance(self._children, (tuple, list)):
            return type(self._children)(map(as_node, self._children))
        return self._children


def as_node(data: Plain) -> Plain:
    return ConfigNode(data) if isinstance(data, tuple) and len(data) == 3 else data


class Configuration(Target):
    name = "configuration"
    share = 12
    what = "trees of keys, values and blocks, as collectd hands its configuration over"

    def corpus(self) -> Sequence[Plain]:
        return [(("Module", ("virt2",), block),) for block in BLOCKS] + [
            tuple(("Module", ("virt2",), block) for block in BLOCKS)
        ]

    def mutator(self) -> Mutator:
        near = tuple(word for words in _MEANT.values() for word in words)
        strings = mutation.texts((*KEYS, *KEYS, *near, *VALUES))
        nodes = tuple(node for block in BLOCKS for node in block)
        return Mutator(strings, (*nodes, *VALUES, *KEYS))

    def fresh(self) -> st.SearchStrategy[Plain]:
        keys = st.sampled_from(KEYS) | st.sampled_from(KEYS).map(str.swapcase) | st.text(max_size=20)
        value = st.sampled_from((*VALUES, *hostile.VALUES)) | st.text(max_size=30) | st.floats() | st.booleans()
        values = st.lists(value, max_size=5).map(tuple)
        leaves = st.tuples(keys, values, st.just(()))
        nodes = st.recursive(
            leaves, lambda inner: st.tuples(keys, values, st.lists(inner, max_size=5).map(tuple)), max_leaves=12
        )
        block = st.tuples(st.just("Module"), st.just(("virt2",)), st.lists(nodes, max_size=8).map(tuple))
        return st.lists(block, max_size=3).map(tuple)

    def run(self, data: Plain) -> None:
        blocks = data if isinstance(data, (tuple, list)) else (data,)
        settings, problems = parse(map(as_node, blocks))
        for name, suits in _FIELDS:
            require(suits(getattr(settings, name)), f"the field {name} has a value that is not of its type")
        for instance in settings.explicit_instances:
            require(instance.name and all(isinstance(tag, Match) for tag in instance.tags), "an instance is malformed")
        for problem in problems:
            require(problem.severity in ("error", "warning") and problem.text, "a problem is malformed")
        require(len(set(problems)) == len(problems), "a problem is told twice")
        require(settings.strict or not stopping(settings, problems), "a problem stops a daemon that is not strict")
        names = own_instances(settings)
        require(len(set(names)) == len(names), "two readers have one name")
        require(0 < settings.timeout_for(10.0) <= 10.0, "a read has no time")
