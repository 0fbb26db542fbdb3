"""What scripts/fuzz runs: shares the inputs out to the targets, runs two at a time, and prints failures and counts."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time

from tests.fuzz import report
from tests.fuzz.crew import Crew, Job
from tests.fuzz.session import Session
from tests.fuzz.targets import TARGETS

INPUTS = 1_000_000
PROCESSES = 2
ENDED = 128 + signal.SIGTERM
"""Exit code of a run that was told to end."""


def main() -> int:
    """Return 1 where anything failed."""
    arguments = parse()
    names = [arguments.only] if arguments.only else list(TARGETS)
    if arguments.input is not None:
        return once(arguments.only, report.read(arguments.input))
    # So that whoever is told to end ends its processes first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ENDED))
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:5.0f} s] {text}", file=sys.stderr, flush=True)

    say(f"seed {seed}")
    outcomes = Crew(PROCESSES, say).run(jobs(names, seed, arguments.inputs))
    for outcome in outcomes:
        for failure in outcome.failures:
            print(report.describe(failure), end="\n\n")
    print(report.table(outcomes))
    return int(any(outcome.failed for outcome in outcomes))


def jobs(names: list[str], seed: int, inputs: int) -> list[Job]:
    """Share the inputs out to targets. Those that take longest come first."""
    shares = sum(TARGETS[name].share for name in names)
    return [Job(TARGETS[name], seed, -(-inputs * TARGETS[name].share // shares)) for name in names]


def once(name: str, data: object) -> int:
    """Run one input again."""
    target = TARGETS[name]()
    try:
        failure = Session(target, 0).run_one(data)
    finally:
        target.close()
    print("it does not fail" if failure is None else report.describe(failure))
    return int(failure is not None)


def parse() -> argparse.Namespace:
    """Read the arguments, which scripts/fuzz explains."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Give virt2 inputs that nobody meant.")
    parser.add_argument("--inputs", type=int, default=INPUTS, help=f"how many, over all targets (default: {INPUTS:,})")
    parser.add_argument("--seed", type=int, help="what the inputs are made from (default: any)")
    parser.add_argument("--only", choices=list(TARGETS), metavar="TARGET", help=f"one of {', '.join(TARGETS)}")
    parser.add_argument("--input", help="run one input again, as a failure shows it; needs --only")
    arguments = parser.parse_args()
    if arguments.input is not None and not arguments.only:
        parser.error("--input needs --only")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
