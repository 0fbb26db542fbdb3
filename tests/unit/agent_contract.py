"""What virt2 takes for granted of a guest's agent: run against the fake hypervisor and a real QEMU.

Each function is a test. A module that imports them gives the fixtures `hypervisor`, to connect to, which has three
domains running: `talker` with an agent that tells its host name and its file systems `/` and `/var/log`, `mute` with
none, and `raver`, whose agent tells nonsense.
"""

from __future__ import annotations

import time

import pytest

from tests.unit.hypervisor_contract import NOBODY
from virt2.agents.guestinfo import from_fs_info, from_guest_info
from virt2.errors import AgentSilent, CallFailed, Disconnected, DomainGone

AT_ONCE = 1.0
"""Seconds in which what takes milliseconds is done."""
CALLS = ["guest_info", "fs_info"]


def uuid_of(hypervisor, name: str) -> str:
    return hypervisor.connect().find(name).uuid


def test_an_agent_tells_all_it_can_in_one_call(hypervisor):
    guest = from_guest_info(hypervisor.connect_agents().guest_info(uuid_of(hypervisor, "talker")))
    assert guest.texts["guest_hostname"] == "inside"
    assert [file_system.mount_point for file_system in guest.file_systems] == ["/", "/var/log"]
    assert all(file_system.total for file_system in guest.file_systems)


def test_the_older_call_tells_of_the_file_systems(hypervisor):
    guest = from_fs_info(hypervisor.connect_agents().fs_info(uuid_of(hypervisor, "talker")))
    assert [file_system.mount_point for file_system in guest.file_systems] == ["/", "/var/log"]
    assert guest.file_systems[0].disks == ("vda",)


@pytest.mark.parametrize("call", CALLS)
def test_a_guest_without_agent_is_told_at_once(hypervisor, call):
    connection, uuid = hypervisor.connect_agents(), uuid_of(hypervisor, "mute")
    began = time.monotonic()
    with pytest.raises(AgentSilent):
        getattr(connection, call)(uuid)
    assert time.monotonic() - began < AT_ONCE
    assert connection.alive


@pytest.mark.parametrize("call", CALLS)
def test_nonsense_is_a_failed_call(hypervisor, call):
    connection, uuid = hypervisor.connect_agents(), uuid_of(hypervisor, "raver")
    with pytest.raises(CallFailed):
        getattr(connection, call)(uuid)
    assert connection.alive


@pytest.mark.parametrize("call", CALLS)
def test_the_agent_of_a_domain_that_is_not_there_is_gone(hypervisor, call):
    with pytest.raises(DomainGone):
        getattr(hypervisor.connect_agents(), call)(NOBODY)


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_connection_asks_no_agent(hypervisor, call):
    connection, uuid = hypervisor.connect_agents(), uuid_of(hypervisor, "talker")
    getattr(connection, call)(uuid)
    connection.close()
    connection.close()
    assert not connection.alive
    with pytest.raises(Disconnected):
        getattr(connection, call)(uuid)
