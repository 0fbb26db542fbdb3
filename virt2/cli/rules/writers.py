"""Which write plugins may stop all others, because they wait for a server without an end.

collectd's write threads serve all write plugins together. A plugin that waits keeps them, the queue of values grows,
and nothing is written by any plugin any more. What is said here is in collectd's own documentation, collectd.conf(5).
"""

from __future__ import annotations

from collections.abc import Iterator

from virt2.cli.effective import Effective, as_text, number_of
from virt2.cli.findings import NOTE, WARNING, Finding
from virt2.cli.syntax import Node
from virt2.text.printable import quoted

WRITERS = frozenset(
    {
        *("amqp", "amqp1", "csv", "grpc", "mqtt", "network", "postgresql", "rrdcached", "rrdtool", "unixsock"),
        *("write_graphite", "write_http", "write_influxdb_udp", "write_kafka", "write_log", "write_mongodb"),
        *("write_prometheus", "write_redis", "write_riemann", "write_sensu", "write_stackdriver", "write_syslog"),
        *("write_tsdb", "lua", "perl", "java", "exec"),
    }
)
"""Plugins of collectd that take values away, or may."""

SHORT = 100.0
"""Milliseconds. Somebody who allows less for a request has probably meant seconds."""

_STOPS = "all of collectd's write threads wait with it, nothing is written any more, and its memory grows"
_LIMIT = (
    "Set WriteQueueLimitHigh and WriteQueueLimitLow to the same number, such as 100000, so that memory does not grow"
)


def writers(collectd: Effective) -> Iterator[Finding]:
    """Tell of the write plugins that may block, and of a collectd that writes nothing."""
    yield from _timeouts(collectd, "write_http", ("node", "url"), "a request")
    yield from _timeouts(collectd, "write_mongodb", ("node",), "an operation")
    yield from _tcp(collectd, "write_graphite", has_udp=True)
    yield from _tcp(collectd, "write_riemann", has_udp=True)
    yield from _tcp(collectd, "write_tsdb", has_udp=False)
    yield from _http_errors(collectd)


def no_writer(collectd: Effective) -> Iterator[Finding]:
    """Tell where no plugin takes the values away. Only for a configuration that is known to be whole."""
    if "python" in collectd.loaded and not WRITERS & collectd.loaded.keys():
        what = "no write plugin is loaded, so collectd throws all values away unless a Python module takes them"
        todo = "Load one, such as csv, rrdtool, write_prometheus or network."
        yield Finding(WARNING, what, todo, collectd.loaded["python"].at)


def _timeouts(collectd: Effective, plugin: str, blocks: tuple[str, ...], what: str) -> Iterator[Finding]:
    """Look at a plugin whose Timeout, in milliseconds, is without end unless it is set."""
    loading = collectd.loaded.get(plugin)
    if loading is None:
        return
    for node in _nodes(collectd, plugin, blocks):
        name = quoted(as_text(node.values[0])) if node.values else "without a name"
        timeout = _child(node, "timeout")
        value = 0.0 if timeout is None else number_of(timeout)
        at = node.at if timeout is None else timeout.at
        seconds = loading.interval
        if value is not None and value <= 0:
            yield Finding(
                WARNING,
                f"{plugin} {name} has no Timeout: if its server takes {what} and does not answer, {_STOPS}",
                f"Put Timeout {seconds * 500:.0f} into this block. That is half an interval, in milliseconds.",
                at,
            )
        elif value is not None and value < SHORT:
            yield Finding(
                WARNING,
                f"{plugin} {name} gives its server only {value:g} ms for {what}, and throws away what takes longer",
                f"Timeout is in milliseconds. For {value:g} s, write {value * 1000:.0f}.",
                at,
            )
        elif value is not None and value > seconds * 1000:
            yield Finding(
                WARNING,
                f"{plugin} {name} may wait for {what} longer than its interval of {seconds:g} s. Until then {_STOPS}",
                f"Set Timeout to {seconds * 500:.0f}, which is half an interval.",
                at,
            )


def _tcp(collectd: Effective, plugin: str, has_udp: bool) -> Iterator[Finding]:
    """Look at a plugin that has no option to limit how long it waits for a TCP connection."""
    if collectd.number("WriteQueueLimitHigh", 0) > 0:
        return
    for node in _nodes(collectd, plugin, ("node", "carbon")):
        protocol = _child(node, "protocol")
        if has_udp and protocol is not None and [as_text(value).lower() for value in protocol.values] == ["udp"]:
            continue
        name = quoted(as_text(node.values[0])) if node.values else "without a name"
        yield Finding(
            WARNING,
            f"{plugin} {name} writes over TCP and has no option to limit that: if its server does not take what it"
            f" sends, {_STOPS}",
            f"{_LIMIT}." + (' Where values may be lost, set Protocol "udp".' if has_udp else ""),
            node.at,
        )


def _http_errors(collectd: Effective) -> Iterator[Finding]:
    for node in _nodes(collectd, "write_http", ("node", "url")):
        child = _child(node, "loghttperror")
        if child is None or as_text(child.values[0] if child.values else False).lower() not in ("true", "yes", "on"):
            name = quoted(as_text(node.values[0])) if node.values else "without a name"
            what = f"write_http {name} does not log it when its server refuses values, and they are lost"
            yield Finding(NOTE, what, "Put LogHttpError true into this block.", node.at)


def _nodes(collectd: Effective, plugin: str, keys: tuple[str, ...]) -> Iterator[Node]:
    return (node for node in collectd.blocks.get(plugin, ()) if node.key.lower() in keys)


def _child(node: Node, key: str) -> Node | None:
    """Give the last child of a key: that is the one that counts."""
    return next((child for child in reversed(node.children) if child.key.lower() == key), None)
