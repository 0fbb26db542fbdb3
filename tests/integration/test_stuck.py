"""QEMUs that do not answer: every other domain keeps every metric, and of those what needs no QEMU is there too."""

import random
import re
import time

import pytest

from tests.integration.support import (
    GAP,
    INTERVAL,
    SOON,
    assert_no_gap,
    collectd,
    messages,
    names_of,
    of_host,
    of_reader,
    reads,
    wait_between_reads,
    wait_for_reads,
)
from tests.lab import Guest, wait_for

BACK = 2 * INTERVAL
"""Seconds within which everything is there again after the end of a fault."""
ONE_GROUP = 'PartitionBy "tag"'
UNSEEN = "HostPreScan false"
"""virt2 does not look at the processes: it has to find out by asking."""


@pytest.fixture
def more(farm):
    """Eight guests besides: 32 in all."""
    guests = farm.lab.guests([Guest(f"more-{number}") for number in range(8)])
    yield guests
    farm.thaw(guests)
    for guest in guests:
        guest.stop()


def points_of(daemon, guest, name):
    return of_host(daemon.series(guest.name), guest.name).get(name, [])


def last_disk_point(daemon, guest):
    """When the latest point of that disk of the guest was taken which has the oldest one."""
    names = names_of(guest) - names_of(guest, monitor=False)
    own = of_host(daemon.series(guest.name), guest.name)
    return min(own[name][-1][0] if name in own else 0.0 for name in names)


def assert_back(daemon, guests, since):
    """All of the guests have points of everything again, taken within two intervals."""

    def firsts(guest):
        # The counters of interfaces are read before all else: a read that was under way then has those of before.
        own = of_host(daemon.series(guest.name), guest.name)
        return {
            name: min((when for when, _ in own.get(name, ()) if when >= since), default=float("inf"))
            for name in names_of(guest)
        }

    back = "everything is back"
    wait_for(lambda: all(max(firsts(guest).values()) < float("inf") for guest in guests), SOON, back)
    for guest in guests:
        for name, first in firsts(guest).items():
            assert first - since <= BACK, (guest.name, name, first - since)


def stay(daemon, seconds, look=lambda: None):
    """Wait for as many reads as there are in that time, and look at something meanwhile."""
    until = reads(daemon) + round(seconds / INTERVAL)
    wait_for(lambda: look() or reads(daemon) >= until, seconds + SOON, "enough reads")


@pytest.mark.parametrize("seconds", [10, pytest.param(60, marks=pytest.mark.full)])
def test_a_stopped_domain_misses_its_disks_and_the_others_miss_nothing(farm, tmp_path, seconds):
    stopped, *others = farm.guests
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 1)
        # In the middle of one a call would be what it is blocked by.
        wait_between_reads(daemon)
        since = time.time()
        stopped.freeze()
        stay(daemon, seconds)
        # A read that is under way when it goes on may find it well, and began before.
        wait_between_reads(daemon)
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
            (when - since, values[0])
            for when, values in points_of(daemon, stopped, "duration-monitor_blocked")
            if since + GAP * INTERVAL < when < until
        ]
        assert len(blocked) >= seconds / INTERVAL - 3
        # Told from the read that found it, which is the first one after it stopped.
        assert all(after - GAP * INTERVAL <= value <= after + 0.1 for after, value in blocked), blocked
        assert all(one < two for (_, one), (_, two) in zip(blocked, blocked[1:]))
        for guest in others:
            assert not messages(daemon, guest)
        assert messages(daemon, stopped) == ["warning", "WARNING", "info", "OKAY"]
        assert "monitor blocked for" in daemon.log
        assert f"(process stopped), storage domain {farm.storage.path}" in daemon.log
        stopped.freeze()
        wait_for_reads(daemon, 1)
        assert daemon.stop() < 2


class Look:
    """What others have of libvirtd while something is stuck; call it again and again."""

    def __init__(self, farm, daemon, healthy):
        self._farm = farm
        self._daemon = daemon
        self._healthy = healthy
        self.held = 0
        self.slowest = 0.0
        self._next = 0.0

    def __call__(self):
        if time.monotonic() < self._next:
            return
        began = time.monotonic()
        self._farm.lab.virsh("dumpxml", self._healthy.name)
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.held = max(self.held, self._farm.held())
        self._next = time.monotonic() + 0.2

    def assert_good(self):
        budgets = of_reader(self._daemon.series("collectd"), "libvirtd", "gauge-budget")
        print(f"slowest dumpxml {self.slowest:.3f} s, workers held {self.held}, budgets {sorted(set(budgets))}")
        assert self.slowest < 1
        assert self.held <= max(budgets)


@pytest.mark.parametrize("seconds", [6, pytest.param(60, marks=pytest.mark.full)])
def test_half_of_the_domains_stopped_at_once_cost_the_other_half_nothing(farm, more, tmp_path, seconds):
    guests = [*farm.guests, *more]
    stopped, others = guests[::2], guests[1::2]
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        look = Look(farm, daemon, others[0])
        farm.freeze(stopped)
        stay(daemon, seconds, look)
        assert_no_gap(daemon, others)
        assert_no_gap(daemon, stopped, monitor=False)
        look.assert_good()
        until = time.time()
        farm.thaw(stopped)
        assert_back(daemon, guests, until)
        assert_no_gap(daemon, others)


@pytest.mark.full
@pytest.mark.parametrize(("settings", "count"), [("", 16), (UNSEEN, 8)], ids=["seen", "unseen"])
def test_five_restarts_while_many_are_stopped_hold_at_most_one_more_worker(farm, more, tmp_path, settings, count):
    guests = [*farm.guests, *more]
    stopped, others = guests[::2][:count], guests[1::2]
    with collectd(farm.lab, tmp_path / "collectd", settings) as daemon:
        wait_for_reads(daemon, 2)
        farm.freeze(stopped)
        wait_for_reads(daemon, 3)
        held = [farm.lost()]
        for _ in range(5):
            assert daemon.stop() < 2
            daemon.start()
            wait_for_reads(daemon, 1)
            since = time.time()
            wait_for_reads(daemon, 2)
            assert_no_gap(daemon, others, since)
            held.append(farm.lost())
            print("held", held)
        assert max(held) <= held[0] + 1
        farm.thaw(stopped)


@pytest.mark.parametrize(
    ("count", "workers"),
    [(8, 20), (12, 20), pytest.param(12, 60, marks=pytest.mark.full), pytest.param(1, 5, marks=pytest.mark.full)],
)
def test_stopped_domains_nobody_has_asked_yet(farm, tmp_path, count, workers):
    stopped, others = farm.guests[::2][:count], [*farm.guests[::2][count:], *farm.guests[1::2]]
    farm.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", str(workers))
    farm.freeze(stopped)
    with collectd(farm.lab, tmp_path / "collectd", f"{ONE_GROUP}\n{UNSEEN}") as daemon:
        wait_for_reads(daemon, 1)
        since = time.time()
        look = Look(farm, daemon, others[0])
        stay(daemon, 8, look)
        print("reads", of_reader(daemon.series("collectd"), "0", "duration-read"))
        print("answered", sum(bool(last_disk_point(daemon, guest)) for guest in others), "of", len(others))
        budget = of_reader(daemon.series("collectd"), "libvirtd", "gauge-budget")[-1]
        assert budget == workers // 2
        if count <= max(budget - 2, 1):
            assert_no_gap(daemon, others, since)
        else:
            # Not all may be reached; who has answered goes on.
            assert_no_gap(daemon, [guest for guest in others if last_disk_point(daemon, guest)])
            assert daemon.log.count("reader 0 is short of workers") == 1
        assert_no_gap(daemon, farm.guests, since, monitor=False)
        look.assert_good()
        assert daemon.stop() < 2


def in_flight(guest):
    """Whether somebody has been inside its monitor for longer than its answer takes."""
    state, _, milliseconds = guest.domain.controlInfo()
    return state != 0 and milliseconds > 100


def test_a_domain_that_answers_while_a_read_waits_for_it_misses_nothing(farm, tmp_path):
    late = farm.guests[0]
    with collectd(farm.lab, tmp_path / "collectd", UNSEEN) as daemon:
        wait_for_reads(daemon, 2)
        for _ in range(3):
            late.freeze()
            wait_for(lambda: in_flight(late), SOON, "a read waits for it")
            late.thaw()
            wait_for_reads(daemon, 1)
        assert_no_gap(daemon, farm.guests)
        assert not messages(daemon, late)


def test_domains_that_stop_while_a_read_waits_cost_the_others_nothing(farm, tmp_path):
    first, *later = farm.guests[:4]
    others = farm.guests[4:]
    with collectd(farm.lab, tmp_path / "collectd", UNSEEN) as daemon:
        wait_for_reads(daemon, 2)
        first.freeze()
        wait_for(lambda: in_flight(first), SOON, "a read waits for it")
        farm.freeze(later)
        wait_for_reads(daemon, 4)
        assert_no_gap(daemon, others)
        assert_no_gap(daemon, [first, *later], monitor=False)
        until = time.time()
        farm.thaw([first, *later])
        assert_back(daemon, farm.guests, until)


def test_a_connection_cut_with_a_call_in_flight_costs_no_second_worker(farm, tmp_path):
    stopped, *others = farm.guests
    with collectd(farm.lab, tmp_path / "collectd", UNSEEN) as daemon:
        wait_for_reads(daemon, 2)
        stopped.freeze()
        wait_for(lambda: in_flight(stopped), SOON, "a read waits for it")
        cut = time.time()
        assert disconnect_readers(farm.lab) > 1
        assert_back(daemon, others, cut)
        stay(daemon, 6)
        assert farm.lost() == 1
        assert "cut off with its connection" in daemon.log
        assert_no_gap(daemon, others, cut + BACK)
        assert daemon.log.count("libvirt cannot be reached") <= 1
        until = time.time()
        stopped.thaw()
        assert_back(daemon, farm.guests, until)
        wait_for(lambda: not farm.lost(), SOON, "no worker is held")


def disconnect_readers(lab):
    """Have libvirtd cut its read-only connections, those of collectd; returns how many there were."""
    numbers = re.findall(r"^ *(\d+) ", lab.virt_admin("client-list", "libvirtd"), re.MULTILINE)
    readers = [number for number in numbers if "yes" in _readonly(lab.virt_admin("client-info", "libvirtd", number))]
    for number in readers:
        lab.virt_admin("client-disconnect", "libvirtd", number)
    return len(readers)


def _readonly(info):
    return next(line for line in info.splitlines() if line.startswith("readonly"))


@pytest.mark.parametrize("seconds", [10, pytest.param(120, marks=pytest.mark.full)])
def test_guests_and_storage_that_flap_cost_the_others_nothing(farm, tmp_path, seconds):
    choose = random.Random(1)
    flapping = farm.guests[::4]
    others = [guest for guest in farm.guests if guest not in flapping]
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            farm.freeze(choose.sample(flapping, 4))
            if choose.random() < 0.5:
                farm.storage.hang()
            # Not awaited: the outages last so long, and begin anywhere in a read or between two.
            time.sleep(choose.uniform(0.2, 4))
            farm.thaw(flapping)
            farm.storage.heal()
            time.sleep(choose.uniform(0.2, 3))
        until = time.time()
        assert_back(daemon, farm.guests, until)
        assert_no_gap(daemon, others)
        assert_no_gap(daemon, flapping, monitor=False)
        assert not any(messages(daemon, guest) for guest in others)
        for guest in flapping:
            # A log line and a notification when it begins and when it is over, once a minute at most.
            assert len(messages(daemon, guest)) <= 4 * (1 + seconds // 60), messages(daemon, guest)


@pytest.mark.parametrize("workers", [5, pytest.param(20, marks=pytest.mark.full)])
def test_a_pool_filled_by_others_leaves_interfaces(farm, tmp_path, workers):
    farm.lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", str(workers))
    stopped, others = farm.guests[:workers], farm.guests[workers:]
    with collectd(farm.lab, tmp_path / "collectd") as daemon:
        wait_for_reads(daemon, 2)
        fill_pool(farm, stopped)
        stay(daemon, 8)
        now = time.time()
        series = daemon.series()
        for guest in farm.guests:
            own = of_host(series, guest.name)
            for name, points in own.items():
                if name.startswith("if_"):
                    times = [0.0, *(when for when, _ in points)]
                    assert max(two - one for one, two in zip(times[1:], times[2:])) <= GAP * INTERVAL
                    assert now - times[-1] <= GAP * INTERVAL
        lines = daemon.log.splitlines()
        assert [line for guest in others for line in lines if f"domain {guest.name}: " in line] == []
        assert daemon.log.count("libvirtd has no worker left for us") == 1
        until = time.time()
        farm.thaw(stopped)
        assert_back(daemon, farm.guests, until)
        wait_for(lambda: not farm.held(), SOON, "the pool is empty")
        fill_pool(farm, stopped)
        wait_for_reads(daemon, 1)
        assert daemon.stop() < 2


def fill_pool(farm, guests):
    """Have other clients in as many of libvirtd's workers as there are guests."""
    farm.freeze(guests)
    farm.visit(guests, "domblkstat")
