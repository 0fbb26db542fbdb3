"""QEMUs that do not answer: every other domain keeps every metric, and of those what needs no QEMU is there too."""

import time

import pytest

from tests.integration.support import (
    DISK_TYPES,
    GAP,
    INTERVAL,
    SOON,
    Farm,
    assert_no_gap,
    collectd,
    messages,
    names_of,
    of_host,
    of_reader,
    reads,
    wait_for_reads,
)
from tests.lab import Guest, wait_for

LONG = [10, pytest.param(60, marks=pytest.mark.full)]
"""Seconds for which something is stuck."""
BACK = 2 * INTERVAL
"""Seconds within which everything is there again after the end of a fault."""
ONE_GROUP = 'PartitionBy "tag"'
UNSEEN = "HostPreScan false"
"""virt2 does not look at the processes: it has to find out by asking."""


@pytest.fixture(scope="module")
def built(module_lab):
    return Farm(module_lab, 24)


@pytest.fixture
def farm(built):
    yield built
    built.heal()


def points_of(daemon, guest, name):
    return of_host(daemon.series(guest.name), guest.name).get(name, [])


def last_disk_point(daemon, guest):
    """When the latest point of that disk of the guest was taken which has the oldest one."""
    names = names_of(guest) - names_of(guest, monitor=False)
    own = of_host(daemon.series(guest.name), guest.name)
    return min(own[name][-1][0] if name in own else 0.0 for name in names)


def assert_back(daemon, guests, since):
    """All of the guests have points of everything again, taken within two intervals."""
    wait_for(lambda: all(last_disk_point(daemon, guest) >= since for guest in guests), SOON, "all disks are back")
    for guest in guests:
        own = of_host(daemon.series(guest.name), guest.name)
        for name in names_of(guest):
            first = min((when for when, _ in own[name] if when >= since), default=float("inf"))
            assert first - since <= BACK, (guest.name, name, first - since)


def stay(daemon, seconds, look=lambda: None):
    """Wait for as many reads as there are in that time, and look at something meanwhile."""
    until = reads(daemon) + round(seconds / INTERVAL)
    wait_for(lambda: look() or reads(daemon) >= until, seconds + SOON, "enough reads")


@pytest.mark.parametrize("seconds", LONG)
def test_a_stopped_domain_misses_its_disks_and_the_others_miss_nothing(farm, tmp_path, seconds):
    stopped, *others = farm.guests
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        since = time.time()
        stopped.freeze()
        stay(daemon, seconds)
        until = time.time()
        stopped.thaw()
        assert_back(daemon, farm.guests, until)
        wait_for(lambda: points_of(daemon, stopped, "duration-monitor_blocked")[-1][1] == (0.0,), SOON)
        assert points_of(daemon, stopped, "duration-monitor_blocked")[-1][0] - until <= BACK
        assert_no_gap(daemon, others)
        assert_no_gap(daemon, [stopped], monitor=False)

        for name in names_of(stopped) - names_of(stopped, monitor=False):
            # A call that was made just before comes back with its own time.
            assert not [when for when, _ in points_of(daemon, stopped, name) if since + 0.1 < when < until], name
        blocked = [
            values[0]
            for when, values in points_of(daemon, stopped, "duration-monitor_blocked")
            if since + INTERVAL < when < until
        ]
        assert blocked[0] < 2 * INTERVAL < seconds - 2 * INTERVAL <= blocked[-1]
        assert all(one < two for one, two in zip(blocked, blocked[1:]))
        for guest in others:
            assert not messages(daemon, guest)
        assert messages(daemon, stopped) == ["warning", "WARNING", "info", "OKAY"]
        assert "monitor blocked for" in daemon.log
        assert f"(process stopped), storage domain {farm.storage.path}" in daemon.log
        stopped.freeze()
        wait_for_reads(daemon, 1)
        assert daemon.stop() < 2
