"""What each plugin loses while libvirtd is dead, and while it is frozen: points of CPU and interfaces, counted."""

from __future__ import annotations

import math
import signal
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path

from bench import contestants, figures, points
from bench.figures import Lost
from tests.lab import Collectd, Guest, Lab, RunningGuest, wait_for

GUESTS = 12
INTERVAL = 2.0
"""Seconds."""
DEAD, FROZEN = 20.0, 25.0
"""Seconds without a libvirtd, and with one that is stopped."""
STEADY = 4
"""Intervals before libvirtd goes, and after all series are back: with points in each of them."""
START_TIMEOUT = 30.0
"""Seconds until all series are there."""
RECOVERY = 120.0
"""Seconds for all series to come back; the C plugin doubles the time between two reads while they fail."""
KINDS = ("virt_cpu_total", "if_octets", "if_packets", "if_errors", "if_dropped")
"""Types that are counted: the kernel tells them, whatever libvirtd does."""

Times = dict[tuple[str, str], list[float]]
"""When each series has its points, by host and type with type instance."""


def run(say: Callable[[str], None]) -> dict[str, Lost]:
    """Let each plugin live through the same outages, in a lab of its own."""
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        Path(folder, "lab").mkdir()
        with Lab(Path(folder, "lab")) as lab:
            guests = lab.guests(Guest(f"guest-{number}") for number in range(GUESTS))
            found = {}
            for name, drop_in in (
                (figures.C_PLUGIN, contestants.c_plugin(interval=INTERVAL)),
                (figures.VIRT2, contestants.virt2(interval=INTERVAL, module=contestants.AT_ITS_INTERVAL)),
            ):
                found[name] = lost = live_through(lab, guests, Path(tempfile.mkdtemp(dir=folder)), drop_in)
                say(
                    f"{name}: {lost.dead} points missing with libvirtd dead for {DEAD:g} s, {lost.frozen} with it"
                    f" frozen for {FROZEN:g} s, of {lost.expected}"
                )
            return found


def live_through(lab: Lab, guests: Collection[RunningGuest], folder: Path, drop_in: str) -> Lost:
    """Kill libvirtd and start it again, then freeze it and let it go on; returns what one plugin lost."""
    with Collectd(lab, folder, {"plugin.conf": drop_in}, interval=INTERVAL) as daemon:
        names = expected_of(guests)

        def steady(since: float) -> bool:
            times = times_of(daemon)
            return all(sum(when >= since for when in times.get(name, ())) >= STEADY for name in names)

        _await(lambda: steady(0.0), START_TIMEOUT, "all series are there")
        began = time.time()
        lab.kill_libvirtd()
        time.sleep(DEAD)
        lab.start_libvirtd()
        back = time.time()
        _await(lambda: steady(back), RECOVERY, "all series are back after libvirtd was dead")
        between = time.time()
        lab.libvirtd.signal(signal.SIGSTOP)
        try:
            time.sleep(FROZEN)
        finally:
            lab.libvirtd.signal(signal.SIGCONT)
        back = time.time()
        _await(lambda: steady(back), RECOVERY, "all series are back after libvirtd was frozen")
        ended = time.time()
    # Now that collectd has ended, everything is written.
    times = times_of(daemon)
    return Lost(
        series=len(names),
        expected=len(names) * math.floor((ended - began) / INTERVAL),
        dead=sum(points.missing(times[name], began, between, INTERVAL) for name in names),
        frozen=sum(points.missing(times[name], between, ended, INTERVAL) for name in names),
    )


def _await(is_steady: Callable[[], bool], timeout: float, what: str) -> None:
    """Wait until it is so. It cannot be sooner than that: until then the files are left alone."""
    time.sleep((STEADY - 1) * INTERVAL)
    wait_for(is_steady, timeout, what)


def expected_of(guests: Collection[RunningGuest]) -> set[tuple[str, str]]:
    """The series of CPU and interfaces that guests have, by host and type with type instance."""
    total, *of_interfaces = KINDS
    return {(guest.name, total) for guest in guests} | {
        (guest.name, f"{kind}-{nic}") for guest in guests for nic in guest.nics for kind in of_interfaces
    }


def times_of(daemon: Collectd) -> Times:
    """When each series that was written has its points."""
    return {(host, name): [when for when, _ in found] for (host, _, name), found in daemon.series().items()}
