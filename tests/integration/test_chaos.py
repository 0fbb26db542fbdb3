"""Everything goes wrong at random, and what virt2 promises holds at every point; `scripts/chaos` does it for longer."""

import pytest

from tests.chaos import report
from tests.chaos.performance import GUESTS, play
from tests.chaos.schedule import make


def assert_all_holds(lab, tmp_path, seed, minutes):
    folder = tmp_path / "collectd"
    folder.mkdir()
    schedule = make(seed, minutes, GUESTS)
    story, findings = play(lab, folder, schedule)
    print(report.full_text(schedule, story, findings))
    assert findings.violations == []


@pytest.mark.full
@pytest.mark.timeout(1200)
def test_ten_minutes_of_chaos_break_no_promise(lab, tmp_path):
    assert_all_holds(lab, tmp_path, 1, 10)
