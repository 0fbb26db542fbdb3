"""bench/README.md."""

from tests.commands.table import How, Never

PAGE = "bench/README.md"
LONG = Never(
    "It measures for minutes, on a machine that does nothing else, and in an environment of its own; the parts of the"
    " benchmark have tests (tests/unit/test_bench.py)."
)
LINES: dict[str, How] = {
    "scripts/bench --quick": LONG,
    "scripts/bench --hold N": LONG,
    "scripts/bench --scale": LONG,
    "scripts/bench --record 100": LONG,
    "scripts/bench --soak": LONG,
}
