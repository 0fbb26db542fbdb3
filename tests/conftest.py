"""Fixtures for all tests.

Unit tests (tests/unit) need neither root nor libvirt. Integration tests (tests/integration) run in labs of their own;
what they need and do not find is a failure, never a skip.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests import threads

# The same examples in every run: a test that fails once in a hundred helps nobody. A machine may be slow.
settings.register_profile("virt2", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("virt2")

UNIT = Path(__file__).parent / "unit"
UNIT_TIMEOUT = 30
"""Seconds, for a test that takes milliseconds: by then it hangs."""
INTEGRATION_TIMEOUT = 180
"""Seconds. When they are over, all stacks are printed and the whole run ends: labs end with it."""
THREAD_END = 2.0
"""Seconds for a thread that has been told to end."""


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("timeout") is None:
            seconds = UNIT_TIMEOUT if UNIT in item.path.parents else INTEGRATION_TIMEOUT
            item.add_marker(pytest.mark.timeout(seconds, method="thread"))


@pytest.fixture(autouse=True)
def no_thread_left_behind(request):
    """Fail a unit test that leaves a thread behind."""
    if UNIT not in request.node.path.parents:
        yield
        return
    threads.begin()
    yield
    started = threads.started()
    for thread in started:
        thread.join(THREAD_END)
    left = [thread.name for thread in started if thread.is_alive()]
    assert not left, f"threads left behind: {left}"


@pytest.fixture
def lab(tmp_path):
    """A lab of the test's own, without guests; up in a quarter of a second."""
    from tests.lab import Lab

    folder = tmp_path / "lab"
    folder.mkdir()
    with Lab(folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def module_lab(tmp_path_factory):
    """A lab for all tests of a module, which each clean up behind themselves (`lab.reset()`)."""
    from tests.lab import Lab

    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
