"""The part of a real run that the README shows is still what is printed."""

from pathlib import Path

from tests.demo.overview import COLUMNS
from tests.demo.plain import Plain
from tests.demo.stage import GUESTS
from tests.demo.story import ACTS, STOPPED

README = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
PART = README.split("## See it work", 1)[1].split("\n## ", 1)[0]


def cells():
    lines = [line for line in PART.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_words_of_the_act_are_those_of_the_story(capsys):
    with Plain() as view:
        view.say(f"Act 1 of {len(ACTS)}: {ACTS[0].begins}", "06:48:15")
    assert capsys.readouterr().out in PART


def test_the_table_has_the_columns_and_guests_that_there_are_and_shows_the_stopped_one():
    titles, *rows = cells()
    assert titles == [*COLUMNS, "virt2 age", "lost", "virt age", "lost"]
    assert [row[0] for row in rows] == sorted(guest.name for guest in GUESTS)
    assert [row[0] for row in rows if row[len(COLUMNS) - 1].startswith("!")] == [STOPPED]
