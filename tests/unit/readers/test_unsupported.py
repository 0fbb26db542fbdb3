"""Calls that are not made again, because libvirt or a domain cannot answer them."""

from __future__ import annotations

import pytest

from virt2.domains.health import Health
from virt2.errors import Missing, Refused, Unsupported
from virt2.readers.unsupported import CONTROL_INFO, MissingCalls


@pytest.fixture
def missing() -> MissingCalls:
    return MissingCalls()


@pytest.fixture
def health() -> Health:
    return Health(0.0)


def test_what_a_device_cannot_be_asked_is_reported_and_covers_that_device_of_that_domain_alone(missing, health):
    assert missing.note(Unsupported("not here"), "blockStats", "vda", health)
    assert missing.covers("blockStats", "vda", health)
    assert not missing.covers("blockStats", "vdb", health)
    assert not missing.covers("blockStats", "vda", Health(0.0))


def test_a_call_that_is_refused_gets_a_second_chance(missing, health):
    assert not missing.note(Refused("invalid"), "vcpus", "", health)
    assert not missing.covers("vcpus", "", health)
    assert missing.note(Refused("invalid"), "vcpus", "", health)
    assert missing.covers("vcpus", "", health)


def test_a_call_that_libvirt_does_not_have_covers_every_domain_and_is_no_trouble_of_one(missing, health, caplog):
    for _ in range(2):
        assert not missing.note(Missing("not in this driver"), CONTROL_INFO, "", health)
    assert missing.covers(CONTROL_INFO, "", Health(0.0))
    assert CONTROL_INFO in missing
    assert len(caplog.records) == 1


def test_with_a_new_connection_every_call_is_tried_again(missing, health):
    missing.note(Missing("not in this driver"), "getCPUStats", "", health)
    missing.forget()
    assert not missing.covers("getCPUStats", "", health)
