"""The man pages have everything that the tables of the code and of the documentation have, and nothing else."""

import argparse
import re

import command_page
import manpages
import plugin_page
import pytest
import roff
from checkout import date_of, read, rows, sections
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.packages.roff_reader import MACROS, entries, macro, plain
from virt2.cli import commands
from virt2.config.settings import INSTANCE_OPTIONS, OPTIONS
from virt2.metrics.selectors import SELECTORS
from virt2.version import VERSION

PAGES = manpages.texts()
PLUGIN = PAGES["collectd-virt2.5"]
METRICS = sections(read("docs/metrics.md"))
AGENTS = sections(read("docs/guest-agent.md"))


def bare(markdown):
    """A text without its marks, on one line."""
    return re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", markdown).replace("`", "")


def of_section(name, depth=None):
    return [
        (entry.term, entry.text) for entry in entries(PLUGIN) if entry.section == name and depth in (None, entry.depth)
    ]


def test_every_option_is_there_once_with_its_default_and_its_meaning():
    expected = [
        (f"{option.key} (default: {option.default_text})" if option.default_text else option.key, bare(option.meaning))
        for option in (*OPTIONS, *INSTANCE_OPTIONS)
    ]
    assert sorted(of_section("OPTIONS")) == sorted(expected)


def test_every_series_of_the_documentation_is_there():
    always = [f"{row[0]}, type instance {row[1]}" if row[1] else row[0] for row in rows(METRICS["Always"])]
    own = [row[0] for row in rows(METRICS["Of virt2 itself"])]
    assert len(own) > 10
    assert [term for term, _ in of_section("METRICS")] == [bare(term) for term in [*always, *own]]


def test_a_series_tells_its_unit_and_the_class_of_its_call():
    said = dict(of_section("METRICS"))
    assert (
        "Values: read, write. Unit: bytes, counters. Call: blockStats, class B."
        in said["disk_octets, type instance disk, such as vda"]
    )
    assert "Call:" not in said["duration, type instance monitor_blocked"]


def test_every_selector_is_there_with_its_class_and_its_call():
    expected = [(f"{one.name} (class {one.kind}, call {one.call})", f"{bare(one.meaning)}.") for one in SELECTORS]
    assert of_section("EXTRASTATS", depth=0) == expected


def test_every_selector_is_followed_by_what_it_reports():
    reported, selector = {}, ""
    for entry in entries(PLUGIN):
        if entry.section == "EXTRASTATS" and entry.depth == 0:
            selector = entry.term.split(" ")[0]
        elif entry.section == "EXTRASTATS":
            reported.setdefault(selector, []).append(entry.text.split(". Unit:")[0])
    expected = {}
    for name, _, _, unit in rows(METRICS["What they report"]):
        expected.setdefault(bare(name), []).append(bare(unit))
    expected["guest_info"] = [bare(row[3]) for row in rows(AGENTS["Metrics"])]
    # It sends notifications only.
    assert {one.name for one in SELECTORS} - {"fs_info"} == set(expected)
    assert reported == expected


def test_what_is_new_in_a_table_is_in_the_page():
    pages = [read(f"docs/{name}.md") for name in ("options", "metrics", "guest-agent")]
    row = "| `virt_cpu_total` |"
    pages[1] = pages[1].replace(row, f"| `new_type` | `x` | v | u | `c` | A | new |\n{row}", 1)
    changed = plugin_page.page(*pages, date="2026-01-01")
    assert ("METRICS", "new_type, type instance x") in [(entry.section, entry.term) for entry in entries(changed)]


def test_an_option_that_is_in_no_table_of_the_code_is_an_error():
    pages = [read(f"docs/{name}.md") for name in ("options", "metrics", "guest-agent")]
    pages[0] = pages[0].replace("| `Workers` |", "| `Wrokers` |")
    with pytest.raises(KeyError, match="Wrokers"):
        plugin_page.page(*pages, date="2026-01-01")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_made_of_few_macros_and_escapes_and_of_ascii(name):
    lines = PAGES[name].splitlines()
    assert lines[0].startswith(f'.TH {roff.escaped(name.partition(".")[0].upper())} {name[-1]} "')
    assert f'"virt2 {VERSION}"' in lines[0]
    assert {macro(line) for line in lines} - {""} <= MACROS
    assert all(plain(line) for line in lines)
    assert PAGES[name].isascii()
    assert [line for line in lines if line.startswith(".SH")][-1] == ".SH SEE ALSO"


def test_every_command_of_the_table_and_each_of_its_options_has_its_place():
    headings = [plain(line[4:]) for line in PAGES["virt2.1"].splitlines() if line.startswith(".SS")]
    assert headings == [f"virt2 {command.name}" for command in commands.COMMANDS]


def a_command_line():
    top = argparse.ArgumentParser("virt2", description="Explains it.", epilog="Exit status: 0 if all is well.")
    look = top.add_subparsers().add_parser("look", description="Looks at one domain.")
    look.add_argument("domain", metavar="DOMAIN", help="its name, or its UUID")
    look.add_argument("-j", "--json", action="store_true", help="print JSON, not a table")
    look.add_argument("--every", type=float, default=2.0, metavar="S", help="seconds (default: %(default)s)")
    look.add_argument("--hidden", help=argparse.SUPPRESS)
    return top


def test_the_page_of_the_command_has_what_a_command_declares():
    page = command_page.page(a_command_line(), "2026-01-01")
    found = [(entry.term, entry.text) for entry in entries(page) if entry.section == "COMMANDS"]
    assert ("DOMAIN", "Its name, or its UUID.") in found
    assert ("-j, --json", "Print JSON, not a table.") in found
    assert ("--every S", "Seconds (default: 2.0).") in found
    shown = [plain(line) for line in page.splitlines()]
    assert any(line.startswith("virt2 look [-h] [-j] [--every S]") and line.endswith("DOMAIN") for line in shown)
    assert {"Explains it.", "Looks at one domain.", "0 if all is well."} <= set(shown)
    assert "hidden" not in page.split("COMMANDS", 1)[1].split(".TP", 1)[1]


@given(st.text(st.characters(blacklist_categories=("Cs", "Cc"), blacklist_characters="\u2028\u2029\x85")))
@example("\\'`^~\"-.")
def test_a_text_is_shown_as_it_is(text):
    for hyphen in ("-", "\\-"):
        escaped = roff.escaped(text, hyphen)
        assert plain(escaped) == text
        # man shows others in their place, which no shell understands.
        assert not set(re.sub(r"\\\(..", "", escaped)) & set("'`^~\"")
    for lines in (roff.paragraph(text), roff.entry("x", text), roff.example(f"a\n{text}")):
        assert all(line.isascii() for line in lines)
        assert {macro(line) for line in lines} <= {"", "PP", "TP", "RS", "EX", "EE", "RE"}


@pytest.mark.parametrize("text", ["", ".so /etc/passwd", "'br", "\\", '.x "y"'])
def test_no_text_is_taken_for_a_request(text):
    assert macro(roff.paragraph(text)[1]) == ""
    assert plain(roff.paragraph(text)[1]) == text


def test_code_links_and_stressed_words_are_marked():
    line = roff.inline("`a b` and [words](place.md#x), *stressed*, 2 * 3 * 4")
    assert line == "\\fB\\%a \\%b\\fR and words, \\fIstressed\\fR, 2 * 3 * 4"


def test_the_date_of_a_page_is_that_of_the_version_it_was_made_from():
    changelog = "## [Unreleased]\n\n## [1.2.3] - 2026-05-06\n"
    assert date_of("1.2.3", changelog) == "2026-05-06"
    assert date_of("1.2.3+git1.gabc", changelog) == "2026-05-06"
    with pytest.raises(ValueError, match=r"no version 1\.2\.4"):
        date_of("1.2.4", changelog)
