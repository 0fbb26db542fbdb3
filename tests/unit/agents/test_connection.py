"""There is one read-write connection at the most, whoever needs it."""

from __future__ import annotations

import threading

import pytest

from tests.unit.fake_time import BOUND
from tests.unit.fakes import FakeHypervisor
from virt2.agents import connection
from virt2.agents.connection import SharedConnection
from virt2.errors import Disconnected


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    hypervisor = FakeHypervisor()
    hypervisor.add("web").agent = True
    return hypervisor


@pytest.fixture
def line(hypervisor) -> SharedConnection:
    return SharedConnection(hypervisor.connect_agents)


def test_nothing_is_opened_before_it_is_needed(hypervisor, line):
    assert hypervisor.agent_connections == []


def test_two_workers_hold_the_same_connection(hypervisor, line):
    first, second = line.hold(), line.hold()
    assert first.calls is second.calls
    assert len(hypervisor.agent_connections) == 1


def test_the_last_that_lets_go_closes_it(hypervisor, line):
    first, second = line.hold(), line.hold()
    first.close()
    assert second.alive
    second.close()
    assert hypervisor.agent_connections[0].closed
    assert line.hold().alive
    assert len(hypervisor.agent_connections) == 2


def test_one_that_is_lost_is_made_anew_once_while_another_still_holds_it(hypervisor, line):
    first, second = line.hold(), line.hold()
    hypervisor.cut()
    assert not first.alive
    first.close()
    anew = line.hold()
    assert anew.alive
    second.close()
    assert line.hold().calls is anew.calls
    assert len(hypervisor.agent_connections) == 2


def test_one_that_is_refused_is_known_with_the_reason_until_it_is_not(hypervisor, line):
    hypervisor.read_write = False
    with pytest.raises(Disconnected):
        line.hold()
    assert line.refused == "authentication failed"
    hypervisor.read_write = True
    line.hold()
    assert line.refused == ""


def test_while_it_is_being_made_others_wait_and_make_none(hypervisor, monkeypatch):
    begun, go_on = threading.Event(), threading.Event()

    def connect():
        begun.set()
        assert go_on.wait(BOUND)
        return hypervisor.connect_agents()

    line = SharedConnection(connect)
    holds = []
    threads = [threading.Thread(target=lambda: holds.append(line.hold())) for _ in range(2)]
    threads[0].start()
    assert begun.wait(BOUND)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(BOUND)
    assert len(hypervisor.agent_connections) == 1
    assert len(holds) == 2


def test_one_that_is_made_for_ever_is_not_waited_for(hypervisor, monkeypatch):
    monkeypatch.setattr(connection, "PATIENCE", 0.01)
    begun, go_on = threading.Event(), threading.Event()

    def connect():
        begun.set()
        assert go_on.wait(BOUND)
        return hypervisor.connect_agents()

    line = SharedConnection(connect)
    thread = threading.Thread(target=line.hold)
    thread.start()
    assert begun.wait(BOUND)
    with pytest.raises(Disconnected, match="still being made"):
        line.hold()
    go_on.set()
    thread.join(BOUND)
