"""docs/performance.md."""

from tests.commands.pages.bench import LONG
from tests.commands.table import How, Never

PAGE = "docs/performance.md"
_PROFILER = Never("It is a tool of others, which looks into a process for as long as its user likes.")
LINES: dict[str, How] = {
    "scripts/bench --hold 50": LONG,
    "scripts/bench --sizes 25 --rounds 1 --seconds 6": LONG,
    "pip install py-spy": _PROFILER,
    "py-spy record --pid PID --gil --rate 400 --duration 20 --format raw --output read.txt": _PROFILER,
    "perf record -g -p PID -- sleep 10; perf report --sort dso": _PROFILER,
}
