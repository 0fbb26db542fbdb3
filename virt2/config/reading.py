"""Reads the Settings from collectd's configuration.

A value that cannot be accepted never stops the reading. It becomes a Problem, and the caller decides what that means.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from virt2.config import parsers
from virt2.config.settings import INSTANCE_OPTIONS, MOST_AUTOMATIC, MOST_TIMEOUT, OPTIONS, Instance, Option, Settings
from virt2.errors import BadSetting
from virt2.text.patterns import Match
from virt2.text.similar import most_similar

__all__ = [
    "INSTANCE_OPTIONS",
    "OPTIONS",
    "Instance",
    "Line",
    "Match",
    "Option",
    "Problem",
    "Settings",
    "Traced",
    "parse",
    "stopping",
    "trace",
]

_OWN_READER = "libvirtd"
"""The plugin instance under which libvirtd's own limits are reported."""
_READER_NAME = re.compile(r"[A-Za-z0-9_.:@+-]{1,63}")
_MEANT = {
    "Connection": ("uri", "url", "connectionuri", "connecturi", "libvirturi", "hypervisor", "socket"),
    "Interval": ("period", "every", "readinterval", "pollinterval", "scrapeinterval", "interval_s"),
    "RefreshInterval": ("refresh", "updateinterval", "discoveryinterval"),
    "PluginName": ("plugin", "name", "prefix"),
    "Domain": ("domains", "vm", "vms", "guest", "guests", "host_name", "machine", "include"),
    "BlockDevice": ("disk", "disks", "block", "blockdevices", "drive", "volume"),
    "InterfaceDevice": ("interface", "interfaces", "nic", "nics", "network", "netdev"),
    "IgnoreSelected": ("ignore", "exclude", "invert"),
    "HostnameFormat": ("host", "hostname", "hostformat"),
    "PluginInstanceFormat": ("instanceformat", "plugininstance"),
    "HostnameMetadataNS": ("metadatans", "metadatanamespace"),
    "HostnameMetadataXPath": ("metadataxpath", "xpath"),
    "Instances": ("readers", "threads", "readthreads", "numinstances"),
    "Workers": ("maxworkers", "connections", "maxconnections", "concurrency", "parallel"),
    "Timeout": ("maxreadtime", "readtimeout", "deadline"),
    "ExtraStats": ("stats", "selectors", "metrics", "collect", "reportstats"),
    "PersistentNotification": ("notification", "notifications", "notify"),
    "StrictConfig": ("strict",),
    "TagNamespace": ("namespace", "tagns"),
    "TagElement": ("element",),
    "GuestAgentInterval": ("agentinterval",),
    "GuestAgentTimeout": ("agenttimeout",),
    "AdminConnection": ("adminuri",),
}
"""Other names of the same options, in lower case: those of other plugins and exporters, and likely guesses."""
_KEY_SHOWN = 64
"""How many characters of an unknown key are looked at and shown. No known key is longer."""


class Line(NamedTuple):
    """A line of a configuration file."""

    file: str
    number: int
    """From 1."""

    def __str__(self) -> str:
        return f"{self.file}:{self.number}"


class Problem(NamedTuple):
    """Something in the configuration that its author should be told, once."""

    severity: str
    """``error`` for a value that is not used, ``warning`` for everything else."""
    text: str
    stops_strict: bool = False
    """Whether it stops the daemon under ``StrictConfig true``. Bad values and unknown keys do."""
    at: Line | None = None
    """Where it stands. None where the nodes do not tell, as collectd's do not."""
    todo: str = ""
    """What to do, in a sentence. The log has no room for it."""


class Traced(NamedTuple):
    """What was read, and from where."""

    settings: Settings
    problems: tuple[Problem, ...]
    lines: dict[tuple[object, ...], Line]
    """Where what is in force stands, as far as the nodes tell. The key is the option's own key, such as
    ``("Interval",)``. Where the values of several lines add up, the value follows: ``("Domain", Match("web"))`` or
    ``("ExtraStats", "disk")``. What is inside an ``<Instance>`` block has the block's key before it: ``("Instance",
    "fast", "Tag", Match("sd-fast"))``. What is not here is the default."""


def parse(blocks: Iterable[object]) -> tuple[Settings, tuple[Problem, ...]]:
    """Read all ``<Module virt2>`` blocks as one configuration. Never raises.

    Args:
        blocks: the blocks in the order of the configuration. Each has ``children``, and these have ``key``, ``values``
            and ``children`` of their own.

    Returns:
        The settings to run with, and each problem of the configuration once.
    """
    traced = trace(blocks)
    return traced.settings, traced.problems


def trace(blocks: Iterable[object]) -> Traced:
    """Read like `parse`, and tell from where. Never raises.

    Args:
        blocks: as `parse` takes them. The place of a node is its attribute ``at``, a `Line`, where it has one.
    """
    reading = _Reading()
    for block in blocks:
        reading.begin()
        for node in _children(block):
            reading.take(node)
    settings = reading.settings()
    return Traced(settings, (*reading.problems(), *_advice(settings, reading.lines)), reading.lines)


def stopping(settings: Settings, problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Give the problems because of which the daemon must not start. There are none unless ``StrictConfig`` is on."""
    return tuple(problem for problem in problems if settings.strict and problem.stops_strict)


def own_instances(settings: Settings) -> tuple[str, ...]:
    """Give the plugin instances that virt2 uses under the host's own name: those of its readers, and libvirtd's."""
    automatic = settings.instances or MOST_AUTOMATIC
    return (_OWN_READER, *map(str, range(automatic)), *(instance.name for instance in settings.explicit_instances))


_TOP = {option.key.lower(): option for option in OPTIONS}
_IN_INSTANCE = {option.key.lower(): option for option in INSTANCE_OPTIONS}


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self._taken: dict[str, list[tuple[Any, parsers.Written]]] = {}  # by field
        self._added: dict[str, list[tuple[Any, ...]]] = {}  # by field; one value of each block
        self._in_block: dict[Option, tuple[tuple[Any, ...], object]] = {}  # the block that is being read, with nodes
        self._listed: dict[str, dict[Any, None]] = {}  # by field; in the order seen
        self._tags: dict[str, dict[Match, None]] = {}  # by the name of the instance; both are in the order seen
        self._extra: dict[str, dict[str, None]] = {}  # by the name of the instance, if it has its own
        # By text and place. To collectd's nodes, which have no place, the same line in two files is one mistake.
        self._problems: dict[tuple[str, Line | None], Problem] = {}
        self._unknown: set[tuple[str, Line | None]] = set()
        self.lines: dict[tuple[object, ...], Line] = {}
        """Where what was read stands (see `Traced.lines`)."""

    def begin(self) -> None:
        """Begin a module block."""
        self._end()

    def _end(self) -> None:
        for option, (value, node) in self._in_block.items():
            self._added.setdefault(option.field, []).append(value)
            for word in value:
                self._note(node, option.key, word)
        self._in_block = {}

    def _note(self, node: object, *what: object, again: bool = False) -> None:
        """Remember the place of something in force: the first one, or the last one of what is set `again`."""
        at = _at(node)
        if at is not None and (again or what not in self.lines):
            self.lines[what] = at

    def take(self, node: object) -> None:
        """Read one option of a module block."""
        option = self._find(node, _TOP, "")
        if option is None:
            return
        with self._reporting(node):
            if option.parser is None:
                self._take_instance(node)
            elif option.adds:
                self._in_block[option] = self._read(option, node), node
            elif option.lists:
                entries = self._read(option, node)
                self._listed.setdefault(option.field, {}).update(dict.fromkeys(entries))
                for entry in entries:
                    self._note(node, option.key, entry)
            else:
                value = self._read(option, node)
                self._taken.setdefault(option.field, []).append((value, _written(node)))
                self._note(node, option.key, again=True)

    def _take_instance(self, node: object) -> None:
        name = _instance_name("Instance", _written(node))
        self._report_guesses("Instance", node, name)
        self._note(node, "Instance", name)
        tags = self._tags.setdefault(name, {})
        extra: tuple[str, ...] | None = None
        for child in _children(node):
            option = self._find(child, _IN_INSTANCE, " in <Instance>")
            if option is not None:
                where = f'<Instance "{name}">: '
                with self._reporting(child, where):
                    values = self._read(option, child, where)
                    if option.adds:
                        extra = values
                        self._note(child, "Instance", name, option.key, again=True)
                    else:
                        tags.update(dict.fromkeys(values))
                        for tag in values:
                            self._note(child, "Instance", name, option.key, tag)
        if extra is not None:
            self._extra.setdefault(name, {}).update(dict.fromkeys(extra))

    def settings(self) -> Settings:
        """Give the settings, after everything was read."""
        for option in OPTIONS:
            self._report_conflict(option.key, self._taken.get(option.field, ()), self.lines.get((option.key,)))
        self._end()
        chosen = {field: taken[-1][0] for field, taken in self._taken.items()}
        for field, values in self._added.items():
            chosen[field] = tuple(dict.fromkeys(word for value in values for word in value))
        chosen.update((field, tuple(values)) for field, values in self._listed.items())
        automatic = chosen.get("instances", 1) or MOST_AUTOMATIC
        explicit = []
        for name, tags in self._tags.items():
            with self._reporting(self.lines.get(("Instance", name))):
                extra = tuple(self._extra[name]) if name in self._extra else None
                explicit.append(Instance(_free_name("Instance", name, automatic), tuple(tags), extra))
        if explicit:
            chosen.setdefault("instances", 1)
        return Settings(**chosen, explicit_instances=tuple(explicit))

    def problems(self) -> tuple[Problem, ...]:
        """Give the problems, in the order seen."""
        return tuple(self._problems.values())

    @contextlib.contextmanager
    def _reporting(self, node: object, where: str = "") -> Iterator[None]:
        """Turn a bad value into a problem. The place of it is that of the node, which may be a `Line` itself."""
        try:
            yield
        except BadSetting as error:
            todo = "Correct it. Until then virt2 goes on as if the line was not there."
            self._report(Problem("error", f"{where}{error}", stops_strict=True, at=_at(node), todo=todo))

    def _read(self, option: Option, node: object, where: str = "") -> Any:
        if _children(node):
            raise BadSetting(option.key, _written(node), "a plain option, not a block")
        assert option.parser is not None, option
        read = option.parser(option.key, _written(node))
        self._report_guesses(where + option.key, node, read)
        return read

    def _report_guesses(self, key: str, node: object, read: object) -> None:
        for text in parsers.guessed(_written(node), read):
            self._report(
                Problem(
                    "warning",
                    f"{key} {text} is a number to collectd, which forgets how it was written (00{text} and {text}.0 are"
                    f' the same to it). It is read as the text "{text}". Put it in quotes',
                    at=_at(node),
                    todo=f'Write "{text}", or whatever you mean, in quotes.',
                )
            )

    def _report(self, problem: Problem) -> None:
        self._problems.setdefault((problem.text, problem.at), problem)

    def _report_conflict(self, key: str, taken: Sequence[tuple[Any, parsers.Written]], at: Line | None) -> None:
        if len({value for value, _ in taken}) > 1:
            history = " and then to ".join(dict.fromkeys(repr(values) for _, values in taken))
            text = f"{key} is set to {history}: the last one, {taken[-1][1]!r}, is used"
            self._report(Problem("warning", text, at=at, todo="Leave only one of these lines."))

    def _find(self, node: object, known: dict[str, Option], where: str) -> Option | None:
        """Give the option that a node means. Warn of an unknown one when it is first seen in this kind of block."""
        key = getattr(node, "key", None)
        key = key[:_KEY_SHOWN] if isinstance(key, str) else f"<{type(key).__name__}>"
        option = known.get(key.lower())
        at = _at(node)
        if option is None and (key.lower() + where, at) not in self._unknown:
            self._unknown.add((key.lower() + where, at))
            hint = _hint(key.lower(), known)
            text = f"unknown option {key!r}{where}: {hint}"
            todo = "Correct or remove it. Until then virt2 ignores it."
            self._report(Problem("warning", text, stops_strict=True, at=at, todo=todo))
        return option


def _hint(key: str, known: dict[str, Option]) -> str:
    """Say what an operator may have meant by an unknown key, which is given in lower case."""
    if key in _IN_INSTANCE:
        return f'{_IN_INSTANCE[key].key} belongs inside <Instance "name">'
    if key in _TOP:
        return f"{_TOP[key].key} belongs outside of this block"
    meant = next((option for option, words in _MEANT.items() if key in words and option.lower() in known), None)
    if meant is not None:
        return f"the option for that is {meant}"
    closest = most_similar(key, known)
    return f"the most similar option is {known[closest].key}" if closest else "docs/options.md lists all options"


def _children(node: object) -> Sequence[object]:
    children = getattr(node, "children", ())
    return children if isinstance(children, (tuple, list)) else ()


def _at(node: object) -> Line | None:
    at = node if isinstance(node, Line) else getattr(node, "at", None)
    return at if isinstance(at, Line) else None


def _written(node: object) -> parsers.Written:
    return parsers.written(getattr(node, "values", ()))


_instance_name = parsers.text(
    f"one name of 1 to 63 letters, digits and _ . : @ + -, and not {_OWN_READER}",
    lambda value: bool(_READER_NAME.fullmatch(value)) and value != _OWN_READER,
)


def _free_name(key: str, name: str, automatic: int) -> str:
    if name in map(str, range(automatic)):
        accepted = f"a name other than those of the automatic readers, 0 to {automatic - 1}"
        raise BadSetting(key, parsers.Written([name]), accepted)
    return name


def _advice(settings: Settings, lines: dict[tuple[object, ...], Line]) -> Iterator[Problem]:
    """Warn of settings that are accepted, but do less or more harm than their author may expect."""
    if settings.timeout is not None:
        at = lines.get(("Timeout",))
        if settings.timeout > MOST_TIMEOUT:
            yield Problem(
                "warning",
                f"Timeout {settings.timeout:g} is over {MOST_TIMEOUT:g} s: while something is stuck, the daemon may "
                "need more than 2 s to exit",
                at=at,
                todo=f"Lower it to {MOST_TIMEOUT:g} or less, unless the reads of this host need more.",
            )
        if settings.interval is not None and settings.timeout > settings.interval:
            yield Problem(
                "warning",
                f"Timeout {settings.timeout:g} is over the Interval, {settings.interval:g} s, so the Interval is used",
                at=at,
                todo="Lower it, or raise the Interval.",
            )
    for instance in settings.explicit_instances:
        if not instance.tags:
            text = f'<Instance "{instance.name}"> has no usable Tag: it will never read a domain'
            todo = "Add a Tag, or remove the block."
            yield Problem("warning", text, at=lines.get(("Instance", instance.name)), todo=todo)
