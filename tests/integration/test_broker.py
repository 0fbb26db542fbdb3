"""Values that go to a central collectd through a real broker, and what becomes of them while something is away."""

from __future__ import annotations

import contextlib
import time
from typing import NamedTuple

import pytest

from tests.integration.fleet import INTERVAL, LATE, SOON, commands, identity, lost, named, sample, wait_for_points
from tests.integration.support import gaps
from tests.lab import Collectd, Guest, Lab, RunningGuest, wait_for
from tests.lab.broker import Broker

pytestmark = pytest.mark.full

RETRY = 10.0
"""Seconds between two attempts to connect, as the samples have it."""
AWAY = 8
"""Intervals for which something is away."""
SMALL_BUFFERS = "for kind in rmem wmem; do echo '4096 8192 16384' > /proc/sys/net/ipv4/tcp_$kind; done"
"""What the kernel holds for a connection is full within an interval, and not after minutes as it is by default."""
CONNECTED = "amqp plugin: Successfully opened connection"


class Route(NamedTuple):
    """The way of the values."""

    lab: Lab
    broker: Broker
    sender: Collectd
    central: Collectd
    guests: list[RunningGuest]

    @property
    def hosts(self) -> list[str]:
        """Whose series are looked at."""
        return [guest.uuid for guest in self.guests]


@pytest.fixture(scope="module")
def route(tmp_path_factory):
    folder = tmp_path_factory.mktemp("route")
    for name in ("lab", "broker", "sender", "central"):
        (folder / name).mkdir()
    there = ("broker.example.org", "127.0.0.1")
    publish, subscribe = (sample(f"contrib/fleet/{end}-amqp.conf", there) for end in ("host", "central"))
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(Lab(folder / "lab"))
        lab.run(["sh", "-c", SMALL_BUFFERS])
        guests = lab.guests([Guest("web"), Guest("db")])
        broker = stack.enter_context(Broker(lab, folder / "broker"))
        for command in commands("rabbitmqctl"):
            broker.ctl(*command)
        drop_ins = named("host-1", fleet=identity(), amqp=publish)
        sender = stack.enter_context(Collectd(lab, folder / "sender", drop_ins, interval=INTERVAL))
        # It ends before the sender does: what waits for a value ends with the next one.
        drop_ins = named("central", amqp=subscribe)
        central = stack.enter_context(Collectd(lab, folder / "central", drop_ins, interval=INTERVAL))
        wait_for(lambda: CONNECTED in central.log, SOON, "the central collectd has its queue")
        yield Route(lab, broker, sender, central, guests)


def wait_until_all_arrive(route: Route) -> float:
    """Wait until new values of all series arrive; returns the time before which all others were sent."""
    since = time.time()
    for host in route.hosts:
        wait_for_points(route.central, host, 4, since)
    return since


def losses(route: Route) -> dict:
    """The points that were lost, of each series that lost some."""
    found = {}
    for host in route.hosts:
        missing = lost(route.sender, route.central, host)
        assert set(missing) == set(route.central.series(host))
        found.update({name: points for name, points in missing.items() if points})
    return found


def since(points: dict, when: float) -> dict:
    """The points after a moment, of each series that has some."""
    found = {name: [point for point in of_one if point[0] > when] for name, of_one in points.items()}
    return {name: of_one for name, of_one in found.items() if of_one}


def assert_no_read_was_late(route: Route) -> None:
    for host in route.hosts:
        for name, points in route.sender.series(host).items():
            # A writer that was held up may have written a value after newer ones.
            assert not gaps(sorted(points), LATE), (name, gaps(sorted(points), LATE))


def times(points: dict, origin: float) -> dict:
    """When each lost point was read, in seconds after a moment."""
    return {name: [round(when - origin, 1) for when, _ in of_one] for name, of_one in points.items()}


def test_all_values_go_through_the_broker(route):
    begins = wait_until_all_arrive(route)
    wait_until_all_arrive(route)
    assert since(losses(route), begins) == {}


def test_a_notification_does_not_go_through_the_broker(route):
    guest = route.guests[0]
    guest.pause()
    guest.resume()
    wanted = f"host = {guest.uuid}, plugin = virt2"
    wait_for(lambda: wanted in route.sender.log, SOON, "the host has the notification")
    wait_until_all_arrive(route)
    assert "Notification: " not in route.central.log


def test_what_is_sent_while_the_central_collectd_is_away_waits_in_the_broker(route):
    begins = wait_until_all_arrive(route)
    stopping = time.time()
    took = route.central.stop()
    gone = time.time()
    for host in route.hosts:
        wait_for_points(route.sender, host, AWAY, since=gone)
    back = time.time()
    route.central.start()
    wait_until_all_arrive(route)
    missing = since(losses(route), begins)
    print(f"stopped in {took:.2f} s, away {back - gone:.1f} s; lost:", times(missing, gone))
    # The broker had given it these, and it ended before it had read them.
    for name, points in missing.items():
        assert stopping - INTERVAL <= points[0][0], (name, times(missing, gone))
        assert points[-1][0] <= gone + INTERVAL, (name, times(missing, gone))


def test_what_waits_in_the_broker_outlives_its_sudden_end(route):
    wait_until_all_arrive(route)
    route.central.stop()
    gone = time.time()
    for host in route.hosts:
        wait_for_points(route.sender, host, AWAY, since=gone + INTERVAL)
    killed = time.time()
    route.broker.kill()
    route.broker.start()
    up = time.time()
    route.central.start()
    wait_until_all_arrive(route)
    missing = since(losses(route), gone + INTERVAL)
    print(f"broker away {up - killed:.1f} s; lost:", times(missing, killed))
    for name, points in missing.items():
        assert killed - INTERVAL <= points[0][0], (name, times(missing, killed))
        assert points[-1][0] <= up + RETRY + INTERVAL, (name, times(missing, killed))


def test_what_is_sent_while_the_broker_is_away_is_lost_and_no_read_is_late(route):
    begins = wait_until_all_arrive(route)
    lines = route.sender.log.count("amqp plugin")
    killed = time.time()
    route.broker.kill()
    for host in route.hosts:
        wait_for_points(route.sender, host, AWAY, since=killed)
    route.broker.start()
    up = time.time()
    wait_until_all_arrive(route)
    missing = since(losses(route), begins)
    lines = route.sender.log.count("amqp plugin") - lines
    fewest, most = (how(len(points) for points in missing.values()) for how in (min, max))
    print(f"away {up - killed:.1f} s: {fewest} to {most} points of each series lost; {lines} lines in the host's log")
    assert set(missing) == {name for host in route.hosts for name in route.sender.series(host)}
    for name, points in missing.items():
        assert len(points) >= AWAY, (name, times(missing, killed))
        assert killed - INTERVAL <= points[0][0], (name, times(missing, killed))
        assert points[-1][0] <= up + RETRY + INTERVAL, (name, times(missing, killed))
    assert_no_read_was_late(route)


def test_a_broker_that_is_stuck_holds_up_every_writer_but_no_read_and_nothing_is_lost(route):
    begins = wait_until_all_arrive(route)
    route.broker.freeze()
    frozen = time.time()

    def latest() -> float:
        return max(points[-1][0] for host in route.hosts for points in route.sender.series(host).values())

    # The sender writes files as well. These stand still once the connection's buffers are full.
    wait_for(lambda: time.time() - latest() > AWAY * INTERVAL, 4 * SOON, "the files stand still")
    stood = latest() - frozen
    route.broker.thaw()
    thawed = time.time()
    wait_until_all_arrive(route)
    print(f"stuck for {thawed - frozen:.1f} s, files went on for {stood:.1f} s")
    assert since(losses(route), begins) == {}
    assert_no_read_was_late(route)
