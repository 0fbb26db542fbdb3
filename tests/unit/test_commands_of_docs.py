"""Each command line of the documentation is run by a test, or it is said why it cannot be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import collect
from tests.commands.collect import ROOT, CommandLine
from tests.commands.table import Elsewhere, How, Never, Script, alike, labs, tables

TABLES = tables()
FOUND = [line for page in collect.pages() for line in collect.of_page(page)]
KNOWN = {line: how for lines in TABLES.values() for line, how in lines.items()}
MOST_REASONS = 15
"""A further one should be thought over."""
BOUND = 20.0
"""Seconds for a program that is run here, and takes less than one."""


def written(page: str, text: str) -> CommandLine:
    """What of a page is a command line, where there is one."""
    (found,) = collect.of_text(page, text)
    return found


def uncovered(lines: list[CommandLine], known: dict[str, How]) -> list[str]:
    """The command lines that nobody has said anything of."""
    return [f"{line.page}:{line.line}: {line.text}" for line in lines if alike(line.text) not in known]


def test_of_each_command_line_it_is_known_how_it_is_run():
    missing = uncovered(FOUND, KNOWN)
    assert not missing, "say in tests/commands/pages how these are run:\n" + "\n".join(missing)


def test_a_new_line_is_told_with_its_place():
    new = written("docs/new.md", "Do this:\n\n    virt2 domains --backwards\n")
    assert uncovered([new], KNOWN) == ["docs/new.md:3: virt2 domains --backwards"]


@pytest.mark.parametrize("page", TABLES)
def test_what_a_table_says_of_a_page_stands_there(page):
    there = {alike(line.text) for line in FOUND if line.page == page}
    assert {line for line in TABLES[page] if line not in there} == set()


@pytest.mark.parametrize(
    ("line", "how"), [(line, how) for line, how in KNOWN.items() if isinstance(how, Elsewhere)], ids=str
)
def test_the_other_test_has_the_line_or_reads_its_page(line, how):
    text = (ROOT / how.test).read_text(encoding="utf-8")
    pages = [page for page, lines in TABLES.items() if line in lines]
    wanted = [how.by] if how.by else [line, *pages, *(Path(page).name for page in pages)]
    assert any(words in text for words in wanted), f"{how.test} has none of {wanted}"


@pytest.mark.parametrize("line", [line for line, how in KNOWN.items() if isinstance(how, Script)])
def test_a_script_of_ours_does_what_the_page_says(line):
    script, *words = line.split()
    # The script makes the machine ready, and then becomes this program.
    module = re.search(r'^exec .*-m ([\w.]+) "\$@"$', (ROOT / script).read_text(encoding="utf-8"), re.MULTILINE)
    command = [sys.executable, "-m", module.group(1), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=BOUND)
    assert done.returncode == 0, done.stderr
    assert re.search(KNOWN[line].prints, done.stdout, re.MULTILINE), done.stdout


def test_what_is_never_run_says_why_in_a_sentence_and_the_reasons_are_few():
    reasons = {how.reason for how in KNOWN.values() if isinstance(how, Never)}
    assert all(re.fullmatch(r"\w.{20,}\.", reason) for reason in reasons)
    assert len(reasons) <= MOST_REASONS, reasons


OWN = {
    "scripts/bench": ["bench/*.py", "scripts/bench"],
    "scripts/chaos": ["tests/chaos/*.py"],
    "scripts/fuzz": ["tests/fuzz/*.py"],
    "scripts/test": ["scripts/test"],
}
"""The program behind each script, in which its options stand."""


@pytest.mark.parametrize(
    "line", [line for line, how in KNOWN.items() if isinstance(how, Never) and line.startswith("scripts/")]
)
def test_a_script_that_is_not_run_has_the_options_all_the_same(line):
    script = line.split()[0]
    source = "".join(path.read_text() for pattern in OWN.get(script, [script]) for path in ROOT.glob(pattern))
    assert [option for option in re.findall(r"(?<= )--[\w-]+", line) if option not in source] == []


def test_there_are_command_lines_for_a_lab():
    assert sum(len(labs(how)) for how in KNOWN.values()) > 25


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "Run this:\n\n    virt2 check   # before a restart\n    virt2 domains\n\nThen go on.\n",
            ["virt2 check", "virt2 domains"],
        ),
        ("```sh\n$ virsh list\n```\n", ["virsh list"]),
        ("1. First:\n\n       one \\\n           two\n\n   Then more.\n", ["one \\\n    two"]),
        ("```sh\ncat >file <<'END'\n# kept\nEND\nls\n```\n", ["cat >file <<'END'\n# kept\nEND", "ls"]),
        ("The log says `virt2: version 1`, and `virt2 check --json` more.\n", ["virt2 check --json"]),
        ("| x | `virsh dominfo\nweb-1` |\n", ["virsh dominfo web-1"]),
        ("See `virt2 check` and `collectd does not start`.\n", []),
        ('Write:\n\n    <Plugin python>\n      Import "virt2"\n    </Plugin>\n', []),
        ("It says:\n\n    virt2: version 0.2.0\n", []),
        ("```conf\nLoadPlugin csv\n```\n\n```promql\nrate(x[2m])\n```\n", []),
        ("Write:\n\n    LoadPlugin write_prometheus\n    Interval 10   # seconds\n", []),
        ("* A list,\n  of two lines.\n\n      Interval 10\n", []),
    ],
)
def test_what_is_a_command_line_is_found(text, commands):
    assert [line.text for line in collect.of_text("docs/any.md", text)] == commands


@pytest.mark.parametrize("text", ["```klingon\nqapla\n```\n", "```sh\nwithout an end\n"])
def test_a_block_that_would_be_overlooked_is_an_error(text):
    with pytest.raises(ValueError, match="block"):
        list(collect.of_text("docs/any.md", text))
