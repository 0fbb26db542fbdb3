"""virt2 over the simulated libvirtd, with a stub for collectd. Run inside a simulated host.

    python -m bench.simulated.subject DOMAINS READS INTERVAL TIMEOUT [PAUSE]

It is virt2 as it is: its configuration, its assembly, its readers. Only the door to libvirt is another one, and reads
are called here, as collectd would call them. With PAUSE (seconds) reads follow one another so, and each asks for a new
list; INTERVAL is then only what virt2 believes. After the last read a line of JSON says what was measured: `Measured`.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bench import processes
from bench.hasty import ask_for_each_list
from bench.simulated import domains, door, libvirtd

DESCRIPTORS = 1024
"""Files that collectd may have open where nobody raised the limit."""
WARM_UP = 8
"""Reads until each connection has looked each domain up."""
START_TIMEOUT = 60.0
"""Seconds until all domains are described."""


class OneRead(NamedTuple):
    """What one read did."""

    took: float
    """Seconds."""
    cpu: float
    """Seconds of CPU of the whole process."""
    domains: int
    """How many it had."""
    left_out: tuple[int, ...]
    """The numbers of the domains that there was no time for."""
    values: int
    """How many values it gave to collectd."""


class Measured(NamedTuple):
    """What was measured of some reads."""

    reads: Sequence[OneRead]
    rss: int
    """KiB, in the end."""
    timeout: float
    """Seconds that a read may take."""


class Values:
    """What `collectd.Values` makes; it costs next to nothing."""

    def __init__(self, plugin: str = "", interval: float = 0.0) -> None:
        self.plugin = plugin
        self.interval = interval

    def dispatch(self) -> None:
        """Take one value."""
        Values.dispatched += 1

    dispatched = 0
    """All that were ever taken."""


class Notification:
    """What `collectd.Notification` makes; it is printed with the log."""

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def dispatch(self) -> None:
        """Take it."""
        Stub.info(f"notification: {self._fields}")


class Stub:
    """collectd's module, as far as virt2 uses it here."""

    NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY = 1, 2, 4
    Values, Notification = Values, Notification

    def __init__(self) -> None:
        self.callbacks: dict[str, Callable[..., None]] = {}
        """What is to be called for a configuration, at init and at the end."""
        self.reads: dict[str, Callable[[], None]] = {}

    def register_config(self, callback: Callable[..., None], name: str) -> None:
        """Take what is called with each block."""
        self.callbacks["config"] = callback

    def register_init(self, callback: Callable[..., None], name: str) -> None:
        """Take what is called once."""
        self.callbacks["init"] = callback

    def register_shutdown(self, callback: Callable[..., None], name: str) -> None:
        """Take what is called last."""
        self.callbacks["shutdown"] = callback

    def register_read(self, callback: Callable[[], None], interval: float, name: str) -> None:
        """Take what is called at each interval."""
        self.reads[name] = callback

    @staticmethod
    def info(text: str) -> None:
        """Take a line of the log."""
        print(text, file=sys.stderr, flush=True)

    warning = error = info


class Node(NamedTuple):
    """A part of collectd's configuration."""

    key: str
    values: tuple[object, ...]
    children: tuple[Any, ...] = ()


def main(arguments: Sequence[str]) -> None:
    """Read as often as it is wished, and say what was measured."""
    libvirtd.pin()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))
    count, reads = int(arguments[0]), int(arguments[1])
    interval, timeout = float(arguments[2]), float(arguments[3])
    pause = float(arguments[4]) if len(arguments) > 4 else None
    print(json.dumps(measure(count, reads, interval, timeout, pause)), flush=True)


def measure(count: int, reads: int, interval: float, timeout: float, pause: float | None) -> Measured:
    """Let virt2 read so many domains.

    Arguments:
        count: how many domains there are.
        reads: how many reads are measured.
        interval: seconds, as virt2 is configured.
        timeout: the same; 0 for its default.
        pause: seconds between two reads; None for reads at the interval.
    """
    collectd = Stub()
    plugin = _virt2(collectd, count, pause is not None)
    options = [Node("Interval", (interval,)), *([Node("Timeout", (timeout,))] if timeout else [])]
    collectd.callbacks["config"](Node("Module", ("virt2",), tuple(options)))
    collectd.callbacks["init"]()
    try:
        _warm_up(collectd, plugin, count)
        assembly = plugin.assembly
        reader = assembly.readers["0"]
        numbers = {domain.name: domain.id for domain in domains.made(count)}
        done = []
        due = time.monotonic()
        for _ in range(reads):
            time.sleep(max(0.0, due - time.monotonic()))
            began, cpu, values = time.monotonic(), time.process_time(), Values.dispatched
            collectd.reads["virt2/0"]()
            took = time.monotonic() - began
            left_out = tuple(sorted(numbers[name] for name in reader.skipped))
            used = time.process_time() - cpu
            done.append(OneRead(took, used, reader.domains, left_out, Values.dispatched - values))
            due = time.monotonic() + pause if pause is not None else due + interval
        rss = processes.memory("self").rss
        return Measured(done, rss, assembly.settings.timeout_for(interval))
    finally:
        collectd.callbacks["shutdown"]()


def _virt2(collectd: Stub, count: int, is_hasty: bool) -> Any:
    """virt2's plugin, registered with the stub, over the simulated libvirtd."""
    from virt2 import assembly, plugin

    hypervisor = door.Hypervisor(domains.made(count), lambda: door.SocketWire(libvirtd.SOCKET))
    assembly.Hypervisor = lambda uri, agents: hypervisor
    if is_hasty:
        ask_for_each_list()
    return plugin.register(collectd)


def _warm_up(collectd: Stub, plugin: Any, count: int) -> None:
    """Read until all domains are described and known to each connection."""
    limit = time.monotonic() + START_TIMEOUT
    while not plugin.assembly.inventory.listed:
        if time.monotonic() > limit:
            raise TimeoutError(f"{plugin.assembly.inventory!r} after {START_TIMEOUT:g} s")
        collectd.reads["virt2/0"]()
    for _ in range(WARM_UP):
        collectd.reads["virt2/0"]()
    readers = plugin.assembly.readers
    if list(readers) != ["0"] or readers["0"].domains != count:
        raise RuntimeError(f"the domains are not read by one reader: {readers}")


if __name__ == "__main__":
    main(sys.argv[1:])
