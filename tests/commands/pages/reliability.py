"""docs/reliability.md."""

from tests.commands.table import Elsewhere, How, Never, Script

PAGE = "docs/reliability.md"
_CHAOS = Elsewhere("tests/integration/test_chaos.py", "def test_ten_minutes_of_chaos_break_no_promise")
_FUZZ = Never("It runs for minutes to hours; tests/unit/fuzz runs the same program with fewer inputs.")
LINES: dict[str, How] = {
    "scripts/chaos": _CHAOS,
    "scripts/chaos --minutes 24 --seed 3": _CHAOS,
    "scripts/chaos --minutes N --seed S": _CHAOS,
    "scripts/chaos --seed 3 --schedule-only": Script("stop_guests"),
    "scripts/fuzz": _FUZZ,
    "scripts/fuzz --inputs 10000000": _FUZZ,
    "scripts/fuzz --inputs 10000000 --seed 1516856713": _FUZZ,
    "scripts/fuzz --only admin_protocol --seed 7": _FUZZ,
    "scripts/fuzz --only status_questions --inputs 500000 --seed 1516856714": _FUZZ,
}
