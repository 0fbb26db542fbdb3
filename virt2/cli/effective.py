"""What collectd makes of its configuration: which options are in force, and what of it reaches virt2.

collectd goes through its configuration once, from the beginning to the end. A plugin has to be loaded before its block,
and a Python module imported before its own. What comes too early is ignored, and collectd starts without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from virt2.cli.findings import ERROR, WARNING, Finding
from virt2.cli.syntax import Node, Value
from virt2.config.reading import INSTANCE_OPTIONS, OPTIONS, Line
from virt2.text.printable import quoted
from virt2.text.similar import most_similar

DEFAULT_INTERVAL = 10.0
"""Seconds between two reads, where nothing is configured."""

_GLOBALS = (
    "BaseDir",
    "PIDFile",
    "Hostname",
    "FQDNLookup",
    "Interval",
    "ReadThreads",
    "WriteThreads",
    "WriteQueueLimitHigh",
    "WriteQueueLimitLow",
    "Timeout",
    "AutoLoadPlugin",
    "CollectInternalStats",
    "PreCacheChain",
    "PostCacheChain",
    "MaxReadInterval",
)
"""The options that take one value, and of which the last one counts."""
_TOP = ("LoadPlugin", "Plugin", "TypesDB", "PluginDir", "Include", "Chain", *_GLOBALS)
_IN_PYTHON = ("ModulePath", "Import", "Module", "LogTraces", "Interactive", "Encoding")
_IN_LOADPLUGIN = ("Globals", "Interval", "FlushInterval", "FlushTimeout")
_OWN = {option.key.lower(): option.key for option in (*OPTIONS, *INSTANCE_OPTIONS)}
_MISTAKEN = ("virt", "libvirt")
"""Names of a module that stand for virt2 where somebody comes from the C plugin."""

_DOES_NOT_START = "collectd does not start with this"


class Loading(NamedTuple):
    """A plugin that collectd loads."""

    at: Line
    interval: float
    """Seconds between two reads of the plugin."""
    interval_at: Line | None
    """Where that stands; None for the default."""
    has_own: bool = False
    """Whether the interval is the plugin's own, and not the global one at that moment."""


class Effective(NamedTuple):
    """What is in force at the end."""

    options: Mapping[str, Node]
    """The global options that are set, by their names in lower case."""
    loaded: Mapping[str, Loading]
    """The plugins that are loaded, by their names in lower case."""
    blocks: Mapping[str, tuple[Node, ...]]
    """What the blocks of each loaded plugin have in them, by its name in lower case."""
    types: tuple[Node, ...]
    """The TypesDB lines."""
    modules: tuple[Node, ...]
    """The blocks that virt2 is given."""
    paths: tuple[tuple[str, Line], ...]
    """The folders where Python looks for virt2 before all others, in the order in which it looks."""
    imported: Line | None
    """Where virt2 is imported; None where it is not."""
    is_meant: bool
    """Whether something in it is meant for virt2, even if it has no effect."""
    findings: tuple[Finding, ...]
    """What is wrong with all this."""

    def text(self, option: str) -> str:
        """Give the value of a global option as collectd keeps it; empty where it is not set."""
        node = self.options.get(option.lower())
        return "" if node is None else as_text(node.values[0])

    def number(self, option: str, default: int) -> int:
        """Give the whole number that collectd reads from a global option, as far as it is one."""
        digits = self.text(option).strip().partition(".")[0]
        sign = digits[:1] in ("+", "-")
        return int(digits) if digits[sign:].isascii() and digits[sign:].isdigit() and len(digits) < 19 else default

    def line(self, option: str) -> Line | None:
        """Give where a global option is set; None where it is not."""
        node = self.options.get(option.lower())
        return None if node is None else node.at


def effective(nodes: Iterable[Node]) -> Effective:
    """Go through a configuration as collectd does. Never raises."""
    walk = _Walk()
    for node in nodes:
        walk.take(node)
    return walk.result()


def as_text(value: Value) -> str:
    """Write a value as collectd does for options that it keeps as texts."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}" if value.is_integer() and abs(value) < 1e15 else f"{value:f}"
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def number_of(node: Node) -> float | None:
    """Give the one number that an option has; None where it has anything else."""
    value = node.values[0] if len(node.values) == 1 else None
    return value if isinstance(value, float) else None


class _Walk:
    """What collectd knows after each node."""

    def __init__(self) -> None:
        self._options: dict[str, Node] = {}
        self._loaded: dict[str, Loading] = {}
        self._blocks: dict[str, list[Node]] = {}
        self._types: list[Node] = []
        self._modules: list[Node] = []
        self._paths: list[tuple[str, Line]] = []
        self._searched: tuple[tuple[str, Line], ...] = ()
        self._imported: Line | None = None
        self._early_blocks: list[Node] = []
        """Blocks of the python plugin that come before it is loaded."""
        self._early_modules: list[Node] = []
        """Blocks of virt2 that come before it is imported."""
        self._is_meant = False
        self._findings: list[Finding] = []

    def take(self, node: Node) -> None:
        """Go through one node at the top."""
        key = node.key.lower()
        if key == "loadplugin":
            self._load(node)
        elif key == "plugin":
            self._plugin(node)
        elif key == "typesdb":
            self._types.append(node)
        elif key in map(str.lower, _GLOBALS):
            if len(node.values) == 1:
                self._options[key] = node
            else:
                self._error(node, f"{node.key} needs exactly one value; {_DOES_NOT_START}", "Give it one value.")
        elif key == "plugindir":
            if len(node.values) == 1 and isinstance(node.values[0], str):
                self._options[key] = node
            else:
                self._error(node, f"PluginDir needs one text; {_DOES_NOT_START}", "Give it one path in quotes.")
        elif key not in map(str.lower, _TOP):
            self._unknown(node)

    def result(self) -> Effective:
        """Give what is in force after everything was gone through."""
        self._tell_early()
        self._tell_interval()
        return Effective(
            self._options,
            self._loaded,
            {name: tuple(children) for name, children in self._blocks.items()},
            tuple(self._types),
            tuple(self._modules),
            self._searched or tuple(reversed(self._paths)),
            self._imported,
            self._is_meant or self._imported is not None,
            tuple(self._findings),
        )

    def _unknown(self, node: Node) -> None:
        """Tell of a key that collectd ignores at the top."""
        if node.key.lower() in ("module", "import", "modulepath"):
            todo = "Put it into a <Plugin python> block, as in collectd.conf.d/virt2.conf."
        elif node.key.lower() in _OWN:
            todo = "If it is meant for virt2, put it into a <Module virt2> block inside of <Plugin python>."
        else:
            todo = _hint(node.key, _TOP)
        self._warn(node, f"collectd knows no option {quoted(node.key)} here and ignores it", todo)

    def _load(self, node: Node) -> None:
        name = node.values[0] if len(node.values) == 1 else None
        if not isinstance(name, str):
            what = f"LoadPlugin needs the name of one plugin; {_DOES_NOT_START}"
            self._error(node, what, "Write a line of its own for each plugin.")
            return
        interval, at = self._interval()
        has_own = False
        for child in node.children:
            key = child.key.lower()
            if key not in map(str.lower, _IN_LOADPLUGIN):
                self._warn(child, f"collectd ignores {quoted(child.key)} here", _hint(child.key, _IN_LOADPLUGIN))
            elif key != "globals" and (number_of(child) is None or (number_of(child) or 0.0) < 0):
                what = f"collectd ignores this {child.key}, because it is no number"
                self._warn(child, what, "Write a number of seconds without quotes.")
            elif key == "interval":
                interval, at, has_own = number_of(child) or interval, child.at, True
        loading = Loading(node.at, interval, at, has_own)
        lower = _plugin_name(name)
        first = self._loaded.setdefault(lower, loading)
        if first is not loading and node.children and loading.interval != first.interval:
            what = f"the plugin {name} was loaded in {first.at} already, so the Interval here has no effect"
            self._warn(node, what, "Put the Interval there.")

    def _interval(self) -> tuple[float, Line | None]:
        """Give the global interval as it is now, and where it is set."""
        node = self._options.get("interval")
        if node is None:
            return DEFAULT_INTERVAL, None
        try:
            interval = float(as_text(node.values[0]))
        except ValueError:
            interval = 0.0
        return (interval, node.at) if 0 < interval < 1e9 else (DEFAULT_INTERVAL, None)

    def _plugin(self, node: Node) -> None:
        name = node.values[0] if node.values else None
        if not isinstance(name, str):
            what = f"a <Plugin> block needs the name of a plugin; {_DOES_NOT_START}"
            self._error(node, what, "Put the name behind Plugin.")
            return
        lower = _plugin_name(name)
        automatic = self._options.get("autoloadplugin")
        is_automatic = automatic is not None and as_text(automatic.values[0]).lower() in ("true", "yes", "on")
        if lower not in self._loaded and is_automatic:
            self._loaded[lower] = Loading(node.at, *self._interval())
        if lower in self._loaded:
            self._blocks.setdefault(lower, []).extend(node.children)
            if lower == "python":
                for child in node.children:
                    self._python(child)
        elif lower == "python":
            self._early_blocks.append(node)
            self._is_meant = self._is_meant or any(map(_is_for_virt2, node.children))
        elif lower == "virt2":
            self._is_meant = True
            todo = "Put a <Module virt2> block into a <Plugin python> block, as in collectd.conf.d/virt2.conf."
            self._error(node, "collectd has no plugin virt2, and ignores this block", todo)

    def _python(self, node: Node) -> None:
        """Go through one node of a block of the python plugin."""
        key = node.key.lower()
        if key not in map(str.lower, _IN_PYTHON):
            todo = _hint(node.key, _IN_PYTHON)
            if key in _OWN:
                todo = f"{_OWN[key]} is an option of virt2: put it into the <Module virt2> block."
            elif key == "include":
                todo = "Include works at the top of a file only."
            what = f"the python plugin knows no option {quoted(node.key)}; {_DOES_NOT_START}"
            self._error(node, what, todo)
            return
        value = node.values[0] if len(node.values) == 1 else None
        if key == "encoding":
            what = f"Python 3 has no Encoding; {_DOES_NOT_START}"
            self._error(node, what, "Remove this line.")
        elif key in ("modulepath", "import", "module") and not isinstance(value, str):
            self._error(node, f"{node.key} needs one text; {_DOES_NOT_START}", "Give it one text in quotes.")
        elif key == "modulepath":
            self._paths.append((str(value), node.at))
        elif key == "import" and str(value).split(".")[0] == "virt2":
            self._searched = self._searched or tuple(reversed(self._paths))
            self._imported = self._imported or node.at
        elif key == "module":
            self._module(node, str(value))

    def _module(self, node: Node, name: str) -> None:
        if name.lower() == "virt2":
            self._is_meant = True
            (self._modules if self._imported is not None else self._early_modules).append(node)
        elif name.lower() in _MISTAKEN or name.lower().startswith("virt2."):
            self._is_meant = True
            what = f"no Python module {quoted(name)} is configured by that name, and collectd ignores this block"
            self._error(node, what, "Write <Module virt2>.")

    def _tell_early(self) -> None:
        """Tell what comes before that which it needs."""
        loading = self._loaded.get("python")
        for block in self._early_blocks:
            if loading is None:
                what = "the python plugin is not loaded, so collectd ignores this block"
                todo = "Put LoadPlugin python before it."
            else:
                what = f"the python plugin is loaded only in {loading.at}, so collectd ignores this block"
                todo = "Put LoadPlugin python before it, in this file too. Loading a plugin twice does no harm."
            self._error(block, what, todo)
        for module in self._early_modules:
            if self._imported is None:
                what = "nothing imports virt2, so collectd ignores this block"
                todo = 'Put the line Import "virt2" before it.'
            else:
                what = f"virt2 is imported only in {self._imported}, so collectd ignores this block"
                todo = 'Put the line Import "virt2" before it, in this file too. Importing twice does no harm.'
            self._error(module, what, todo)

    def _tell_interval(self) -> None:
        """Tell of a global interval that comes too late to count."""
        loading = self._loaded.get("python")
        last, at = self._interval()
        if loading is not None and not loading.has_own and loading.interval != last and at is not None:
            self._findings.append(
                Finding(
                    WARNING,
                    f"this Interval comes after LoadPlugin python in {loading.at}, which therefore reads every"
                    f" {loading.interval:g} s instead of every {last:g} s",
                    "Put Interval before every LoadPlugin.",
                    at,
                )
            )

    def _error(self, node: Node, what: str, todo: str) -> None:
        self._findings.append(Finding(ERROR, what, todo, node.at))

    def _warn(self, node: Node, what: str, todo: str) -> None:
        self._findings.append(Finding(WARNING, what, todo, node.at))


def _is_for_virt2(node: Node) -> bool:
    """Whether a node of a block of the python plugin imports or configures virt2."""
    names = [as_text(value).lower().split(".")[0] for value in node.values]
    return node.key.lower() in ("import", "module") and names == ["virt2"]


def _plugin_name(name: str) -> str:
    return "virt" if name == "libvirt" else name.lower()


def _hint(key: str, known: Iterable[str]) -> str:
    """Say what may have been meant by an unknown key."""
    by_lower = {name.lower(): name for name in known}
    similar = most_similar(key, by_lower)
    return f"The most similar option is {by_lower[similar]}." if similar else "Correct or remove it."
