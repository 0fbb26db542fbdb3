"""The fake hypervisor's agents are held to the contract of real ones."""

from __future__ import annotations

import pytest

from tests.unit.agent_contract import *  # noqa: F403
from tests.unit.fakes import FakeHypervisor
from virt2.errors import CallFailed


@pytest.fixture
def hypervisor() -> FakeHypervisor:
    hypervisor = FakeHypervisor()
    talker, raver = hypervisor.add("talker"), hypervisor.add("raver")
    hypervisor.add("mute")
    talker.agent = raver.agent = True
    talker.file_systems = [("/", "vda1", "ext4", ["vda"]), ("/var/log", "vdb", "xfs", [])]
    talker.guest_info["fs.count"] = 2
    for number, (mount_point, *_) in enumerate(talker.file_systems):
        talker.guest_info |= {
            f"fs.{number}.mountpoint": mount_point,
            f"fs.{number}.total-bytes": 1000,
            f"fs.{number}.used-bytes": 250,
        }
    raver.failures = {call: CallFailed("nonsense", 1) for call in ("guestInfo", "fsInfo")}
    return hypervisor
