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
from collections.abc import Callable, Iterable
from pathlib import Path

from bench import contestants, figures, outage, paced, plots, report, rounds
from bench.figures import Pace
from bench.machine import Machine, NotEnoughMemory, require_memory
from bench.report import Results
from tests.lab import Lab

HERE = Path(__file__).parent
SIZES = (25, 50, 100, 200)
ROUNDS, SECONDS = 3, 3.0
QUICK_SIZES = (25,)
QUICK_ROUNDS, QUICK_SECONDS = 2, 2.0
PACES = (figures.MEDIUM, figures.SMALL)
PACED_ROUNDS, WINDOW = 2, 60.0
CYCLES, PACED, OUTAGE = "cycles", "paced", "outage"
PARTS = (CYCLES, PACED, OUTAGE)
"""What a run consists of: reads without a pause, reads at an interval, libvirtd dead and frozen."""


def main() -> int:
    """Return 1 where a promise was missed and --check is given, 2 where nothing could be measured."""
    arguments = parse()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - began:4.0f} s] {text}", file=sys.stderr, flush=True)

    if arguments.soak:
        from bench import soak

        return soak.main(arguments.output / "soak.svg", arguments.cycles)
    if arguments.scale:
        from bench import scale

        missed = scale.main(arguments.output, describe_machine(), say)
        return missed if arguments.check else 0
    try:
        if arguments.hold:
            require_memory(arguments.hold)
            return hold(arguments.hold, arguments.interval)
        if arguments.record:
            require_memory(arguments.record)
            return record(arguments.record, say)
        require_memory(max(0, *arguments.sizes, *(pace.domains for pace in arguments.paces)))
    except NotEnoughMemory as error:
        print(error, file=sys.stderr)
        return 2
    results = run(arguments, say)
    tables = [report.table(results)] if results.sizes else []
    if results.paces:
        tables += [report.paced_table(results), *(report.thread_table(one.threads) for one in results.paces.values())]
    if results.outage:
        tables.append(report.outage_table(results.outage))
    print("\n\n".join(map(report.plain, [*tables, report.verdict_table(results.verdicts)])))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.md").write_text(report.markdown(results), encoding="utf-8")
    if results.sizes:
        plots.cycle(results.sizes, arguments.output / "cycle.svg")
    return int(arguments.check and any(verdict.reached is False for verdict in results.verdicts))


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> Results:
    """Measure at each size and pace, in one lab whose guests become more; then what is lost without a libvirtd."""
    sizes, paces = arguments.sizes, sorted(arguments.paces)
    effort = rounds.Effort(arguments.rounds, arguments.seconds)
    at_intervals = paced.Effort(arguments.paced_rounds, arguments.window)
    measured, calls, found = {}, {}, {}
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        for name in ("lab", "runs"):
            Path(folder, name).mkdir()
        with Lab(Path(folder, "lab")) as lab:
            machine = Machine(lab)
            host = describe_host(lab)
            runs = Path(folder, "runs")
            for size in sorted({*sizes, *(pace.domains for pace in paces)}):
                say(f"starting guests up to {size}")
                machine.grow(size)
                for pace in paces:
                    if pace.domains == size:
                        found[pace] = paced.measure(machine, pace, runs, at_intervals, say)
                if size in sizes:
                    measured[size] = rounds.measure(machine, runs, effort, say)
                    say(f"{size} domains: counting round trips")
                    calls[size] = rounds.count(machine, runs, measured[size], size == sizes[0], say)
    lost = outage.run(say) if OUTAGE in arguments.parts else {}
    return Results(host, contestants.EXTRA, measured, calls, found, lost)


def hold(guests: int, interval: float) -> int:
    """Have virt2 read so many guests until Ctrl-C, to be profiled: back to back, or at an interval."""
    words = f"every {interval:g} s" if interval else "without a pause"
    drop_in = contestants.virt2(interval=interval, module=contestants.AT_ITS_INTERVAL) if interval else None
    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder:
        Path(folder, "lab").mkdir()
        with Lab(Path(folder, "lab")) as lab:
            Machine(lab).grow(guests)
            daemon = contestants.Daemon(lab, Path(folder, "collectd"), drop_in or contestants.virt2(), 1)
            daemon.start()
            try:
                if not interval:
                    # A read is logged only where it is longer than its interval.
                    contestants.await_cycles(daemon, 1)
                print(f"collectd, which reads {guests} guests {words}: {daemon.pid}; Ctrl-C ends it", flush=True)
                threading.Event().wait()
            except KeyboardInterrupt:
                pass
            finally:
                daemon.stop()
    return 0


def record(guests: int, say: Callable[[str], None]) -> int:
    """Record what calls take with so many guests, for the simulation."""
    from bench.simulated import latencies
    from bench.simulated.record import record

    with tempfile.TemporaryDirectory(prefix="virt2-bench-") as folder, Lab(Path(folder)) as lab:
        machine = Machine(lab)
        machine.grow(guests)
        said = "; ".join(describe_host(lab)[:2])
        latencies.FILE.write_text(latencies.dump(record(machine, f"{guests} emulated guests; {said}", say)))
    return 0


def describe_machine() -> list[str]:
    """Say what machine this is; nothing that tells whose."""
    return [
        f"{os.cpu_count()} processors, Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    ]


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
    parser.add_argument("--parts", type=_parts, help=f"what is measured: {','.join(PARTS)} (all of them)")
    parser.add_argument("--paces", type=_paces, help=f"domains and intervals of paced reads ({_words(PACES)})")
    parser.add_argument("--paced-rounds", type=int, default=PACED_ROUNDS, help="turns at each pace (%(default)s)")
    parser.add_argument("--window", type=float, default=WINDOW, help="seconds of each of these turns (%(default)g)")
    parser.add_argument("--quick", action="store_true", help="few domains, short turns, no pauses: two minutes")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a promise is missed")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for results.md and plots (bench)")
    parser.add_argument("--hold", type=int, help="instead: read so many guests until Ctrl-C, to be profiled")
    parser.add_argument("--interval", type=float, default=0.0, help="with --hold: seconds between reads (no pause)")
    parser.add_argument("--scale", action="store_true", help="instead: 200 and 1,000 domains, by simulation")
    parser.add_argument("--record", type=int, help="instead: record what the simulation's calls take, of N guests")
    parser.add_argument("--soak", action="store_true", help="instead: many cycles while guests come and go")
    parser.add_argument("--cycles", type=int, default=5000, help="cycles of the soak (%(default)s)")
    arguments = parser.parse_args()
    quick = arguments.quick
    arguments.parts = arguments.parts or ([CYCLES] if quick else list(PARTS))
    arguments.sizes = arguments.sizes or list(QUICK_SIZES if quick else SIZES)
    arguments.paces = arguments.paces or list(PACES)
    if CYCLES not in arguments.parts:
        arguments.sizes = []
    if PACED not in arguments.parts:
        arguments.paces = []
    arguments.rounds = arguments.rounds or (QUICK_ROUNDS if quick else ROUNDS)
    arguments.seconds = arguments.seconds or (QUICK_SECONDS if quick else SECONDS)
    return arguments


def _parts(text: str) -> list[str]:
    parts = text.split(",")
    if not set(parts) <= set(PARTS):
        raise ValueError
    return parts


def _paces(text: str) -> list[Pace]:
    pairs = (pair.split("x") for pair in text.split(","))
    return [Pace(int(domains), float(interval)) for domains, interval in pairs]


def _words(paces: Iterable[Pace]) -> str:
    return ",".join(f"{pace.domains}x{pace.interval:g}" for pace in paces)


def _sizes(text: str) -> list[int]:
    return sorted({int(number) for number in text.split(",")})


if __name__ == "__main__":
    sys.exit(main())
