"""The list of domains: kept current, read no more often than needed, and standing while libvirt does not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.unit.domains.bench import REFRESH, RETRY, Bench, describer
from tests.unit.fake_time import BOUND, LOOK
from tests.unit.fakes import PAUSED, RUNNING, FakeHypervisor
from virt2.domains.entries import Describe
from virt2.domains.inventory import HUNG_AFTER
from virt2.errors import CallFailed
from virt2.workers.budget import Charge
from virt2.workers.job import MONITOR, SERVER, STALLED_AFTER, Job
from virt2.workers.pool import Pool


def test_the_first_list_comes_with_descriptions(listed):
    assert listed.names == ["db", "web"]
    assert listed.tags == {"db": "blue", "web": ""}
    database = next(domain for domain in listed.inventory.domains()[1] if domain.name == "db")
    assert [disk.target for disk in database.description.disks] == ["vda", "vdb"]
    assert listed.inventory.libvirt_version == "9.0.0"
    assert listed.inventory.link.up


def test_before_it_there_is_nothing(bench):
    assert not bench.inventory.listed
    assert bench.inventory.link is None
    assert bench.inventory.domains() == (0, [])
    assert bench.inventory.hung_for() == 0.0


def test_a_young_list_is_not_asked_for_again(listed):
    assert listed.inventory.refresh(max_age=1.0, timeout=BOUND)
    assert listed.hypervisor.calls == []


def test_an_event_has_the_domain_described_anew_at_once(listed):
    listed.hypervisor.domains["web"].tag = "green"
    listed.clock.now += 1.0
    attempts = listed.inventory._attempts
    listed.hypervisor.tell("changed", listed.hypervisor.domains["web"].uuid)
    listed.await_attempts(attempts + 1)
    assert listed.tags["web"] == "green"
    assert listed.hypervisor.count("xml") == listed.hypervisor.count("xml", "web") == 1


def test_events_that_say_nothing_of_the_list_are_handed_on_and_cost_nothing(hypervisor):
    told = []
    bench = Bench(hypervisor, on_event=told.append)
    bench.start()
    try:
        assert bench.attempt()
        bench.hypervisor.calls.clear()
        bench.hypervisor.tell("I/O error", "u", reason="enospc")
        bench.hypervisor.tell("watchdog", "u")
        assert [event.kind for event in told] == ["I/O error", "watchdog"]
        assert bench.inventory._messages.empty()
        assert bench.hypervisor.calls == []
    finally:
        bench.inventory.stop()


def test_events_that_come_together_cost_one_list(listed):
    entered, proceed = threading.Event(), threading.Event()

    def hold(call: str, name: str, device: str) -> None:
        entered.set()
        assert proceed.wait(BOUND)

    listed.hypervisor.on_call = hold
    attempts = listed.inventory._attempts
    listed.clock.now += 1.0
    listed.hypervisor.tell("changed", listed.hypervisor.domains["web"].uuid)
    assert entered.wait(BOUND)
    for _ in range(100):
        listed.hypervisor.tell("lifecycle", listed.hypervisor.domains["db"].uuid)
    proceed.set()
    listed.await_attempts(attempts + 1)
    listed.attempt()
    assert listed.hypervisor.count("active") == 2
    assert listed.hypervisor.count("xml", "db") == 1


def await_call(hypervisor: FakeHypervisor, call: str) -> None:
    """Wait until a call was made after `calls` was cleared, and is blocked."""
    limit = time.monotonic() + BOUND
    while hypervisor.count(call) == 0:
        assert time.monotonic() < limit, f"nobody made the call {call}"
        time.sleep(LOOK)
    hypervisor.stage.await_blocked(1)


class TestHanging:
    """While the list hangs the last one stands, and nobody waits for it."""

    def test_the_last_good_list_stands(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            listed.clock.now += 1.0
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            assert listed.names == ["db", "web"]

    def test_who_asks_waits_only_while_it_may_still_come(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            listed.clock.now += 1.0
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            listed.clock.now += HUNG_AFTER + 0.1
            # With this timeout a test that did wait would fail.
            assert not listed.inventory.refresh(max_age=0.0, timeout=BOUND * 100)
            assert listed.inventory.hung_for() == pytest.approx(HUNG_AFTER + 0.1)

    def test_it_costs_one_thread_one_call_and_one_slot(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            listed.clock.now += 5.0
            for _ in range(10):
                listed.inventory.refresh(max_age=0.0, timeout=0.0)
            assert listed.hypervisor.count("active") == 1
            assert listed.budget.used == 1
        listed.await_attempts(2)
        assert listed.budget.used == 0

    def test_it_goes_on_by_itself(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            listed.hypervisor.add("new")
        assert listed.attempt()
        assert listed.names == ["db", "new", "web"]

    def test_a_frozen_libvirtd_stays_silent_when_its_connection_is_given_up_and_no_new_one_comes(self, listed):
        hypervisor, attempts = listed.hypervisor, listed.inventory._attempts
        with hypervisor.stuck("db", lock=True):
            listed.wake()
            hypervisor.stage.await_blocked(1)
            listed.clock.now += 20.0
            assert listed.inventory.silent
            hypervisor.calls.clear()
            # Keepalive closes the connection, and libvirtd accepts nobody either.
            hypervisor.max_clients = 0
            hypervisor.cut()
            await_call(hypervisor, "connect")
            listed.clock.now += 10.0
            assert listed.inventory.silent
            assert listed.inventory.hung_for() == pytest.approx(30.0)
        hypervisor.max_clients = None
        hypervisor.stage.review()
        listed.await_attempts(attempts + 1)
        assert listed.inventory.hung_for() == 0.0
        assert not listed.inventory.silent

    def test_a_connection_that_does_not_come_is_no_call_that_hangs(self, listed):
        hypervisor = listed.hypervisor
        hypervisor.calls.clear()
        hypervisor.max_clients = 0
        hypervisor.cut()
        listed.wake()
        await_call(hypervisor, "connect")
        listed.clock.now += 10.0
        assert listed.inventory.hung_for() == 0.0
        assert not listed.inventory.silent
        hypervisor.max_clients = None
        hypervisor.stage.review()
        assert listed.attempt()

    def test_libvirtd_seems_silent_until_anything_is_answered(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            assert not listed.inventory.silent
            listed.clock.now += HUNG_AFTER + 0.1
            assert listed.inventory.silent
            listed.budget._answered_at = listed.clock()
            assert not listed.inventory.silent

    def test_without_a_slot_there_is_no_list_and_who_asks_is_not_kept(self, listed, monkeypatch):
        monkeypatch.setattr("virt2.domains.inventory.HUNG_AFTER", 0.0)
        listed.budget.resize(0)
        listed.clock.now += 1.0
        assert not listed.inventory.refresh(max_age=0.0, timeout=BOUND)
        assert listed.hypervisor.calls == []


class TestDown:
    """libvirt away: one line, retries further and further apart, and back by itself."""

    @pytest.fixture
    def down(self, hypervisor) -> Iterator[Bench]:
        hypervisor.down = "no such socket"
        bench = Bench(hypervisor)
        bench.start()
        bench.await_attempts(1)
        hypervisor.calls.clear()
        yield bench
        bench.inventory.stop()

    def test_it_is_said_once(self, down, caplog):
        for count in range(2, 6):
            down.clock.now += RETRY
            down.wake()
            down.await_attempts(count)
        assert not down.inventory.link.up
        assert down.inventory.link.reason == "no such socket"
        assert [link.up for link in down.links] == [False]

    def test_attempts_are_ever_further_apart_up_to_the_longest(self, down):
        pauses = []
        for count in range(2, 8):
            began = down.clock()
            while down.inventory._attempts < count:
                if down.clock() >= down.inventory._reach.next_attempt:
                    down.wake()
                    down.await_attempts(count)
                else:
                    down.clock.now += 0.5
            pauses.append(down.clock() - began)
        assert pauses == [1.0, 2.0, 4.0, 8.0, RETRY, RETRY]

    def test_before_the_next_is_due_nothing_is_tried_and_nobody_waits(self, down):
        for _ in range(20):
            down.wake()
            assert not down.inventory.refresh(max_age=0.0, timeout=BOUND * 100)
        assert down.hypervisor.calls == []

    def test_it_is_back_by_itself(self, down, caplog):
        caplog.set_level("INFO")
        down.hypervisor.boot()
        down.clock.now += 1.0
        down.wake()
        down.await_attempts(2)
        assert down.names == ["db", "web"]
        assert [link.up for link in down.links] == [False, True]
        assert "libvirt is back after 1 s" in [record.getMessage() for record in caplog.records]

    def test_the_pauses_begin_anew_after_that(self, down):
        down.hypervisor.boot()
        down.clock.now += 1.0
        down.wake()
        down.await_attempts(2)
        down.hypervisor.crash()
        down.clock.now += 0.5
        down.inventory.refresh(max_age=0.0, timeout=BOUND)
        assert down.inventory._reach.next_attempt - down.clock() == 1.0


def test_a_lost_connection_is_replaced_at_once(listed):
    listed.hypervisor.cut()
    listed.hypervisor.add("new")
    assert listed.attempt()
    assert listed.names == ["db", "new", "web"]
    assert listed.links == []
    assert all(connection.closed for connection in listed.hypervisor.connections[:-1])


class TestReconnected:
    """Nobody tells of what changes while there is no connection: everything is read anew."""

    @pytest.mark.parametrize("refresh", [REFRESH, 0.0, float("inf")])
    def test_a_domain_that_was_retagged_meanwhile_is_seen(self, hypervisor, refresh):
        bench = Bench(hypervisor, refresh=refresh)
        bench.start()
        assert bench.attempt()
        hypervisor.cut()
        hypervisor.domains["web"].tag = "green"
        hypervisor.calls.clear()
        assert bench.attempt()
        assert bench.tags == {"db": "blue", "web": "green"}
        assert hypervisor.count("xml", "db") == hypervisor.count("xml", "web") == 1
        bench.inventory.stop()

    def test_and_one_that_was_retagged_while_libvirtd_was_away(self, listed):
        listed.hypervisor.crash()
        attempts = listed.inventory._attempts
        listed.clock.now += 1.0
        listed.wake()
        listed.await_attempts(attempts + 1)
        listed.hypervisor.domains["web"].tag = "green"
        listed.hypervisor.boot()
        listed.clock.now += RETRY
        listed.wake()
        listed.await_attempts(attempts + 2)
        assert listed.tags == {"db": "blue", "web": "green"}

    def test_that_costs_one_description_each_and_changes_nothing_else(self, listed):
        version = listed.inventory.version
        listed.hypervisor.cut()
        for _ in range(3):
            assert listed.attempt()
        assert listed.hypervisor.count("xml") == 2
        assert listed.inventory.version == version

    def test_one_that_cannot_be_described_now_keeps_its_description_and_is_tried_again(self, listed):
        listed.hypervisor.domains["db"].failures["xml"] = CallFailed("internal error", 1)
        listed.hypervisor.cut()
        assert listed.attempt()
        assert listed.tags["db"] == "blue"
        listed.hypervisor.domains["db"].failures.clear()
        listed.hypervisor.domains["db"].tag = "green"
        assert listed.attempt()
        assert listed.tags["db"] == "green"


class TestOutOfWorkers:
    """Lists answer, for they are priority calls, and nothing else does: others have all of libvirtd's workers."""

    def call(self, bench: Bench, kind: str = SERVER, name: str = "db") -> Job:
        """Make a call."""
        job = Job(bench.hypervisor.domains[name].uuid, kind, lambda connection, job: None)
        job.clock = bench.clock
        job.doing("info")
        pool = Pool("0", bench.budget, bench.hypervisor.connect)
        with bench.budget.lock:
            bench.budget.take(pool, job)
        return job

    def stall(self, bench: Bench, kind: str = SERVER) -> Job:
        """Make a call that does not come back."""
        job = self.call(bench, kind)
        bench.clock.now += STALLED_AFTER + 0.01
        return job

    def test_it_is_so_once_a_list_answers_that_was_asked_for_after_the_call(self, listed):
        self.stall(listed)
        assert not listed.inventory.out_of_workers
        assert listed.attempt()
        assert listed.inventory.out_of_workers

    def test_what_needs_no_worker_says_nothing_of_workers(self, listed):
        job = self.call(listed)
        job.doing("state", priority=True)
        listed.clock.now += STALLED_AFTER + 0.01
        assert job.stalled
        assert listed.attempt()
        assert not listed.inventory.out_of_workers
        assert not listed.inventory.check_workers()

    def test_such_a_list_is_asked_for_by_itself(self, listed):
        self.stall(listed)
        attempts = listed.inventory._attempts
        # To ask the question alone changes nothing.
        assert not listed.inventory.out_of_workers
        assert not listed.inventory.check_workers()
        listed.await_attempts(attempts + 1)
        assert listed.inventory._attempts == attempts + 1
        assert listed.inventory.check_workers()

    def test_it_is_not_so_while_nothing_is_stalled(self, listed):
        assert listed.attempt()
        assert not listed.inventory.out_of_workers

    def test_it_is_not_so_when_anything_that_needs_a_worker_was_answered_since(self, listed):
        job = self.stall(listed)
        assert listed.attempt()
        self.call(listed, name="web").hear()
        assert not listed.inventory.out_of_workers
        assert job.stalled

    def test_it_is_not_so_any_more_when_the_call_comes_back(self, listed):
        job = self.stall(listed)
        assert listed.attempt()
        pool = Pool("1", listed.budget, listed.hypervisor.connect)
        with listed.budget.lock:
            listed.budget.give_back(pool, job, None)
        assert not listed.inventory.out_of_workers

    def test_a_call_that_needs_a_monitor_says_nothing_of_workers(self, listed):
        self.stall(listed, MONITOR)
        assert listed.attempt()
        assert not listed.inventory.out_of_workers

    def test_a_held_lock_is_no_lack_of_workers(self, listed):
        with listed.hypervisor.stuck("db", lock=True):
            self.stall(listed)
            assert not listed.inventory.check_workers()
            listed.hypervisor.stage.await_blocked(1)
            for _ in range(3):
                listed.clock.now += 10.0
                assert not listed.inventory.check_workers()
            assert listed.hypervisor.count("active") == 1

    @pytest.mark.parametrize("before", [True, False], ids=["a call before the list", "a call after it"])
    def test_descriptions_that_are_due_meanwhile_hide_nothing(self, listed, before):
        with listed.hypervisor.full():
            listed.clock.now += REFRESH
            if before:
                self.stall(listed)
            # The list is answered; the first description, which is no priority call, is not.
            listed.wake()
            listed.hypervisor.stage.await_blocked(1)
            listed.clock.now += 0.01
            if not before:
                self.stall(listed)
            listed.clock.now += HUNG_AFTER
            assert listed.inventory.out_of_workers
            assert not listed.inventory.silent

    def test_a_description_of_which_a_call_was_answered_since_hides_nothing_either(self, hypervisor):
        bench = Bench(hypervisor, backups=True)
        bench.start()
        assert bench.attempt()
        bench.clock.now += REFRESH

        def stall(call: str, name: str, device: str) -> None:
            if (call, name) == ("xml", "web"):
                self.call(bench)
                bench.clock.now += STALLED_AFTER + 0.01
            elif (call, name) == ("backup", "web"):
                hypervisor.domains["web"].stuck.add("lock")

        hypervisor.on_call = stall
        bench.wake()
        hypervisor.stage.await_blocked(1)
        bench.clock.now += HUNG_AFTER
        # libvirtd had a worker for the XML when the other call was out already.
        assert not bench.inventory.out_of_workers
        hypervisor.on_call = lambda call, name, device: None
        hypervisor.domains["web"].stuck.clear()
        bench.inventory.stop()
        hypervisor.cut()

    def test_a_lock_taken_between_list_and_description_is_no_lack_of_workers(self, listed):
        def take_lock(call: str, name: str, device: str) -> None:
            if (call, name) == ("xml", "db"):
                listed.hypervisor.domains["db"].stuck.add("lock")

        listed.hypervisor.on_call = take_lock
        listed.clock.now += REFRESH
        listed.wake()
        listed.hypervisor.stage.await_blocked(1)
        listed.clock.now += HUNG_AFTER
        assert not listed.inventory.out_of_workers
        self.stall(listed)
        self.call(listed, name="web").hear()
        assert not listed.inventory.out_of_workers
        assert not listed.inventory.silent
        listed.hypervisor.on_call = lambda call, name, device: None
        listed.hypervisor.domains["db"].stuck.clear()


def test_what_was_to_be_read_again_is_not_forgotten_when_the_connection_is_lost(listed):
    lost = []

    def lose(call: str, name: str, device: str) -> None:
        if call == "xml" and not lost:
            lost.append(name)
            listed.hypervisor.cut()

    listed.hypervisor.on_call = lose
    for name in ("db", "web"):
        listed.hypervisor.domains[name].tag = "green"
        listed.inventory._stale[listed.hypervisor.domains[name].uuid] = name
    assert listed.attempt()
    assert lost
    assert listed.tags == {"db": "green", "web": "green"}


def test_an_unexpected_failure_is_said_once_and_ends_nothing(listed, caplog):
    def explode() -> Describe:
        raise ZeroDivisionError

    listed.describer = explode
    listed.hypervisor.add("new")
    for _ in range(3):
        listed.attempt()
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    listed.describer = describer
    listed.attempt()
    assert listed.names == ["db", "new", "web"]


def test_charges_of_domains_that_are_gone_are_dropped(listed):
    pool = Pool("0", listed.budget, listed.hypervisor.connect)
    for name in ("db", "web"):
        uuid = listed.hypervisor.domains[name].uuid
        pool.monitor_held += 1
        job = Job(uuid, MONITOR, lambda connection, job: None)
        charge = Charge(pool, job, listed.hypervisor.daemon, 0.0)
        listed.budget.charges[uuid, MONITOR] = charge
    uuid = listed.hypervisor.remove("db").uuid
    listed.attempt()
    assert listed.budget.charged(uuid) is None
    assert listed.budget.used == 1


class TestFilter:
    """Domains that are not to be reported."""

    @pytest.fixture
    def wanted(self) -> set[str]:
        return {"db"}

    @pytest.fixture
    def lists(self) -> list[list[str]]:
        return []

    @pytest.fixture
    def bench(self, hypervisor, wanted, lists) -> Iterator[Bench]:
        bench = Bench(hypervisor, wants=lambda name, uuid: name in wanted, on_list=lambda: lists.append(bench.names))
        yield bench
        bench.inventory.stop()
        bench.hypervisor.cut()

    def test_they_are_not_there_and_cost_no_call(self, bench):
        bench.start()
        assert bench.attempt()
        assert bench.names == ["db"]
        assert {name for _, name, _ in bench.hypervisor.calls} == {"", "db"}

    def test_a_renamed_domain_comes_and_goes(self, bench, hypervisor):
        bench.start()
        bench.attempt()
        domain = hypervisor.domains["web"] = hypervisor.domains.pop("db")
        domain.name = "web"
        bench.attempt()
        assert bench.names == []

    def test_the_end_of_each_list_is_told_when_all_are_described(self, bench, hypervisor, lists):
        hypervisor.domains["db"].failures["xml"] = CallFailed("no")
        bench.start()
        bench.attempt()
        assert lists == []
        del hypervisor.domains["db"].failures["xml"]
        bench.attempt()
        assert lists == [["db"]]


def test_its_state_can_be_read_off(bench):
    assert repr(bench.inventory) == "<Inventory never connected domains=0 version=0>"
    bench.start()
    bench.attempt()
    assert repr(bench.inventory).startswith("<Inventory up domains=2 ")


def test_an_attempt_that_takes_long_because_of_many_descriptions_does_not_hang(bench):
    for number in range(60):
        bench.hypervisor.add(f"vm{number}")
    hung = []

    def take(call: str, name: str, device: str) -> None:
        # Each call takes a tenth of what is called a hang.
        bench.clock.now += HUNG_AFTER / 10
        hung.append(bench.inventory.hung_for())

    bench.hypervisor.on_call = take
    bench.start()
    assert bench.attempt()
    assert len(bench.names) == 62
    assert max(hung) < HUNG_AFTER
    assert not bench.inventory.silent
    assert bench.inventory.hung_for() == 0.0


@pytest.fixture
def make_bench(hypervisor) -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(**options: object) -> Bench:
        made.append(Bench(hypervisor, **options))
        made[-1].start()
        return made[-1]

    yield make
    for bench in made:
        bench.inventory.stop()
    hypervisor.cut()


class TestPaused:
    """One more list tells which domains are paused, where somebody wants to know."""

    def test_nobody_asks_where_nobody_wants_it(self, listed):
        assert listed.inventory.paused is None
        assert listed.hypervisor.count("paused") == 0

    def test_it_comes_with_every_list_and_after_it(self, make_bench):
        bench = make_bench(paused=True)
        database = bench.hypervisor.domains["db"]
        database.info = database.info._replace(state=PAUSED)
        assert bench.attempt()
        assert bench.inventory.paused == {database.uuid}
        calls = [call for call, _, _ in bench.hypervisor.calls]
        assert calls.index("active") < calls.index("paused")
        database.info = database.info._replace(state=RUNNING)
        assert bench.attempt()
        assert bench.inventory.paused == set()


class TestTold:
    """Since when libvirt tells of changes."""

    def test_it_is_since_the_connection_that_stands(self, listed):
        since = listed.inventory.told_since
        assert since is not None
        listed.clock.now += 5.0
        listed.hypervisor.cut()
        assert listed.attempt()
        assert listed.inventory.told_since > since + 5.0

    def test_it_is_not_so_where_something_cannot_be_watched(self, make_bench, hypervisor):
        hypervisor.events = False
        bench = make_bench()
        assert bench.attempt()
        assert bench.inventory.told_since is None
