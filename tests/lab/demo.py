"""What scripts/run shows: a collectd with virt2 at work, and what it writes, as a table every interval."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live

from .collectd_daemon import Collectd, python_module
from .guests import Guest
from .host import Host, has_domains
from .machine import Lab
from .overview import Overview

GUESTS = [
    Guest("web-1", tag="web"),
    Guest("web-2", tag="web"),
    Guest("web-3", tag="web", nics=1),
    Guest("db-1", tag="db"),
    Guest("db-2", tag="db", disks=3),
    Guest("build", tag="batch", disks=1, nics=1),
]
FOLDER = "virt2-run-"
"""Followed by our pid: a run that was killed leaves its folder to the next one."""
PLAIN_WIDTH = 132
"""Characters, where the output is not a terminal."""


def main() -> None:
    """Run until the time is over, or SIGINT or SIGTERM comes; leave nothing behind."""
    arguments = parse()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Only noted: a half-finished start or clean-up is finished first, both take seconds.
        signal.signal(number, lambda *_: ended.set())
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-")))
        sweep(folder.parent)
        place: Host | Lab = Host()
        settings = 'Connection "qemu:///system"'
        if arguments.lab or not has_domains():
            console.print(f"Starting a private libvirtd with {len(GUESTS)} guests.")
            place = lab = stack.enter_context(Lab(folder))
            lab.guests(GUESTS)
        else:
            console.print("Watching this host's domains.")
            # The socket belongs to this host's own collectd.
            settings += "\nStatusSocket none"
        (folder / "collectd").mkdir()
        drop_ins = {"virt2.conf": python_module("virt2", settings)}
        collectd = Collectd(place, folder / "collectd", drop_ins, arguments.interval, record=True)
        stack.enter_context(collectd)
        show(collectd, console, arguments, ended)


def sweep(parent: Path) -> None:
    """Remove the folders of runs that are over."""
    for folder in parent.glob(f"{FOLDER}*-*"):
        if not Path("/proc", folder.name[len(FOLDER) :].partition("-")[0]).exists():
            shutil.rmtree(folder)


def parse() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=threading.TIMEOUT_MAX)
    parser.add_argument("--interval", type=positive, default=2.0)
    parser.add_argument("--lab", action="store_true")
    return parser.parse_args()


def positive(text: str) -> float:
    """A number over 0."""
    number = float(text)
    if not number > 0:
        raise ValueError(text)
    return number


def show(collectd: Collectd, console: Console, arguments: argparse.Namespace, ended: threading.Event) -> None:
    """Show log lines as they come, and a table every interval."""
    overview = Overview(arguments.interval)
    plain = not console.is_terminal
    deadline = time.monotonic() + arguments.seconds
    logged = 0
    with contextlib.nullcontext() if plain else Live(console=console, auto_refresh=False) as live:
        while not ended.wait(max(0.0, min(arguments.interval, deadline - time.monotonic()))):
            if collectd.process.poll() is not None:
                raise SystemExit(f"collectd ended with {collectd.process.exit_code}:\n{collectd.output}{collectd.log}")
            log = collectd.log
            for line in log[logged:].splitlines():
                if "virt2" in line:
                    console.print(line, markup=False, soft_wrap=True)
            logged = len(log)
            overview.add(collectd.records.new())
            table = overview.table(time.time(), plain)
            if live is None:
                console.print(time.strftime("%H:%M:%S"))
                console.print(table)
            else:
                live.update(table, refresh=True)
            if time.monotonic() >= deadline:
                return


if __name__ == "__main__":
    main()
