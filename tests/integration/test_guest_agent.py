"""Guests' agents in a real libvirtd: what they tell, and that one that hangs or raves costs nobody else anything.

The agents are programs of this test's, for guests without an operating system have none; see `tests.lab.guest_agent`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.integration.support import (
    INTERVAL,
    SOON,
    about,
    assert_no_gap,
    collectd,
    held_workers,
    messages,
    of_host,
    wait_for_reads,
)
from tests.lab import Guest, RunningGuest, wait_for
from tests.lab.collectd_daemon import Collectd, python_module
from tests.lab.guest_agent import CHANNEL, GuestAgent, install
from tests.lab.machine import ROOT
from tests.unit.agent_contract import *  # noqa: F403
from virt2.errors import CallFailed
from virt2.sources.hypervisor import Hypervisor

TALKERS = ("talker", "raver", "slow", "well")
SETTINGS = 'ExtraStats "guest_info"\nGuestAgentInterval 2\nGuestAgentTimeout 2'
FREEZE = 2.5
"""Seconds that a freeze takes, longer than `GuestAgentTimeout`."""
NONSENSE = {"guest-get-users": b'{"return": 7}\n', "guest-get-fsinfo": b'{"return": {"mountpoint": 5}}\n'}
SERIES = {
    "users": (2,),
    "df_complex-used-root": (250,),
    "df_complex-free-root": (750,),
    "percent_bytes-used-root": (25,),
    "df_complex-used-var-log": (1000,),
    "df_complex-free-var-log": (3000,),
    "percent_bytes-used-var-log": (25,),
}


@pytest.fixture(scope="module")
def agents(module_lab) -> Iterator[dict[str, GuestAgent]]:
    """Agents by the name of their guest; all the guests run."""
    emulator = str(install(module_lab.work_dir))
    found = {name: GuestAgent(module_lab.work_dir, name) for name in TALKERS}
    module_lab.guests([Guest(name, devices=CHANNEL, emulator=emulator) for name in TALKERS])
    # Its channel is there, and nobody in the guest opens it.
    module_lab.guest(Guest("mute", devices=CHANNEL))
    yield found
    for agent in found.values():
        agent.close()


@pytest.fixture(autouse=True)
def tidy(agents) -> Iterator[None]:
    agents["raver"].raw = dict(NONSENSE)
    yield
    for agent in agents.values():
        agent.heal()


@pytest.fixture
def hypervisor(module_lab) -> Hypervisor:
    return Hypervisor(module_lab.uri)


@pytest.fixture
def guests(module_lab, agents) -> list[RunningGuest]:
    """All of them, to be looked at."""
    return [
        RunningGuest(module_lab, Guest(domain.name(), uuid=domain.UUIDString()), nics_of(domain))
        for domain in module_lab.connection.listAllDomains()
    ]


def nics_of(domain) -> list[str]:
    return [line.split("'")[1] for line in domain.XMLDesc().splitlines() if "<target dev='lab" in line]


def uuid_of(hypervisor: Hypervisor, name: str) -> str:
    return hypervisor.connect().find(name).uuid


def freeze(lab, name: str) -> float:
    """Have a guest's file systems frozen by another client, as for a backup; returns how long that took."""
    other = lab.connect()
    try:
        domain = other.lookupByName(name)
        began = time.monotonic()
        assert domain.fsFreeze() == 2
        took = time.monotonic() - began
        domain.fsThaw()
        return took
    finally:
        other.close()


def said(daemon: Collectd, name: str) -> list[str]:
    """What was logged of a domain's agent."""
    return [line.split("domain ")[1] for line in daemon.log.splitlines() if f"domain {name}: its guest agent" in line]


def well(daemon: Collectd, name: str, since: float = 0.0) -> Callable[[], bool]:
    """Whether all that an agent tells has a point since then."""

    def is_there() -> bool:
        own = of_host(daemon.series(name), name)
        # A file that has just been begun has no point yet.
        return all(own.get(series) and own[series][-1][0] >= since for series in SERIES)

    return is_there


class TestCalls:
    """The two calls, as libvirt makes them."""

    def test_a_freeze_that_waits_for_our_call_has_all_the_time_it_needs(self, module_lab, hypervisor, agents):
        agents["slow"].delays = {"guest-get-users": 0.8, "guest-fsfreeze-freeze": FREEZE}
        agents["slow"].commands.clear()
        connection, uuid = hypervisor.connect_agents(), uuid_of(hypervisor, "slow")
        asking = threading.Thread(target=connection.guest_info, args=(uuid,), daemon=True)
        asking.start()
        wait_for(lambda: "guest-get-users" in agents["slow"].commands, SOON, "our call is out")
        assert freeze(module_lab, "slow") >= FREEZE
        asking.join(SOON)
        assert not asking.is_alive()

    def test_nothing_stays_behind_when_we_die_in_a_call(self, module_lab, hypervisor, agents):
        agents["slow"].delays = {"guest-get-users": 0.8, "guest-fsfreeze-freeze": FREEZE}
        ask = (
            "from virt2.sources.hypervisor import Hypervisor;"
            f"Hypervisor({module_lab.uri!r}).connect_agents().guest_info({uuid_of(hypervisor, 'slow')!r})"
        )
        agents["slow"].commands.clear()
        dying = subprocess.Popen([sys.executable, "-c", ask], cwd=ROOT)
        try:
            wait_for(lambda: "guest-get-users" in agents["slow"].commands, SOON, "our call is out")
        finally:
            dying.kill()
            dying.wait(SOON)
        assert freeze(module_lab, "slow") >= FREEZE

    def test_while_an_agent_is_waited_for_nobody_else_waits(self, module_lab, hypervisor, agents):
        connection, uuid = hypervisor.connect_agents(), uuid_of(hypervisor, "slow")
        agents["slow"].delay = 0.5
        before = held_workers(module_lab)
        waiting = threading.Thread(target=connection.guest_info, args=(uuid,), daemon=True)
        waiting.start()
        wait_for(lambda: held_workers(module_lab) > before, SOON, "a worker is held")
        others = hypervisor.connect()
        began = time.monotonic()
        assert others.control(uuid).state == 0
        assert others.disk(uuid, "vda")
        assert others.info(uuid)
        assert len(others.active()) == len(TALKERS) + 1
        assert time.monotonic() - began < 0.5
        assert held_workers(module_lab) == before + 1
        assert waiting.is_alive()
        waiting.join(SOON)
        assert not waiting.is_alive()

    def test_bytes_that_are_no_text_are_a_failed_call(self, module_lab, hypervisor, agents):
        agent = GuestAgent(module_lab.work_dir, "binary")
        guest = module_lab.guest(Guest("binary", devices=CHANNEL, emulator=str(module_lab.work_dir / "qemu")))
        try:
            agent.raw["guest-get-host-name"] = b'{"return": {"host-name": "\xff\xfe"}}\n'
            with pytest.raises(CallFailed):
                hypervisor.connect_agents().guest_info(guest.uuid)
        finally:
            guest.stop()
            agent.close()


class TestCollectd:
    """virt2 in collectd."""

    def test_what_agents_tell_is_reported_and_the_others_are_left_alone(self, module_lab, guests, agents, tmp_path):
        asked = len(agents["well"].commands)
        began = time.monotonic()
        with collectd(module_lab, tmp_path / "collectd", SETTINGS) as daemon:
            wait_for(well(daemon, "well"), SOON, "the agent's word is there")
            wait_for_reads(daemon, 3)
            own = of_host(daemon.series("well"), "well")
            assert {name: own[name][-1][1] for name in SERIES} == SERIES
            assert own["duration-guest_agent"][-1][1][0] < 1
            assert_no_gap(daemon, guests)
            assert not said(daemon, "well")
            assert not said(daemon, "mute")
            assert len(said(daemon, "raver")) == 1
            assert "makes no sense" in said(daemon, "raver")[0]
            assert daemon.log.count("one read-write connection") == 1
            assert "unexpected failure" not in daemon.log
            # Eight questions at a time, once in an interval.
            assert len(agents["well"].commands) - asked <= 8 * ((time.monotonic() - began) / INTERVAL + 2)
            assert daemon.stop() < 2

    def test_a_silent_agent_costs_nobody_anything_and_is_said_once(self, module_lab, guests, agents, tmp_path):
        with collectd(module_lab, tmp_path / "collectd", SETTINGS) as daemon:
            for name in ("slow", "talker", "well"):
                wait_for(well(daemon, name), SOON, "all are well")
            agents["slow"].hush()
            wait_for(lambda: said(daemon, "slow"), SOON, "it is said")
            since = time.time()
            wait_for_reads(daemon, 4)
            assert well(daemon, "talker", since)(), about(daemon, "talker", daemon.series())
            assert_no_gap(daemon, guests)
            assert len(said(daemon, "slow")) == 1
            assert [messages(daemon, guest) for guest in guests if guest.name in ("talker", "well")] == [[], []]
            agents["slow"].speak()
            healed = time.time()
            wait_for(well(daemon, "slow", healed), SOON, "it answers again")
            wait_for(lambda: len(said(daemon, "slow")) == 2, SOON, "that is said")
            assert "answers again" in said(daemon, "slow")[1]
            assert daemon.stop() < 2

    def test_silent_agents_cost_no_more_than_their_share_and_everybody_is_read(
        self, module_lab, guests, agents, tmp_path
    ):
        silent = ("slow", "talker", "well")
        with collectd(module_lab, tmp_path / "collectd", SETTINGS) as daemon:
            for name in silent:
                wait_for(well(daemon, name), SOON, "all are well")
            for name in silent:
                agents[name].hush()
            wait_for(lambda: sum(bool(said(daemon, name)) for name in silent) == 2, SOON, "as many as are asked")
            wait_for(lambda: "all 2 workers for guest agents wait" in daemon.log, SOON, "that is said")
            wait_for_reads(daemon, 3)
            assert_no_gap(daemon, guests)
            assert 2 <= held_workers(module_lab) <= 2 + 10
            assert daemon.stop() < 2
            # libvirtd goes on with them.
            assert held_workers(module_lab) == 2
            for name in silent:
                agents[name].heal()
            wait_for(lambda: not held_workers(module_lab), 2 * SOON, "the workers are back")

    def test_after_a_restart_of_libvirtd_agents_are_asked_again(self, module_lab, agents, tmp_path):
        with collectd(module_lab, tmp_path / "collectd", SETTINGS) as daemon:
            wait_for(well(daemon, "well"), SOON, "the agent's word is there")
            agents["slow"].hush()
            module_lab.restart_libvirtd()
            restarted = time.time()
            wait_for(well(daemon, "well", restarted), SOON, "it is there again")
            assert "read-write connection:" not in daemon.log
            assert "unexpected failure" not in daemon.log

    def test_file_systems_are_told_of_once(self, module_lab, agents, tmp_path):
        folder = tmp_path / "collectd"
        folder.mkdir()
        module = python_module("virt2", 'ExtraStats "fs_info"\nGuestAgentInterval 2')
        drop_ins = {"types.conf": f'TypesDB "{ROOT}/virt2/types.db"\n', "virt2.conf": module}
        with Collectd(module_lab, folder, drop_ins, INTERVAL, record=True) as daemon:
            told = []

            def told_of(count: int) -> bool:
                told.extend(record for record in daemon.records.new() if record.get("type") == "file_system")
                return len([record for record in told if record["host"] == "well"]) >= count

            wait_for(lambda: told_of(2), SOON, "both file systems are told of")
            until = time.monotonic() + 2 * INTERVAL
            wait_for(lambda: told_of(3) or time.monotonic() > until, SOON)
            found = [record for record in told if record["host"] == "well"]
            assert [record["meta"] for record in found] == [
                {"mountpoint": "/", "name": "vda1", "fstype": "ext4", "ndevAlias": 1, "devAlias": "vda"},
                {"mountpoint": "/var/log", "name": "vdb", "fstype": "xfs", "ndevAlias": 0, "devAlias": ""},
            ]
            assert {record["message"] for record in found} == {"File system information"}
