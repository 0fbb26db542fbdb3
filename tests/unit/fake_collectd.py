"""A stand-in for the module `collectd` that takes what the real one takes, and keeps it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Dispatched(NamedTuple):
    """One value list that the fake collectd was given."""

    type: str
    type_instance: str
    values: tuple[float, ...]
    host: str
    plugin: str
    plugin_instance: str
    time: float
    interval: float
    meta: dict[str, object]


class Notified(NamedTuple):
    """One notification that the fake collectd was given."""

    severity: int
    message: str
    type: str
    type_instance: str
    host: str
    plugin: str
    plugin_instance: str
    time: float
    meta: dict[str, object]


TYPES: dict[str, tuple[str, ...]] = {
    "cpu_affinity": ("gauge",),
    "df_complex": ("gauge",),
    "disk_allocation": ("gauge",),
    "disk_capacity": ("gauge",),
    "disk_error": ("gauge",),
    "disk_octets": ("derive", "derive"),
    "disk_ops": ("derive", "derive"),
    "disk_physical": ("gauge",),
    "disk_time": ("derive", "derive"),
    "domain_state": ("gauge", "gauge"),
    "duration": ("gauge",),
    "gauge": ("gauge",),
    "if_dropped": ("derive", "derive"),
    "if_errors": ("derive", "derive"),
    "if_octets": ("derive", "derive"),
    "if_packets": ("derive", "derive"),
    "if_rx_dropped": ("derive",),
    "if_rx_errors": ("derive",),
    "if_rx_octets": ("derive",),
    "if_rx_packets": ("derive",),
    "if_tx_dropped": ("derive",),
    "if_tx_errors": ("derive",),
    "if_tx_octets": ("derive",),
    "if_tx_packets": ("derive",),
    "job_stats": ("derive",),
    "load": ("gauge", "gauge", "gauge"),
    "memory": ("gauge",),
    "percent": ("gauge",),
    "percent_bytes": ("gauge",),
    "perf": ("derive",),
    "ps_cputime": ("derive", "derive"),
    "ps_pagefaults": ("derive", "derive"),
    "swap_io": ("derive",),
    "total_requests": ("derive",),
    "total_time_in_ms": ("derive",),
    "users": ("gauge",),
    "virt_cpu_total": ("derive",),
    "virt_vcpu": ("derive",),
    "bytes": ("gauge",),
    "derive": ("derive",),
    "disk_latency": ("gauge", "gauge"),
    "latency": ("gauge",),
    "memory_bandwidth": ("derive",),
    "timestamp": ("gauge",),
}
"""The types of collectd's types.db that virt2 uses, with the kinds of their data sources."""


class Node:
    """A part of collectd's configuration: an option, or a block with children."""

    def __init__(self, key: str, *values: object, children: Sequence[Node] = ()) -> None:
        self.key = key
        self.values = values
        self.children = tuple(children)


class FakeCollectd:
    """collectd's Python module, as strict as the real one about what it is given."""

    NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY = 1, 2, 4

    def __init__(self) -> None:
        self.notified: list[Notified] = []
        self.takes_notifications = True
        self.dispatched: list[Dispatched] = []
        self.logged: list[tuple[str, str]] = []
        self.configs: dict[str, Callable[..., None]] = {}
        self.inits: dict[str, Callable[..., None]] = {}
        self.reads: dict[str, Callable[..., None]] = {}
        self.shutdowns: dict[str, Callable[..., None]] = {}
        self.intervals: dict[str, float] = {}
        self.types = dict(TYPES)
        self.Values = lambda **fields: Values(self, **fields)
        self.Notification = lambda **fields: Notification(self, **fields)

    def get_dataset(self, name: str) -> list[tuple[str, str, float | None, float | None]]:
        if name not in self.types:
            raise TypeError("Dataset not found")
        return [(f"value{number}", kind, None, None) for number, kind in enumerate(self.types[name])]

    def register_config(self, callback: Callable[..., None], data: object = None, name: str = "") -> None:
        self._register(self.configs, callback, name)

    def register_init(self, callback: Callable[..., None], data: object = None, name: str = "") -> None:
        self._register(self.inits, callback, name)

    def register_read(
        self, callback: Callable[..., None], interval: float = 0.0, data: object = None, name: str = ""
    ) -> None:
        self._register(self.reads, callback, name)
        self.intervals[name] = float(interval)

    def register_shutdown(self, callback: Callable[..., None], data: object = None, name: str = "") -> None:
        self._register(self.shutdowns, callback, name)

    def error(self, text: str) -> None:
        self._log("error", text)

    def warning(self, text: str) -> None:
        self._log("warning", text)

    def notice(self, text: str) -> None:
        self._log("notice", text)

    def info(self, text: str) -> None:
        self._log("info", text)

    def texts(self, level: str) -> list[str]:
        """What was logged at a level."""
        return [text for logged, text in self.logged if logged == level]

    def _register(self, table: dict[str, Callable[..., None]], callback: Callable[..., None], name: str) -> None:
        # The real one drops the second of a name without a word: no test may depend on that.
        assert name, "a callback without a name"
        assert name not in table, f"{name} is registered twice"
        assert callable(callback)
        table[name] = callback

    def _log(self, level: str, text: str) -> None:
        _check_string("message", text)
        assert len(text.encode()) <= 1023, "collectd cuts a message of more than 1023 bytes"
        self.logged.append((level, text))


class Values:
    """What `collectd.Values` makes."""

    def __init__(
        self,
        collectd: FakeCollectd,
        type: str = "",
        values: Sequence[object] = (),
        plugin_instance: str = "",
        type_instance: str = "",
        plugin: str = "",
        host: str = "",
        time: float = 0.0,
        interval: float = 0.0,
        meta: dict[str, object] | None = None,
    ) -> None:
        self._collectd = collectd
        self._fields: dict[str, Any] = {"type": ""}
        if type:
            self.type = type
        self.values = values
        self.plugin_instance = plugin_instance
        self.type_instance = type_instance
        self.plugin = plugin
        self.host = host
        self.time = time
        self.interval = interval
        self.meta = meta or {}

    def __setattr__(self, key: str, value: Any) -> None:
        if key.startswith("_"):
            super().__setattr__(key, value)
        else:
            self._fields[key] = self._checked(key, value)

    def dispatch(self, **overrides: object) -> None:
        """Dispatch, with some fields changed for this once."""
        fields = {**self._fields, **{key: self._checked(key, value) for key, value in overrides.items()}}
        if not fields["type"]:
            raise RuntimeError("type not set")
        kinds = self._collectd.types[fields["type"]]
        if len(kinds) != len(fields["values"]):
            raise RuntimeError(f"type {fields['type']} needs {len(kinds)} values, got {len(fields['values'])}")
        values = tuple(_converted(kind, value) for kind, value in zip(kinds, fields["values"]))
        # A negative one becomes 17179869183 s; without one, collectd knows none for what a plugin's thread sends.
        assert fields["interval"] > 0, "a value without an interval"
        self._collectd.dispatched.append(Dispatched(**{**fields, "values": values}))

    def _checked(self, key: str, value: Any) -> Any:
        """What becomes of a field's value; raises what the real one raises when it is set."""
        if key in ("plugin_instance", "type_instance", "plugin", "host", "type"):
            _check_string(key, value)
            if key == "type" and value not in self._collectd.types:
                raise TypeError(f"Dataset {value} not found")
        elif key in ("time", "interval"):
            return float(value)
        elif key == "values":
            if not isinstance(value, (list, tuple)):
                raise TypeError("values must be list or tuple")
        elif key == "meta":
            if not isinstance(value, dict):
                raise TypeError("meta must be a dict")
        else:
            raise TypeError(f"{key!r} is an invalid keyword argument, or no attribute")
        return value


class Notification:
    """What `collectd.Notification` makes."""

    def __init__(
        self,
        collectd: FakeCollectd,
        type: str = "",
        message: str = "",
        plugin_instance: str = "",
        type_instance: str = "",
        plugin: str = "",
        host: str = "",
        time: float = 0.0,
        severity: int = 0,
        meta: dict[str, object] | None = None,
    ) -> None:
        self._collectd = collectd
        self._fields = Notified(
            severity, message, type, type_instance, host, plugin, plugin_instance, float(time), meta or {}
        )

    def dispatch(self) -> None:
        for key, value in self._fields._asdict().items():
            if key not in ("severity", "time", "meta"):
                _check_string(key, value)
        assert self._fields.severity in (1, 2, 4)
        assert len(self._fields.message.encode()) <= 255, "collectd cuts a message of more than 255 bytes"
        if self._fields.type not in self._collectd.types:
            raise TypeError(f"Dataset {self._fields.type} not found")
        if not isinstance(self._fields.meta, dict):
            raise TypeError("meta must be a dict")
        if not self._collectd.takes_notifications:
            raise RuntimeError("error dispatching notification, read the logs")
        self._collectd.notified.append(self._fields)


def _check_string(key: str, value: object) -> None:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"{key} must be str, not {type(value).__name__}")
    text = value.encode() if isinstance(value, str) else value
    if b"\0" in text:
        raise TypeError(f"{key}: embedded null character")
    if key != "message":
        # The real one cuts what is longer without a word.
        assert len(text) <= 127, f"{key} of {len(text)} bytes"


def _converted(kind: str, value: Any) -> float:
    if kind == "gauge":
        return float(value)
    number = int(value)
    if not -(2**63) <= number < 2**63:
        raise OverflowError("int too big to convert")
    return number
