"""How findings are printed."""

from __future__ import annotations

import json

import pytest

from virt2.cli import report
from virt2.cli.findings import ERROR, FAILED, FINE, NOTE, WARNING, WRONG, Finding, status_of
from virt2.cli.report import Report, as_json, in_order, summary, text
from virt2.config.reading import Line

HERE = Line("/etc/x.conf", 3)


def finding(severity=ERROR, what="It is wrong", at=HERE, incomplete=False):
    return Finding(severity, what, "Put it right.", at, incomplete)


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], FINE),
        ([finding(NOTE)], FINE),
        ([finding(NOTE), finding(WARNING)], WRONG),
        ([finding(ERROR)], WRONG),
        ([finding(WARNING), finding(NOTE, incomplete=True)], FAILED),
    ],
)
def test_the_exit_status_is_that_of_the_worst(findings, status):
    assert status_of(findings) == status


def test_the_worst_comes_first_and_nothing_twice():
    note, warning, error = finding(NOTE), finding(WARNING), finding(ERROR)
    other = finding(ERROR, "Another")
    assert in_order([note, error, warning, other, error]) == (error, other, warning, note)


def test_lines_are_wrapped_to_the_terminal_and_to_nothing_else():
    told = Report((finding(what="word " * 30 + "end"),), ("a",), "", 1)
    assert len(list(text(told, None))) == 3
    wrapped = list(text(told, 60))
    assert all(len(line) <= 60 for line in wrapped)
    assert wrapped[0].startswith("/etc/x.conf:3: error: word")
    assert wrapped[1].startswith("    word")
    assert "    Put it right." in wrapped


def test_a_word_that_is_too_long_is_not_broken():
    path = "/a" * 60
    told = Report((finding(at=Line(path, 1)),), (), "", 1)
    assert f"{path}:1:" in next(iter(text(told, 40)))


@pytest.mark.parametrize(
    ("findings", "files", "line"),
    [
        ((), ("a",), "Nothing is wrong. Read: a. About."),
        ((finding(),), ("a", "b"), "1 error. Read: 2 files. About."),
        (
            (finding(), finding(NOTE), finding(NOTE), finding(WARNING)),
            (),
            "1 error, 1 warning, 2 notes. Read: no file. About.",
        ),
    ],
)
def test_the_last_line_counts(findings, files, line):
    assert summary(Report(findings, files, "About.", 0)) == line


def test_what_is_hostile_is_printable_in_text_and_whole_in_json():
    hostile = finding(what="a\x1b[31m\n\udc80\u202e", at=Line("/\x1b", 1))
    told = Report((hostile,), ("/\x1b",), "", 1)
    assert not any(char in line for line in text(told, None) for char in "\x1b\n\udc80\u202e")
    assert json.loads(as_json(told))["findings"][0]["what"] == hostile.what
    assert as_json(told).isascii()


def test_a_line_is_bounded():
    (line, *_) = text(Report((finding(what="x" * 100000),), (), "", 1), None)
    assert len(line) < report.LONGEST + 10


def test_the_width_is_that_of_the_terminal_and_none_without_one(monkeypatch):
    assert report.columns() is None
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "72")
    assert report.columns() == 72
    monkeypatch.setenv("COLUMNS", "5")
    assert report.columns() == report.NARROWEST
