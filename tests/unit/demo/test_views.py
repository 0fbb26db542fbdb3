"""What the two views of scripts/run print: whatever width, height and environment the terminal has."""

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.screen import Screen

from tests.demo.live import Frame, Live, News
from tests.demo.overview import COLUMNS, Row
from tests.demo.plain import Plain
from tests.demo.table import fitting, live_table, plain_table

TITLES = [*COLUMNS, "virt2 age", "lost", "virt age", "lost"]
LAST = ("1.1 s", "0", "! 12.1 s", "5")


def row(name, stuck=False):
    blocked = "! 6.2 s" if stuck else "0.0 s"
    return Row(name, (name, "web", "0", "1.2", "16 MiB", "512 B", "0 B", "60 B", "-", blocked, *LAST), stuck)


def rows(number, stuck=()):
    return [row(f"web-{one}", one in stuck) for one in range(number)]


def drawn(renderable, width=80, height=24, **options):
    output = io.StringIO()
    options = {"color_system": "standard", "force_terminal": True, "_environ": {}, **options}
    Console(file=output, width=width, height=height, **options).print(renderable)
    return output.getvalue()


def frame(shown, width=80, height=24, news=(), **options):
    given = News()
    for line in news:
        given.log(line)
    frame = Frame(given)
    frame.titles, frame.rows, frame.clock = TITLES, shown, "12:00:00"
    options = {"color_system": None, **options}
    return drawn(Screen(frame), width, height, **options).split("\n")


@pytest.mark.parametrize("table", [plain_table, live_table])
@pytest.mark.parametrize("width", [70, 80, 100, 120, 160])
def test_no_cell_is_cut_where_leaving_out_columns_is_enough(table, width):
    text = drawn(table(TITLES, rows(3, stuck={1}), width), width)
    assert "…" not in text
    assert all(
        cell_len(line) <= width for line in drawn(table(TITLES, rows(3), width), width, color_system=None).split()
    )
    assert all(f"web-{number}" in text for number in range(3))
    assert "! 12.1 s" in text


def test_a_wide_table_has_all_columns_and_a_narrow_one_the_ages():
    assert fitting(TITLES, rows(2), 200) == list(range(len(TITLES)))
    narrow = [TITLES[number] for number in fitting(TITLES, rows(2), 60)]
    assert narrow == ["domain", "blocked for", "virt2 age", "lost", "virt age", "lost"]
    assert fitting(COLUMNS, [], 20) == [COLUMNS.index("domain"), COLUMNS.index("blocked for")]


def test_what_is_stuck_or_late_is_marked_in_colour_and_without():
    assert "\x1b[1;31m! 6.2 s" in drawn(live_table(TITLES, [row("web-1", True)], 160), 160).replace("    ", "")
    without = drawn(live_table(TITLES, [row("web-1", True)], 160), 160, _environ={"NO_COLOR": "1"})
    assert "! 6.2 s" in without
    assert ";31m" not in without
    assert "[31m" not in without


def test_a_frame_never_has_more_lines_or_longer_ones_than_the_terminal():
    news = [f"[2026-11-28 12:00:00] [warning] virt2: {'something happened ' * 9}" for _ in range(9)]
    for width, height in ((80, 24), (200, 50), (30, 10), (10, 3), (1, 1)):
        lines = frame(rows(30, stuck={29}), width, height, news)
        assert len(lines) == height
        assert all(cell_len(line) <= width for line in lines)


def test_where_not_all_rows_fit_stuck_domains_are_first_and_news_have_their_place():
    lines = frame(rows(30, stuck={29}), 80, 24, ["[2026-11-28 12:00:00] [warning] virt2: domain web-29: blocked"])
    assert "30 domains, 1 stuck" in lines[0]
    names = [line.split()[0] for line in lines if line.startswith(" web-")]
    assert names[0] == "web-29"
    assert names[1:] == [f"web-{number}" for number in range(len(names) - 1)]
    assert f"and {30 - len(names)} more" in "".join(lines)
    assert "12:00:00 virt2: domain web-29: blocked" in "\n".join(lines)


def test_the_newest_news_are_kept_and_are_below_the_table():
    lines = frame(rows(6), 80, 16, [f"[2026-11-28 12:00:{number:02}] [info] virt2: news" for number in range(40)])
    shown = [line.split()[0] for line in lines if "news" in line]
    assert shown == [f"12:00:{number}" for number in range(40 - len(shown), 40)]
    assert len(shown) >= 6
    assert "news" in lines[-1]


def test_names_and_log_lines_are_no_markup():
    lines = frame([row("[red]x[/red]")], news=["[bold]virt2[/bold] says"])
    assert "[red]x[/red]" in "\n".join(lines)
    assert "[bold]virt2[/bold] says" in "\n".join(lines)


def test_the_live_view_uses_a_screen_of_its_own_and_leaves_the_last_table_behind():
    output = io.StringIO()
    options = {"color_system": "standard", "force_terminal": True, "_environ": {"TERM": "xterm"}}
    view = Live(Console(file=output, width=120, height=24, **options))
    with view:
        view.say("Act 1 of 3: something.", "12:00:00")
        view.show(TITLES, rows(2), "12:00:02")
        view.redraw()
    text = output.getvalue()
    inside, outside = text.rsplit("\x1b[?1049l", 1)
    assert inside.startswith("\x1b[?1049h")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Act 1 of 3: something." in inside
    assert "web-1" in outside
    assert "12:00:02" not in outside


def test_the_plain_view_prints_one_thing_after_the_other_in_ascii(capsys):
    with Plain() as view:
        view.say("Act 1 of 3: [something].", "12:00:00")
        view.log("[2026-11-28 12:00:00] [warning] virt2: " + "long " * 60 + "line")
        view.show(TITLES, rows(2, stuck={1}), "12:00:02")
        view.redraw()
    text = capsys.readouterr().out
    assert text.isascii()
    assert "\x1b" not in text
    said, logged, clock, *table = text.splitlines()
    assert said == "*** 12:00:00 Act 1 of 3: [something]."
    assert logged.endswith("long line")
    assert clock == "12:00:02"
    assert [line.split()[1] for line in table if line.startswith("| ")] == ["domain", "web-0", "web-1"]
    assert "! 6.2 s" in table[-2]
