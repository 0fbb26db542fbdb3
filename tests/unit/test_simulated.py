"""The simulated libvirtd: its door is held to the contract of the real one, and its calls take what was recorded."""

from __future__ import annotations

import random
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hasty import ask_for_each_list
from bench.simulated import domains, door, latencies, libvirtd, qemus
from bench.simulated.latencies import CALLS, Latencies, Latency
from bench.simulated.subject import Node, Stub, Values
from tests.unit.hypervisor_contract import *  # noqa: F403
from tests.unit.hypervisor_contract import Subject
from tests.unit.plugin.conftest import host, module  # noqa: F401 - fixtures
from tests.unit.plugin.daemon import limits
from virt2.domains.inventory import Inventory
from virt2.errors import Disconnected
from virt2.sources import admin, procfs

BOUND = 10.0
"""Seconds for what takes a few milliseconds."""


class Counted:
    """A wire that takes no time, and counts."""

    def __init__(self, calls: Counter[str]) -> None:
        self._calls = calls

    def call(self, call: str) -> None:
        self._calls[call] += 1

    def close(self) -> None:
        pass


@pytest.fixture
def calls() -> Counter[str]:
    return Counter()


@pytest.fixture
def hypervisor(calls) -> door.Hypervisor:
    return door.Hypervisor(domains.made(3, disks=1, nics=1, tag="blue"), lambda: Counted(calls))


@pytest.fixture
def subject() -> Subject:
    return Subject("guest-2", "blue", "vda", "sim2n0")


def test_each_call_is_one_round_trip_and_the_first_one_for_a_domain_looks_it_up(hypervisor, calls):
    connection = hypervisor.connect()
    uuid = domains.made(1)[0].uuid
    for _ in range(3):
        connection.disk(uuid, "vda")
    assert calls == {latencies.OPEN: 1, latencies.LOOK_UP: 1, latencies.DISK: 3}
    assert len(connection.active()) == 3
    connection.info(domains.made(2)[1].uuid)
    assert calls[latencies.LOOK_UP] == 1


@pytest.mark.parametrize("is_hasty", [False, True])
def test_virt2_as_it_is_reads_the_simulated_domains(
    hypervisor,
    calls,
    host,  # noqa: F811
    module,  # noqa: F811
    monkeypatch,
    is_hasty,
):
    # What is changed is put back.
    monkeypatch.setattr(Inventory, "refresh", Inventory.refresh)
    if is_hasty:
        ask_for_each_list()
    hypervisor.daemon = 1
    host.hypervisor, host.limits = hypervisor, limits(20)
    collectd = Stub()
    plugin = module.register(collectd)
    options = (Node("Interval", (10.0,)), Node("StatusSocket", (host.status_socket,)))
    collectd.callbacks["config"](Node("Module", ("virt2",), options))
    collectd.callbacks["init"]()
    try:
        assert plugin.assembly.inventory.refresh(BOUND, BOUND)
        assert plugin.assembly.poller.wait(BOUND)
        for _ in range(3):
            calls.clear()
            before = Values.dispatched
            collectd.reads["virt2/0"]()
        reader = plugin.assembly.readers["0"]
        assert (reader.domains, list(reader.skipped)) == (3, [])
        assert calls[latencies.DISK] == 3
        if is_hasty:
            # The list of the read before is young, and not taken. virt2 is told that it has one of this read.
            assert calls[latencies.ACTIVE] == 1
            assert plugin.assembly.inventory.refresh(60.0, BOUND)
            assert calls[latencies.ACTIVE] == 2
        # CPU, memory, 2 of a disk, 4 of an interface, how well it and its sample are; and what virt2 says of itself.
        assert Values.dispatched - before > 3 * 10
    finally:
        collectd.callbacks["shutdown"]()


def test_domains_are_the_same_in_every_process_and_no_two_are_alike():
    some = domains.made(1000)
    assert some == domains.made(1000)
    assert len({domain.uuid for domain in some}) == len({domain.name for domain in some}) == 1000
    nics = [nic for domain in some for nic in domain.nics]
    assert len(set(nics)) == 2000
    # Linux takes no longer names.
    assert max(map(len, nics)) <= 15


def recorded(busy: float = 0.5, seconds: float = 0.002) -> Latencies:
    """Every kind of call takes the same."""
    return Latencies("made up", {call: Latency((seconds,) * latencies.BINS, busy) for call in CALLS})


def test_what_was_recorded_is_what_calls_take_on_average():
    took = [0.001] * 300 + [0.003] * 150 + [0.1] * 5
    latency = latencies.latency(took, sum(took) / 4)
    assert latency.busy == pytest.approx(0.25)
    assert latency.mean == pytest.approx(statistics.mean(took), rel=0.05)
    known = Latencies("", {latencies.DISK: latency})
    dice = random.Random(7)
    drawn = [sum(known.draw(latencies.DISK, 1, dice)) for _ in range(20_000)]
    assert statistics.mean(drawn) == pytest.approx(latency.mean, rel=0.1)
    assert max(drawn) == pytest.approx(0.1, rel=0.1)


def test_a_call_is_busy_for_a_part_of_its_time_and_a_list_goes_by_the_domains():
    known, dice = recorded(busy=0.75), random.Random(7)
    assert known.draw(latencies.DISK, 1000, dice) == (pytest.approx(0.0015), pytest.approx(0.0005))
    assert sum(known.draw(latencies.ACTIVE, 1000, dice)) == pytest.approx(2.0)


def test_what_was_recorded_is_read_as_it_was_written():
    known = recorded(busy=0.25, seconds=0.00123)
    assert latencies.load(latencies.dump(known)).calls == {
        call: Latency(tuple(map(pytest.approx, latency.bins)), 0.25) for call, latency in known.calls.items()
    }


def test_a_record_without_a_call_is_refused():
    calls = {call: latency for call, latency in recorded().calls.items() if call != latencies.XML}
    with pytest.raises(ValueError, match="not what was recorded"):
        latencies.load(latencies.dump(Latencies("", calls)))


def test_too_few_calls_are_refused():
    with pytest.raises(ValueError, match="too few"):
        latencies.latency([0.001] * (latencies.BINS - 1), 0.0)


def test_the_record_that_is_used_was_made_of_every_call():
    known = latencies.load(latencies.FILE.read_text())
    assert "guests" in known.origin
    for call in CALLS:
        assert 0 < known.calls[call].busy <= 1
        assert list(known.calls[call].bins) == sorted(known.calls[call].bins)
    # A monitor takes longer than what libvirtd knows by itself.
    assert known.calls[latencies.DISK].mean > known.calls[latencies.INFO].mean > 10e-6


class Callers:
    """Calls that stay until they are let go."""

    def __init__(self, workers: libvirtd.Workers) -> None:
        self._workers = workers
        self._leave = threading.Event()
        self._changed = threading.Condition()
        self._served: Counter[bool] = Counter()
        self._threads: list[threading.Thread] = []

    def call(self, count: int, is_priority: bool) -> None:
        for _ in range(count):
            self._threads.append(threading.Thread(target=self._stay, args=[is_priority]))
            self._threads[-1].start()

    def await_served(self, ordinary: int, priority: int) -> None:
        with self._changed:
            wanted = {False: ordinary, True: priority}
            assert self._changed.wait_for(lambda: self._served == Counter(wanted), BOUND), self._served

    def let_go(self) -> None:
        self._leave.set()
        for thread in self._threads:
            thread.join(BOUND)

    def _stay(self, is_priority: bool) -> None:
        with self._workers.one(is_priority):
            with self._changed:
                self._served[is_priority] += 1
                self._changed.notify_all()
            self._leave.wait(BOUND)


def test_so_many_calls_are_served_at_a_time_and_priority_calls_beyond_them():
    workers = libvirtd.Workers(most=3, priority=2)
    callers = Callers(workers)
    try:
        callers.call(5, is_priority=False)
        callers.await_served(3, 0)
        callers.call(3, is_priority=True)
        callers.await_served(3, 2)
        said = workers.parameters()
        assert (said["maxWorkers"], said["freeWorkers"]) == (3, said["nWorkers"] - 3)
    finally:
        callers.let_go()
    callers.await_served(5, 3)
    assert workers.parameters()["jobQueueDepth"] == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's, which has 107 bytes."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


class Spent:
    """What a server spent instead of time."""

    def __init__(self) -> None:
        self.busy: list[float] = []
        self.slept: list[float] = []


@pytest.fixture
def server(folder) -> Iterator[tuple[Path, libvirtd.Server, Spent]]:
    """A server that takes no time, and its socket."""
    spent = Spent()
    made = libvirtd.Server(recorded(busy=0.75), 10, spent.busy.append, spent.slept.append)
    listener = libvirtd.Listener(folder / "calls", made.serve)
    yield folder / "calls", made, spent
    listener.close()
    # Every client has gone, and so has who served it.
    limit = time.monotonic() + BOUND
    while made.clients:
        assert time.monotonic() < limit, "a connection is still served"
        time.sleep(0.001)


def test_a_call_over_the_socket_takes_what_was_recorded_less_the_way_there_and_back(server):
    path, made, spent = server
    made.overhead = 0.0001
    hypervisor = door.Hypervisor(domains.made(10), lambda: door.SocketWire(path))
    connection = hypervisor.connect()
    listed = connection.active()
    assert len(listed) == 10
    connection.disk(listed[0].uuid, "vdb")
    assert spent.busy == [pytest.approx(0.0014), pytest.approx(0.0149), pytest.approx(0.0014)]
    assert spent.slept == [pytest.approx(0.0005), pytest.approx(0.005), pytest.approx(0.0005)]
    connection.close()


def test_a_wait_that_the_kernel_cannot_make_is_spent_busy(server):
    path, made, spent = server
    made._recorded = recorded(busy=0.75, seconds=0.0002)
    connection = door.Hypervisor(domains.made(10), lambda: door.SocketWire(path)).connect()
    assert spent.busy == [pytest.approx(0.0002)]
    assert spent.slept == []
    connection.close()


def test_a_call_that_takes_no_time_takes_none(server):
    path, _, spent = server
    assert 0 < libvirtd.overhead(path) < BOUND
    assert spent.busy == []


def test_a_libvirtd_that_is_not_there_cannot_be_connected_to(folder):
    with pytest.raises(Disconnected, match="No such file"):
        door.SocketWire(folder / "nothing")


def test_a_connection_is_lost_with_its_libvirtd(folder):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "calls"))
        listener.listen()
        wire = door.SocketWire(folder / "calls")
        listener.accept()[0].close()
        with pytest.raises(Disconnected):
            wire.call(latencies.INFO)
        wire.close()


def test_the_admin_socket_tells_virt2_of_workers_and_clients(server):
    path, made, _ = server
    connection = door.Hypervisor(domains.made(10), lambda: door.SocketWire(path)).connect()
    listener = libvirtd.Listener(path.parent / "libvirt-admin-sock", libvirtd.Admin(made).serve)
    # It is asked over one connection again and again, and told when that is over.
    session = admin.Session(f"qemu:///system?socket={path.parent}/libvirt-sock", BOUND)
    idle = session.limits()
    with made.workers.one(is_priority=False):
        busy = session.limits()
    session.close()
    listener.close()
    connection.close()
    assert (idle.max_workers, idle.busy, idle.available, idle.job_queue_depth) == (libvirtd.MAX_WORKERS, 0, 20, 0)
    assert (busy.busy, busy.available) == (1, 19)
    assert (idle.clients, idle.max_clients) == (1, libvirtd.MAX_CLIENTS)


def test_the_processes_are_taken_for_the_domains_own(tmp_path):
    some = domains.made(3)
    started = qemus.start(some, tmp_path / "qemu", tmp_path / "qemu-system-x86_64")
    try:
        # A process that is being started may not be seen yet.
        limit = time.monotonic() + BOUND
        while any(procfs.main_thread_state(process.pid) != "S" for process in started):
            assert time.monotonic() < limit, "a process does not wait for its input"
            time.sleep(0.001)
        seen = procfs.Processes(str(tmp_path / "qemu"))
        assert {guest.name for guest in procfs.guests(str(tmp_path / "qemu"))} == {domain.name for domain in some}
        for domain, process in zip(some, started):
            assert seen.pid(domain.uuid, domain.name) == process.pid
            assert seen.account(domain.uuid) is not None
            assert seen.stopped(domain.uuid, domain.name) == ""
            assert procfs.read_stat(process.pid).comm == b"qemu-system-x86"
    finally:
        for process in started:
            process.stdin.close()
            # Without its input each ends by itself.
            assert process.wait(BOUND) is not None
            process.stdin = None
