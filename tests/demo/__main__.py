"""What scripts/run shows: a collectd with virt2 at work, and what it writes, as a table every interval."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from tests.lab.collectd_daemon import Collectd
from tests.lab.host import Host, has_domains
from tests.lab.machine import Lab

from .live import Live
from .plain import Plain
from .show import Pace, Show
from .signals import Bell
from .stage import FUSE, GUESTS, Stage, can_hang, rival, watching

FOLDER = "virt2-run-"
"""Followed by our pid: a run that was killed leaves its folder to the next one."""


def main() -> None:
    """Run until the time is over, or SIGINT or SIGTERM comes; leave nothing behind."""
    parser = make_parser()
    arguments = parser.parse_args()
    # Signals are only noted: a half-finished start or clean-up is finished first, both take seconds.
    bell = Bell()
    in_lab = arguments.lab or not has_domains()
    if arguments.against and not in_lab:
        parser.error("a second plugin would burden this host's libvirtd, so --against needs the lab: add --lab")
    view = view_of(arguments.plain)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{FOLDER}{os.getpid()}-")))
        sweep(folder.parent)
        place: Host | Lab = Host()
        stage: Stage | None = None
        other: Collectd | None = None
        if in_lab:
            announce(f"Starting a private libvirtd with {len(GUESTS)} guests.")
            if not can_hang():
                announce(f"No storage will hang, because {FUSE} cannot be opened here.")
            place = lab = stack.enter_context(Lab(folder))
            stage = Stage(lab)
            if arguments.against:
                other = stack.enter_context(rival(lab, folder / "rival", arguments.interval))
        else:
            announce("Watching this host's domains.")
        daemon = stack.enter_context(watching(place, folder / "collectd", arguments.interval))
        if stage is not None:
            # The last one to be entered is the first to end: whoever is to stop must not wait for what is stuck.
            stack.enter_context(stage)
        show = Show(daemon, other, stage, Pace(arguments.interval, arguments.seconds))
        with view:
            show.run(view, bell)


def announce(words: str) -> None:
    """Print what is said before there is anything to show."""
    print(words, flush=True)


def view_of(plain: bool) -> Plain | Live:
    """Choose how it is shown: in place where there is a terminal that can."""
    console = Console(highlight=False)
    if plain or not sys.stdout.isatty() or console.is_dumb_terminal:
        return Plain()
    return Live(console)


def sweep(parent: Path) -> None:
    """Remove the folders of runs that are over."""
    for folder in parent.glob(f"{FOLDER}*-*"):
        if not Path("/proc", folder.name[len(FOLDER) :].partition("-")[0]).exists():
            shutil.rmtree(folder)


def make_parser() -> argparse.ArgumentParser:
    """Make what reads the command line."""
    parser = argparse.ArgumentParser(prog="scripts/run", description=__doc__)
    parser.add_argument("--seconds", type=positive, default=threading.TIMEOUT_MAX)
    parser.add_argument("--interval", type=positive, default=2.0)
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--against", choices=["virt"])
    return parser


def positive(text: str) -> float:
    """A number over 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number


if __name__ == "__main__":
    try:
        main()
    except BrokenPipeError:
        # Whoever read the output has seen enough. Python writes what is left of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
