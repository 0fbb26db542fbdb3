"""What scripts/chaos runs: a lab in which everything goes wrong at random, and what that did to the series."""

from __future__ import annotations

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import libvirt

from tests.lab import Lab

from . import report
from .performance import GUESTS, play
from .schedule import make


def main() -> int:
    """Run it; returns 1 where anything was wrong."""
    arguments = parse()
    schedule = make(arguments.seed, arguments.minutes, GUESTS)
    if arguments.schedule_only:
        print(report.schedule_text(schedule))
        return 0
    print(f"chaos: {arguments.minutes:g} minutes, --seed {arguments.seed}", file=sys.stderr, flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Otherwise each call that fails, which is what happens here, prints a line.
    libvirt.registerErrorHandler(lambda *_: None, None)
    with contextlib.ExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="virt2-chaos-")))
        for name in ("lab", "collectd"):
            (folder / name).mkdir(parents=True)
        with Lab(folder / "lab") as lab:
            story, findings = play(lab, folder / "collectd", schedule, arguments.counters == "kernel", say)
    print(report.full_text(schedule, story, findings))
    return int(bool(findings.violations))


def say(text: str) -> None:
    """Tell of what happens while it does."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 16))
    parser.add_argument("--schedule-only", action="store_true")
    parser.add_argument("--counters", choices=("kernel", "libvirt"), default="kernel")
    parser.add_argument("--folder", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
