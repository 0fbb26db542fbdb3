"""Writes the options in force in collectd's own language, each with the place that it comes from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from virt2.cli.effective import Effective
from virt2.config.reading import Line, Traced
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS, Instance, Option, Settings
from virt2.text.patterns import Match
from virt2.text.printable import printable

LONGEST = 4000
DEFAULT = "default"


class Setting(NamedTuple):
    """One value of one option."""

    option: str
    value: object
    """Text, number, boolean, or a list of texts; None where virt2 decides while it runs."""
    at: Line | None
    """Where it stands; None for the default."""
    instance: str = ""
    """The ``<Instance>`` block that it is in; empty for none."""
    about: str = ""
    """What the default means, in words."""


def settings_in_force(traced: Traced, collectd: Effective) -> Iterator[Setting]:
    """Give every option in force, in the order of docs/options.md. An option that may be repeated comes once for each.

    Args:
        collectd: tells the Interval, where virt2 has none of its own.
    """
    for option in OPTIONS:
        value = getattr(traced.settings, option.field)
        if option.key == "Interval" and value is None:
            loading = collectd.loaded.get("python")
            at = loading.interval_at if loading is not None else None
            interval = loading.interval if loading is not None else None
            yield Setting(option.key, interval, at, about="collectd's interval")
        elif option.parser is None:
            for instance in value:
                yield from _instance(instance, traced)
        else:
            yield from _of(option, value, traced, ())


def _instance(instance: Instance, traced: Traced) -> Iterator[Setting]:
    inside = "Instance", instance.name
    yield Setting("Instance", instance.name, traced.lines.get(inside))
    for option in INSTANCE_OPTIONS:
        value = getattr(instance, option.field)
        if value is not None:
            at = traced.lines.get((*inside, option.key))
            for setting in _of(option, value, traced, inside):
                yield setting._replace(instance=instance.name, at=setting.at or at)


def _of(option: Option, value: Any, traced: Traced, inside: tuple[object, ...]) -> Iterator[Setting]:
    """Give the value of one option, or each of its values."""
    key = (*inside, option.key)
    entries = [entry for entry in value if isinstance(entry, Match)] if isinstance(value, tuple) else []
    for entry in entries:
        yield Setting(option.key, entry.text, traced.lines.get((*key, entry)))
    if entries:
        return
    at = traced.lines.get(key)
    if at is None and isinstance(value, tuple):
        # The words of several lines add up. The first line is named.
        at = next((traced.lines[(*key, word)] for word in value if (*key, word) in traced.lines), None)
    if option.lists or (isinstance(value, tuple) and inside and option.key == "Tag"):
        value = None
    elif isinstance(value, tuple):
        value = list(value)
    elif isinstance(value, float) and math.isinf(value):
        value = 0.0
    elif value is None and Settings._field_defaults.get(option.field) is not None:
        value = "none"
    yield Setting(option.key, value, at, about=option.default_text)


def text(settings: Iterator[Setting]) -> Iterator[str]:
    """Give the lines. They can be used as a configuration, except what is a comment because virt2 decides on it."""
    rows: list[tuple[str, str]] = []
    open_block = ""
    for setting in settings:
        if open_block and setting.instance != open_block:
            rows.append(("</Instance>", ""))
            open_block = ""
        place = str(setting.at) if setting.at is not None else DEFAULT
        if setting.option == "Instance":
            rows.append((f"<Instance {_written(setting.value)}>", place))
            open_block = str(setting.value)
        elif setting.value is None and setting.about == "auto":
            rows.append((f"{setting.option} auto", place))
        elif setting.value is None:
            meaning = f": {setting.about}" if setting.about else ""
            rows.append((f"# {setting.option}{meaning}", place))
        else:
            indent = "  " if setting.instance else ""
            rows.append((f"{indent}{setting.option} {_written(setting.value)}", place))
    # More options follow those of the blocks, so no block is open here.
    width = min(max((len(row) for row, _ in rows), default=0), 60)
    for row, place in rows:
        yield printable(f"{row.ljust(width)}  # {place}" if place else row, LONGEST)


def _written(value: object) -> str:
    """Write a value in collectd's language."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return str(int(value)) if value == int(value) else repr(value)
    shown = " ".join(value) if isinstance(value, list) else str(value)
    return '"' + shown.replace("\\", "\\\\").replace('"', '\\"') + '"'
