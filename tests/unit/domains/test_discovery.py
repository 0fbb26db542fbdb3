"""Finding running domains while libvirt's list hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tests.threads import started
from tests.unit.fake_time import BOUND, Clock
from tests.unit.fakes import FakeHypervisor
from tests.unit.readers.reader_bench import CLASS_A, CLASS_B, TIMEOUT, Guest, describer
from tests.unit.readers.reader_bench import Bench as ReaderBench
from virt2.domains.discovery import Discovery
from virt2.domains.entries import Describing
from virt2.domains.inventory import HUNG_AFTER, Inventory
from virt2.errors import CallFailed, DomainBusy, DomainGone, Unsupported
from virt2.workers.budget import Budget
from virt2.workers.job import SERVER
from virt2.workers.pool import TICK, Pool, Runtime

LOOK = 0.75
"""Seconds a look may take."""


class Bench:
    """A discovery over a fake libvirt whose list nobody asks for."""

    def __init__(self, size: int = 6) -> None:
        self.hypervisor = FakeHypervisor()
        self.clock = Clock(self.hypervisor.stage)
        self.budget = Budget(size, lambda: self.hypervisor.daemon)
        self.inventory = Inventory(self.hypervisor, self.budget, Describing(describer), clock=self.clock)
        self.pool = Pool("scout", self.budget, self.hypervisor.connect, runtime=Runtime(self.clock, self.clock.wait))
        self.clock.watch(self.budget, self.pool)
        self.guests: list[Guest] = []
        self.unseen = False
        self.discovery = Discovery(self.inventory, self.budget, self.pool, self._see)

    def _see(self) -> list[Guest]:
        if self.unseen:
            raise PermissionError(13, "Permission denied")
        return self.guests

    def run(self, *names: str) -> None:
        """Start domains, each with a process."""
        for name in names:
            self.guests.append(Guest(name, self.hypervisor.add(name, tag=f"tag-{name}").uuid))

    def look(self) -> float:
        """Look once; returns how long that took."""
        self.hypervisor.calls.clear()
        began = self.clock()
        self.discovery.look(began + LOOK)
        return self.clock() - began

    @property
    def tags(self) -> dict[str, str]:
        """Tags of the domains that were found and described."""
        return {d.name: d.description.tag for d in self.inventory.domains()[1] if d.description.tag}


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.hypervisor.cut()
    bench.pool.stop()


def test_what_runs_is_found_and_described(bench):
    bench.run("db", "web")
    assert bench.look() == 0.0
    assert bench.tags == {"db": "tag-db", "web": "tag-web"}
    assert bench.budget.used == 0


def test_what_is_known_is_not_looked_up_again(bench):
    bench.run("db", "web")
    bench.look()
    bench.run("new")
    bench.look()
    assert {name for call, name, _ in bench.hypervisor.calls if call != "connect"} == {"new"}
    bench.look()
    assert bench.hypervisor.calls == []
    assert sorted(bench.tags) == ["db", "new", "web"]


@pytest.mark.parametrize("is_locked", [False, True], ids=["found", "locked"])
def test_one_that_takes_the_place_of_another_ends_that_as_no_list_can_tell_so(bench, is_locked):
    bench.run("db", "web")
    bench.look()
    before = bench.hypervisor.domains["web"].uuid
    bench.hypervisor.remove("web")
    bench.guests.pop()
    bench.run("web")
    after = bench.hypervisor.domains["web"].uuid
    assert before != after
    if is_locked:
        with bench.hypervisor.stuck("web", lock=True):
            bench.look()
            bench.look()
    else:
        bench.look()
    assert {domain.name: domain.uuid for domain in bench.inventory.domains()[1]}["web"] == after
    assert len(bench.inventory.domains()[1]) == 2


def test_a_domain_whose_lock_is_held_costs_one_slot_and_the_others_nothing(bench):
    bench.run("a", "db", "web")
    with bench.hypervisor.stuck("db", lock=True):
        assert bench.look() >= LOOK
        assert sorted(bench.tags) == ["a", "web"]
        for _ in range(3):
            assert bench.look() == 0.0
            assert bench.hypervisor.calls == []
        assert bench.budget.used == bench.hypervisor.stage.blocked == 1
    bench.clock.settle()
    assert bench.budget.used == 0
    bench.look()
    assert bench.inventory.knows(bench.hypervisor.domains["db"].uuid)


def test_it_costs_one_slot_also_when_the_connection_is_lost(bench):
    bench.run("db")
    with bench.hypervisor.stuck("db", lock=True):
        bench.look()
        bench.hypervisor.cut()
        bench.clock.settle()
        for _ in range(3):
            bench.look()
        assert bench.hypervisor.stage.blocked == 0
        assert bench.budget.used == 1


def test_of_more_locked_domains_than_slots_none_is_exceeded(bench):
    bench.budget.resize(2)
    bench.run("a", "b", "c")
    for name in "abc":
        bench.hypervisor.domains[name].stuck.add("lock")
    for _ in range(3):
        bench.look()
    assert bench.budget.used == bench.hypervisor.stage.blocked == 2


@pytest.mark.parametrize(
    "failure", [DomainGone("gone"), DomainBusy("busy"), CallFailed("internal error", 1), Unsupported("no")], ids=repr
)
def test_one_that_cannot_be_described_costs_the_others_nothing(bench, caplog, failure):
    bench.run("db", "web")
    bench.hypervisor.domains["db"].failures["xml"] = failure
    bench.look()
    assert bench.tags == {"web": "tag-web"}
    assert [record for record in caplog.records if record.exc_info] == []
    assert bench.budget.used == 0


def test_one_that_ended_after_its_process_was_seen_is_no_trouble(bench, caplog):
    bench.run("db", "web")
    bench.hypervisor.remove("db")
    bench.look()
    assert bench.tags == {"web": "tag-web"}
    assert caplog.records == []
    assert bench.budget.used == 0


def test_where_processes_cannot_be_seen_nothing_is_looked_up(bench):
    bench.run("db")
    bench.unseen = True
    assert bench.look() == 0.0
    assert bench.hypervisor.calls == []


def test_an_answer_proves_that_libvirtd_has_workers(bench):
    bench.run("db")
    bench.look()
    assert bench.budget.answered_at == bench.clock()


def test_who_comes_while_somebody_looks_returns_at_once(bench):
    bench.run("db")
    entered, proceed = threading.Event(), threading.Event()

    def hold(call: str, name: str, device: str) -> None:
        entered.set()
        assert proceed.wait(BOUND)

    bench.hypervisor.on_call = hold
    looker = threading.Thread(target=bench.look)
    looker.start()
    try:
        assert entered.wait(BOUND)
        bench.discovery.look(bench.clock() + LOOK)
        assert looker.is_alive()
    finally:
        proceed.set()
        looker.join(BOUND)
    assert bench.tags == {"db": "tag-db"}
    assert bench.hypervisor.count("find") == 1


def test_what_is_not_to_be_reported_is_not_looked_up(bench):
    bench.inventory.wants = lambda name, uuid: name != "db"
    bench.run("db", "web")
    bench.look()
    assert bench.tags == {"web": "tag-web"}
    assert {name for call, name, _ in bench.hypervisor.calls if call != "connect"} == {"web"}


class TestReaders:
    """A collectd that is started while a domain's lock is held."""

    @pytest.fixture
    def started(self) -> Iterator[ReaderBench]:
        bench = ReaderBench()
        for name in ("db", "web", "www"):
            bench.guests.append(Guest(name, bench.hypervisor.add(name).uuid))
        bench.hypervisor.domains["db"].stuck.add("lock")
        bench.inventory.start()
        bench.hypervisor.stage.await_blocked(1)
        yield bench
        bench.end()

    def test_the_others_are_reported_with_the_first_read(self, started):
        started.read()
        assert not started.inventory.listed
        assert started.types("web") == started.types("www") == CLASS_A | CLASS_B

    def test_it_costs_one_slot_for_the_list_and_one_for_the_domain(self, started):
        for _ in range(4):
            started.read()
        assert started.hypervisor.stage.blocked == started.budget.used == 2
        assert started.budget.running(started.guests[0].uuid, SERVER).what == "look-up"

    def test_all_is_as_ever_when_the_lock_is_released(self, started):
        for _ in range(2):
            started.read()
        started.hypervisor.domains["db"].stuck.clear()
        started.hypervisor.stage.review()
        started.clock.settle()
        assert started.inventory.refresh(max_age=0.0, timeout=BOUND)
        for _ in range(2):
            started.read()
        assert started.types("db") == started.types("web") == CLASS_A | CLASS_B
        assert started.of("db")["duration-monitor_blocked"] == 0.0
        assert started.budget.used == 0

    def test_a_read_that_waited_for_the_first_list_still_has_time_to_look(self, started, monkeypatch):
        assert started.inventory.hung_for() == 0.0

        def wait(max_age: float, timeout: float) -> bool:
            started.clock.now += timeout
            return False

        granted = []

        def look(discovery: Discovery, deadline: float) -> None:
            granted.append(deadline - started.clock())
            really_look(discovery, deadline)

        really_look = Discovery.look
        monkeypatch.setattr(Discovery, "look", look)
        monkeypatch.setattr(started.inventory, "refresh", wait)
        began = started.clock()
        started.readers["0"].read()
        assert started.inventory.hung_for() > HUNG_AFTER
        assert granted[0] > TIMEOUT / 5
        assert started.types("web") == started.types("www") == CLASS_A | CLASS_B
        assert started.clock() - began <= TIMEOUT + TICK


def test_a_search_that_does_not_end_costs_one_look_its_time_and_no_other(bench):
    """The kernel may keep whoever reads a command line waiting for as long as storage is away."""
    release = threading.Event()

    def search() -> list[Guest]:
        assert release.wait(BOUND)
        return list(bench.guests)

    discovery = Discovery(bench.inventory, bench.budget, bench.pool, search, clock=time.monotonic)
    bench.run("web")
    began = time.monotonic()
    discovery.look(began + 0.2)
    assert 0.2 <= time.monotonic() - began < BOUND / 2
    began = time.monotonic()
    discovery.look(began + BOUND)
    assert time.monotonic() - began < BOUND / 2, "it does not wait for what another look has waited for"
    assert sum(thread.name == "virt2/look" for thread in started()) == 1
    release.set()
    limit = time.monotonic() + BOUND
    while any(thread.name == "virt2/look" for thread in started()):
        assert time.monotonic() < limit
    discovery.look(bench.clock() + LOOK)
    assert bench.tags == {"web": "tag-web"}
