"""Records what calls take of a real libvirtd, for the simulated one.

Each kind of call is made again and again for all guests of a lab, one after the other over one connection. Beside the
time of each call it is recorded for what part of it a processor was busy: in libvirtd, in the QEMUs beyond what their
guests use by themselves, and in this process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench import processes
from bench.machine import Machine
from bench.simulated import latencies
from bench.simulated.latencies import Latencies, Latency

LEAST_CALLS = 400
"""Of each kind: four in each bin."""
LEAST_SECONDS = 2.0
"""For each kind, so that what processes use is seen."""
IDLE_SECONDS = 10.0
"""For which it is measured what guests use by themselves."""


def record(machine: Machine, origin: str, say: Callable[[str], None]) -> Latencies:
    """Record every kind of call."""
    import libvirt

    idle = machine.idle(IDLE_SECONDS)
    connection = libvirt.openReadOnly(machine.lab.uri)
    try:
        found = {}
        for call, make in _calls(libvirt, connection, machine.lab.uri).items():
            found[call] = _measure(machine, make, idle, machine.guests if call in latencies.LISTS else 1)
            say(f"{call}: {found[call].mean * 1e6:.1f} µs, busy for {found[call].busy:.2f} of it")
        return Latencies(origin, {call: found[call] for call in latencies.CALLS})
    finally:
        connection.close()


def _calls(libvirt: Any, connection: Any, uri: str) -> dict[str, Callable[[], Iterator[Callable[[], object]]]]:
    """What makes each kind of call, once for each guest."""
    domains: Sequence[Any] = connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
    uuids = [domain.UUIDString() for domain in domains]

    def each(ask: Callable[[Any], object]) -> Callable[[], Iterator[Callable[[], object]]]:
        return lambda: (lambda domain=domain: ask(domain) for domain in domains)

    return {
        latencies.OPEN: each(lambda domain: libvirt.openReadOnly(uri).close()),
        latencies.VERSION: each(lambda domain: connection.getLibVersion()),
        latencies.ACTIVE: each(lambda domain: connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)),
        latencies.PAUSED: each(lambda domain: connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_PAUSED)),
        latencies.LOOK_UP: lambda: (lambda uuid=uuid: connection.lookupByUUIDString(uuid) for uuid in uuids),
        latencies.XML: each(lambda domain: domain.XMLDesc(0)),
        latencies.INFO: each(lambda domain: domain.info()),
        latencies.STATE: each(lambda domain: domain.state()),
        latencies.CONTROL: each(lambda domain: domain.controlInfo(0)),
        latencies.DISK: each(lambda domain: domain.blockStats("vda")),
    }


def _measure(
    machine: Machine, make: Callable[[], Iterator[Callable[[], object]]], idle: float, divisor: int
) -> Latency:
    """Make one kind of call often enough."""
    before, own, began = machine.use(), time.process_time(), time.monotonic()
    took: list[float] = []
    while len(took) < LEAST_CALLS or time.monotonic() - began < LEAST_SECONDS:
        for call in make():
            start = time.perf_counter()
            call()
            took.append((time.perf_counter() - start) / divisor)
    after = machine.use()
    busy = processes.used(before.libvirtd, after.libvirtd) + time.process_time() - own
    busy += processes.used(before.qemus, after.qemus) - idle * (after.when - before.when)
    return latencies.latency(took, busy / divisor)
