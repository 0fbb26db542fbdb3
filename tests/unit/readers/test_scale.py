"""A thousand domains: all in one read where there is time for them, and in turn where there is not.

Time passes with the calls that are made, and with nothing else. So no test depends on how fast the machine is.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.unit.fake_time import BOUND, LOOK
from tests.unit.fakes import OCCUPIED, Control
from tests.unit.readers.reader_bench import INTERVAL, TIMEOUT, Bench
from virt2.readers import reader
from virt2.workers import job, pool

DOMAINS = 1000
DISKS = ("vda", "vdb")
ENOUGH = 0.0006
"""Seconds that a call takes, shared by all workers, so that two for each domain fit into a read."""
CHEAP = 0.1
"""What a call takes that needs libvirtd alone, to one that needs a monitor: 0.14 to 0.19 ms where that takes 2 ms."""
DEAR = 1.0
"""The same on a host whose libvirtd is short of time, so that all calls take as long."""


class Pace:
    """Lets time pass with each call of a domain's, and holds what is called when a read is over until it has ended.

    Arguments:
        bench: the readers.
        each: seconds by which the clock goes on with each call that needs a monitor.
        cheap: what a call takes that needs libvirtd alone, as a part of `each`.
    """

    def __init__(self, bench: Bench, each: float, cheap: float = CHEAP) -> None:
        self.each = each
        self._cheap = cheap
        self.passed = 0.0
        """Seconds that all calls together took."""
        self._bench = bench
        self._lock = threading.Lock()
        self._deadline = math.inf
        self._ended = threading.Event()
        bench.hypervisor.on_call = self._call
        bench.waits["0"] = self._wait

    def read(self) -> Counter[str]:
        """Let an interval pass and the reader read; returns how often each domain was asked for a disk."""
        clock = self._bench.clock
        self._ended.clear()
        self._deadline = clock.now + INTERVAL + TIMEOUT
        try:
            self._bench.read()
        finally:
            self._deadline = math.inf
            self._ended.set()
            # What was held comes back before the next read, and counts for this one: a worker has taken it in time.
            clock.settle()
        return Counter(name for call, name, _ in tuple(self._bench.hypervisor.calls) if call == "blockStats")

    def _call(self, call: str, name: str, device: str) -> None:
        """Pass the time of one call; on the worker's thread."""
        if not name or threading.current_thread().name == "virt2/list":
            return
        with self._lock:
            is_over = self._bench.clock.now >= self._deadline
            if not is_over:
                took = self.each if call == "blockStats" else self._cheap * self.each
                self._bench.clock.now += took
                self.passed += took
        if is_over:
            assert self._ended.wait(BOUND)

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait as a pool does, until so much time has passed by the clock."""
        clock = self._bench.clock
        until = clock.now + seconds
        while not event.is_set() and clock.now < until:
            if clock.is_settled() and not event.is_set():
                # Jobs that are to be tried again wait for time to pass.
                clock.now = until
            event.wait(LOOK)
        return event.is_set()


@pytest.fixture
def bench(make, monkeypatch) -> Bench:
    """A thousand domains that are described and known, and nobody else in libvirtd."""
    return host_of(DOMAINS, make, monkeypatch)


def host_of(domains: int, make, monkeypatch) -> Bench:
    for module in (job, pool, reader):
        # Time passes with the calls of all workers, so that one whose thread does not run for a moment seems stuck.
        monkeypatch.setattr(module, "STALLED_AFTER", INTERVAL)
    bench = make(kernel=True)
    bench.gate.alone = lambda answered: True
    for number in range(domains):
        bench.hypervisor.add(f"guest-{number}", disks=DISKS, nics=())
    bench.inventory.start()
    assert bench.inventory.refresh(0.0, BOUND)
    return bench


@pytest.fixture
def few(make, monkeypatch) -> Bench:
    """Fewer domains, which is enough where there is no time for all of these either."""
    return host_of(200, make, monkeypatch)


def warm_up(pace: Pace) -> None:
    """Have each domain asked for everything once, with calls that take no time."""
    each, pace.each = pace.each, 0.0
    pace.read()
    pace.each = each


def test_all_of_a_thousand_domains_are_asked_in_one_read_where_there_is_time(bench):
    pace = Pace(bench, ENOUGH)
    warm_up(pace)
    for _ in range(2):
        began, before = bench.clock.now + INTERVAL, pace.passed
        asked = pace.read()
        assert asked == {f"guest-{number}": len(DISKS) for number in range(DOMAINS)}
        assert bench.own()["domains_skipped"] == 0
        # Nothing was waited for but the calls, and there were hardly any besides those for disks.
        assert bench.clock.now - began == pytest.approx(pace.passed - before)
        assert bench.clock.now - began == pytest.approx(DOMAINS * len(DISKS) * ENOUGH, rel=0.01)


@pytest.mark.parametrize(("part", "reads", "cheap"), [(0.9, 3, CHEAP), (0.25, 9, CHEAP), (0.4, 6, DEAR)])
def test_where_there_is_no_time_for_all_every_domain_is_asked_as_soon_as_the_others_let_it(bench, part, reads, cheap):
    """`part` of the domains are asked in each read. To look at why others were left out takes no time of theirs."""
    pace = Pace(bench, TIMEOUT / (part * DOMAINS * len(DISKS)), cheap)
    warm_up(pace)
    names = {f"guest-{number}" for number in range(DOMAINS)}
    waited = dict.fromkeys(names, 0)
    longest, counts = 0, []
    for _ in range(reads):
        asked = pace.read().keys()
        skipped = bench.own()["domains_skipped"]
        assert skipped == DOMAINS - len(asked) > 0
        waited = {name: 0 if name in asked else waited[name] + 1 for name in names}
        longest = max(longest, *waited.values())
        counts.append(len(asked))
    # Each read has as many as there is time for, also of those that were left out before. Ticks that pass while no
    # thread gets to run take from that: one takes 3 % of a read.
    assert counts == pytest.approx([part * DOMAINS] * reads, abs=0.03 * DOMAINS)
    assert longest + 1 <= math.ceil(DOMAINS / min(counts)) < reads


@pytest.mark.parametrize("how", ["process stopped", "by another client"])
def test_a_domain_that_is_stuck_is_reported_by_the_second_read_where_there_is_no_time_for_all(few, monkeypatch, how):
    domains = len(few.hypervisor.domains)
    pace = Pace(few, TIMEOUT / (0.4 * domains * len(DISKS)))
    warm_up(pace)
    name = "guest-100"
    if how == "process stopped":
        looks = SimpleNamespace(stopped=lambda uuid, looked_at: "T" if looked_at == name else "")
        monkeypatch.setattr(few.gate, "_processes", looks)
    else:
        few.gate.alone = lambda answered: False
        few.hypervisor.domains[name].control = Control(OCCUPIED, 0, 100.0)
    blocked = []
    for _ in range(4):
        assert pace.read()
        blocked.append(few.of(name).get("duration-monitor_blocked", 0.0) > 0)
    # Its turn is in the first, the second or the third read, and it is known from then on.
    assert blocked == sorted(blocked)
    assert blocked[2]
    assert few.own()["domains_stuck"] == 1
