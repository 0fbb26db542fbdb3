"""What scripts/bench runs: measures, prints one table, writes results.md and the plots beside this file."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench import contestants, figures, plots, report, rounds
from bench.machine import Machine, NotEnoughMemory, require_memory
from bench.report import Results
from tests.lab import Lab

HERE = Path(__file__).parent
SIZES = (25, 50, 100, 200)
ROUNDS, SECONDS = 3, 3.0
QUICK_SIZES = (25,)
QUICK_ROUNDS, QUICK_SECONDS = 2, 2.0


def main() -> int:
    """Return 1 where a promise was missed and --check is given, 2 where nothing could be measured."""
    arguments = parse()
    if arguments.soak:
        from bench import soak

        return soak.main(arguments.output / "soak.svg", arguments.cycles)
    try:
        if arguments.hold:
            require_memory(arguments.hold)
            return hold(arguments.hold)
        require_memory(max(arguments.sizes))
    except NotEnoughMemory as error:
        print(error, file=sys.stderr)
        return 2
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    results = run(arguments.sizes, rounds.Effort(arguments.rounds, arguments.seconds), say)
    verdicts = figures.verdicts(results.sizes)
    print(report.plain(report.table(results)))
    print()
    print(report.plain(report.verdict_table(verdicts)))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.md").write_text(report.markdown(results), encoding="utf-8")
    plots.cycle(results.sizes, arguments.output / "cycle.svg")
    return int(arguments.check and any(verdict.reached is False for verdict in verdicts))


def run(sizes: list[int], effort: rounds.Effort, say) -> Results:
    """Measure at each size, in one lab whose guests become more."""
    measured, calls = {}, {}
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        for name in ("lab", "runs"):
            Path(folder, name).mkdir()
        with Lab(Path(folder, "lab")) as lab:
            machine = Machine(lab)
            host = describe_host(lab)
            for size in sizes:
                say(f"starting guests up to {size}")
                machine.grow(size)
                measured[size] = rounds.measure(machine, Path(folder, "runs"), effort, say)
                say(f"{size} domains: counting round trips")
                calls[size] = rounds.count(machine, Path(folder, "runs"), measured[size], size == sizes[0], say)
    return Results(host, measured, calls, contestants.EXTRA)


def hold(guests: int) -> int:
    """Have virt2 read so many guests back to back until Ctrl-C, to be profiled."""
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        Path(folder, "lab").mkdir()
        with Lab(Path(folder, "lab")) as lab:
            Machine(lab).grow(guests)
            daemon = contestants.Daemon(lab, Path(folder, "collectd"), contestants.virt2(), 1)
            daemon.start()
            try:
                contestants.await_cycles(daemon, 1)
                print(
                    f"collectd, which reads {guests} guests without a pause: {daemon.pid}; Ctrl-C ends it", flush=True
                )
                threading.Event().wait()
            except KeyboardInterrupt:
                pass
            finally:
                daemon.stop()
    return 0


def describe_host(lab: Lab) -> list[str]:
    """Say what was measured on; nothing that tells whose machine it is."""
    connection = lab.connection

    def version(number: int) -> str:
        return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"

    collectd = re.search(r"^collectd (\d+\.\d+\.\d+)", lab.run(["collectd", "-h"], check=False), re.M)
    return [
        f"{os.cpu_count()} processors, Linux {platform.release().split('-')[0]}",
        f"libvirt {version(connection.getLibVersion())}, QEMU {version(connection.getVersion())},"
        f" collectd {collectd.group(1)}, Python {platform.python_version()}",
        "emulated guests of 2 disks and 2 interfaces, all started by this run",
    ]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--sizes", type=_sizes, help=f"numbers of domains ({','.join(map(str, SIZES))})")
    parser.add_argument("--rounds", type=int, help=f"turns of each contestant at each size ({ROUNDS})")
    parser.add_argument("--seconds", type=float, help=f"least length of each turn ({SECONDS:g})")
    parser.add_argument("--quick", action="store_true", help="few domains, short turns: two minutes")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a promise is missed")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.md and plots (bench)")
    parser.add_argument("--hold", type=int, help="instead: read so many guests until Ctrl-C, to be profiled")
    parser.add_argument("--soak", action="store_true", help="instead: many cycles while guests come and go")
    parser.add_argument("--cycles", type=int, default=5000, help="cycles of the soak (%(default)s)")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.sizes = arguments.sizes or list(QUICK_SIZES if quick else SIZES)
    arguments.rounds = arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS)
    arguments.seconds = arguments.seconds or (QUICK_SECONDS if quick else SECONDS)
    return arguments


def _sizes(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})


if __name__ == "__main__":
    sys.exit(main())
