"""Fixtures for the tests that watch virt2 in a real collectd."""

from __future__ import annotations

import pytest

from tests.integration.support import Farm


@pytest.fixture(scope="module")
def farm_size():
    """How many guests a farm has; a module that wants another number has a fixture of this name itself."""
    return 24


@pytest.fixture(scope="module")
def module_farm(module_lab, farm_size):
    """A farm for all tests of a module, which take it as `farm`."""
    return Farm(module_lab, farm_size)


@pytest.fixture
def farm(module_farm):
    """The module's farm, healed after each test."""
    yield module_farm
    module_farm.heal()
