"""The fake hypervisor is held to the contract of the real one; and it can be as stuck as the real one."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.unit.fake_collectd import TYPES, FakeCollectd
from tests.unit.fake_time import BOUND
from tests.unit.fakes import FakeHypervisor
from tests.unit.hypervisor_contract import *  # noqa: F403
from tests.unit.hypervisor_contract import Subject
from virt2.errors import Disconnected


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    hypervisor = FakeHypervisor()
    hypervisor.add("other")
    hypervisor.add("subject", tag="blue")
    return hypervisor


@pytest.fixture
def subject() -> Subject:
    return Subject("subject", "blue", "vda", "vnet0")


class Caller:
    """A call on a thread of its own."""

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.failure: Exception | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._call()
        except Disconnected as error:
            self.failure = error

    def ended(self) -> bool:
        self.thread.join(BOUND)
        return not self.thread.is_alive()


def test_a_stuck_monitor_holds_its_own_disks_only(hypervisor):
    connection, other = hypervisor.connect(), hypervisor.domains["other"]
    with hypervisor.stuck("subject", monitor=True) as subject:
        caller = Caller(lambda: hypervisor.connect().disk(subject.uuid, "vda"))
        hypervisor.stage.await_blocked(1)
        assert connection.info(subject.uuid)
        assert connection.nic(subject.uuid, "vnet0")
        assert connection.disk(other.uuid, "vda")
        assert connection.active()
        assert hypervisor.stage.blocked == 1
    assert caller.ended()
    assert caller.failure is None


def test_a_held_lock_holds_the_list_and_every_call_on_the_domain(hypervisor):
    connection, other = hypervisor.connect(), hypervisor.domains["other"]
    with hypervisor.stuck("subject", lock=True) as subject:
        callers = [
            Caller(lambda: hypervisor.connect().active()),
            Caller(lambda: hypervisor.connect().find("subject")),
            Caller(lambda: hypervisor.connect().control(subject.uuid)),
            Caller(lambda: hypervisor.connect().disk(subject.uuid, "vda")),
        ]
        hypervisor.stage.await_blocked(4)
        assert connection.control(other.uuid)
    assert all(caller.ended() for caller in callers)


def test_dead_storage_harms_nobody_until_its_size_is_asked_for(hypervisor):
    connection = hypervisor.connect()
    subject = hypervisor.add("second", disks=("vda", "vdb"), sources={"vdb": "/san"})
    with hypervisor.dead_storage("/san"):
        assert connection.disk(subject.uuid, "vdb")
        assert connection.disk_sizes(subject.uuid, "vda")
        callers = [Caller(lambda: hypervisor.connect().disk_sizes(subject.uuid, "vdb"))]
        hypervisor.stage.await_blocked(1)
        callers.append(Caller(lambda: hypervisor.connect().disk(subject.uuid, "vda")))
        hypervisor.stage.await_blocked(2)
        assert connection.info(subject.uuid)
        assert connection.disk(hypervisor.domains["other"].uuid, "vda")
    assert all(caller.ended() for caller in callers)
    assert connection.disk(subject.uuid, "vda")
    assert hypervisor.most_touching["/san"] == 1


def test_asking_for_disk_errors_touches_all_storage_of_a_domain(hypervisor):
    subject = hypervisor.add("second", disks=("vda", "vdb"), sources={"vdb": "/san"})
    with hypervisor.dead_storage("/san"):
        caller = Caller(lambda: hypervisor.connect().disk_errors(subject.uuid))
        hypervisor.stage.await_blocked(1)
    assert caller.ended()


def test_with_the_normal_workers_taken_priority_calls_answer(hypervisor):
    connection, subject = hypervisor.connect(), hypervisor.domains["subject"]
    with hypervisor.full():
        callers = [
            Caller(lambda: hypervisor.connect().info(subject.uuid)),
            Caller(lambda: hypervisor.connect().xml(subject.uuid)),
        ]
        hypervisor.stage.await_blocked(2)
        assert connection.active()
        assert connection.state(subject.uuid)
        assert connection.nic(subject.uuid, "vnet0")
        assert connection.control(subject.uuid)
    assert all(caller.ended() for caller in callers)


def test_a_call_in_flight_is_cut_off_with_its_connection(hypervisor):
    with hypervisor.stuck("subject", monitor=True) as subject:
        connection = hypervisor.connect()
        caller = Caller(lambda: connection.disk(subject.uuid, "vda"))
        hypervisor.stage.await_blocked(1)
        hypervisor.cut()
        assert caller.ended()
        assert isinstance(caller.failure, Disconnected)
        assert not connection.alive


def test_a_libvirtd_that_is_down_cannot_be_connected_to(hypervisor):
    hypervisor.crash("no such file")
    with pytest.raises(Disconnected, match="no such file"):
        hypervisor.connect()
    hypervisor.boot()
    assert hypervisor.connect().alive


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        pytest.param({"type": "no_such_type", "values": [1]}, TypeError, id="unknown type"),
        pytest.param({"values": [1]}, RuntimeError, id="no type"),
        pytest.param({"type": "gauge", "values": [1, 2]}, RuntimeError, id="too many values"),
        pytest.param({"type": "disk_ops", "values": [1]}, RuntimeError, id="too few values"),
        pytest.param({"type": "gauge", "values": 1}, TypeError, id="no list"),
        pytest.param({"type": "gauge", "values": [None]}, TypeError, id="no number"),
        pytest.param({"type": "virt_cpu_total", "values": [2**63]}, OverflowError, id="too large"),
        pytest.param({"type": "virt_cpu_total", "values": [float("nan")]}, ValueError, id="not a number"),
        pytest.param({"type": "gauge", "values": [1], "host": None}, TypeError, id="no string"),
        pytest.param({"type": "gauge", "values": [1], "host": "a\0b"}, TypeError, id="null in a string"),
        pytest.param({"type": "gauge", "values": [1], "host": "\udc80"}, UnicodeEncodeError, id="surrogate"),
        pytest.param({"type": "gauge", "values": [1], "colour": "red"}, TypeError, id="unknown field"),
    ],
)
def test_the_fake_collectd_refuses_what_the_real_one_refuses(fields, error):
    collectd = FakeCollectd()
    with pytest.raises(error):
        collectd.Values(plugin="p", interval=1.0).dispatch(**fields)
    assert not collectd.dispatched


def test_the_fake_collectd_takes_the_types_it_knows_and_converts_like_the_real_one():
    collectd = FakeCollectd()
    values = collectd.Values(plugin="p", interval=1.0)
    for name, kinds in TYPES.items():
        values.dispatch(type=name, values=[1.5] * len(kinds))
        expected = tuple(1.5 if kind == "gauge" else 1 for kind in kinds)
        assert collectd.dispatched[-1].values == expected
