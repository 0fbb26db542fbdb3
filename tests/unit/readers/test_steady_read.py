"""What a read costs when nothing changes, counted in what does not depend on the machine: calls, not seconds.

The bounds are a tenth above what a read takes. Who makes it cheaper lowers them; who has to make it dearer says why.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

import virt2
from tests.unit.fake_collectd import Node
from tests.unit.fake_time import BOUND
from tests.unit.fakes import FakeProcesses
from tests.unit.plugin.conftest import collectd, daemon, host, module  # noqa: F401 - fixtures
from virt2.model.replies import NicStats
from virt2.output import naming
from virt2.sources import netdev, procfs
from virt2.text import identifiers

DOMAINS = 40
WARM_UP = 4
"""Reads until all is known: descriptions, processes that are not found, workers."""
READS = 5
FUNCTIONS = 150
"""Calls of virt2's own functions that a read makes for each domain of 2 disks and 2 interfaces that is asked for the
default metrics."""
PASSING = 250
"""Domains that come and go."""
BLOCKS = 200
"""Memory blocks that so many reads may leave behind for other reasons than domains: the interpreter's own caches."""


class Functions:
    """Counts the calls of virt2's own functions, on all threads that start while it is on."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._folder = str(Path(virt2.__file__).parent)

    def __call__(self, frame, event, _argument) -> None:
        code = frame.f_code
        # Comprehensions are functions in some versions of Python only.
        if event == "call" and code.co_filename.startswith(self._folder) and not code.co_name.endswith("comp>"):
            self.calls[f"{code.co_filename[len(self._folder) + 1 :]}: {code.co_name}"] += 1

    def __enter__(self) -> Functions:
        threading.setprofile(self)
        sys.setprofile(self)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)


@pytest.fixture
def functions():
    with Functions() as functions:
        yield functions


@pytest.fixture
def steady(daemon, host, monkeypatch):  # noqa: F811
    """A daemon that has read so many domains a few times, whose processes and interfaces are the host's own."""

    def made(domains=DOMAINS, hidden=False):
        counters = {}
        processes = FakeProcesses(host.hypervisor)
        processes.hidden = hidden
        monkeypatch.setattr(procfs, "Processes", lambda run_dir: processes)
        for number in range(domains):
            nics = [f"vnet{2 * number}", f"vnet{2 * number + 1}"]
            host.hypervisor.add(f"guest-{number}", disks=["vda", "vdb"], nics=nics)
            counters.update(dict.fromkeys(nics, NicStats(1, 2, 3, 4, 5, 6, 7, 8)))
        monkeypatch.setattr(netdev.HostInterfaces, "read", lambda _: counters)
        # A domain is due at some time of each RefreshInterval.
        daemon.start(Node("RefreshInterval", 0))
        for _ in range(WARM_UP):
            daemon.read()
        return daemon

    return made


def cheapest(daemon, functions):  # noqa: F811
    """The calls of the read that was disturbed least."""
    found = []
    for _ in range(READS):
        functions.calls.clear()
        daemon.read()
        found.append(functions.calls.copy())
    return min(found, key=lambda calls: sum(calls.values()))


def test_a_steady_read_calls_few_functions_for_each_domain(functions, steady):
    calls = cheapest(steady(), functions)
    per_domain = sum(calls.values()) / DOMAINS
    assert per_domain < FUNCTIONS, calls.most_common(30)
    # So few would mean that nothing was asked, or that the threads were not counted.
    assert per_domain > 20
    assert "readers/reader.py: read" in calls


@pytest.mark.parametrize("domains", [10, 80])
def test_a_read_takes_no_more_for_each_of_many_domains(functions, steady, domains):
    calls = cheapest(steady(domains), functions)
    # What a read takes whatever it reads is shared by few domains or many.
    assert (sum(calls.values()) - FUNCTIONS) / domains < FUNCTIONS


def test_a_steady_read_describes_nothing_and_parses_no_xml(functions, steady, host):  # noqa: F811
    daemon = steady()  # noqa: F811
    before = host.hypervisor.count("xml")
    assert before == DOMAINS
    calls = cheapest(daemon, functions)
    assert host.hypervisor.count("xml") == before
    assert not [name for name in calls if name.startswith("description/")]


@pytest.mark.parametrize(("hidden", "more"), [(False, {}), (True, {"info": DOMAINS})])
def test_a_steady_read_looks_at_each_domain_and_asks_each_disk_once(steady, host, hidden, more):  # noqa: F811
    daemon = steady(hidden=hidden)  # noqa: F811
    host.hypervisor.calls.clear()
    daemon.read()
    # Lists and connections aside: a slow machine makes the last list too old, and wants another worker.
    asked = Counter(call for call, name, _ in host.hypervisor.calls if name)
    assert asked == {"controlInfo": DOMAINS, "blockStats": 2 * DOMAINS, **more}


@pytest.mark.parametrize("hidden", [False, True])
def test_a_steady_read_dispatches_each_value_once(steady, host, collectd, hidden):  # noqa: F811
    daemon = steady(hidden=hidden)  # noqa: F811
    collectd.dispatched.clear()
    daemon.read()
    # CPU, memory, 2 of each disk, 4 of each interface, and how well the domain and its sample are.
    assert Counter(Counter(values.host for values in collectd.dispatched if values.host).values()) == {16: DOMAINS}


def test_a_steady_read_leaves_nothing_behind(steady, host, collectd):  # noqa: F811
    daemon = steady()  # noqa: F811

    def blocks():
        host.hypervisor.calls.clear()
        collectd.dispatched.clear()
        gc.collect()
        return sys.getallocatedblocks()

    blocks()
    before = blocks()
    for _ in range(READS):
        daemon.read()
    assert blocks() - before < BLOCKS


def test_domains_that_came_and_went_leave_nothing_behind(steady, host, module, collectd, monkeypatch):  # noqa: F811
    # What is kept by name to be used again is bounded, and emptied here.
    monkeypatch.setattr(naming, "FORMER", 10)
    daemon = steady(5)  # noqa: F811

    def live(numbers):
        """Have one more domain for the length of each read, never the same."""
        for number in numbers:
            name = f"passing-{number}"
            domain = host.hypervisor.add(name, disks=["vda", "vdb"], nics=[f"vnet{1000 + number}"], tag=f"tag-{number}")
            host.hypervisor.tell("lifecycle", domain.uuid)
            daemon.assembly.inventory.refresh(0.0, BOUND)
            daemon.read()
            assert any(values.host == name for values in collectd.dispatched)
            host.hypervisor.remove(name)
            host.hypervisor.tell("lifecycle", domain.uuid)
            daemon.assembly.inventory.refresh(0.0, BOUND)
            daemon.read()
            host.hypervisor.calls.clear()
            collectd.dispatched.clear()
            collectd.notified.clear()
            host.hypervisor.in_flight.clear()
            host.hypervisor.most_in_flight.clear()
        collectd.logged.clear()
        identifiers._remembered.cache_clear()
        gc.collect()
        return sys.getallocatedblocks()

    live(range(20))
    before = live(range(20, 40))
    after = live(range(40, 40 + PASSING))
    assert after - before < PASSING
