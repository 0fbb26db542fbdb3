"""What reaches collectd's log: whole lines of virt2's own, however hostile the words in them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from virt2.output.log import Handler
from virt2.text.printable import LONGEST, printable


class Log:
    """Collects what each level's function was given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.logger = logging.Logger("test")
        self.logger.addHandler(
            Handler(
                {
                    logging.INFO: self._taking("info"),
                    logging.ERROR: self._taking("error"),
                    logging.WARNING: self._taking("warning"),
                }
            )
        )

    def _taking(self, level: str) -> Callable[[str], None]:
        return lambda text: self.lines.append((level, text))


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.mark.parametrize(
    ("level", "output"),
    [
        pytest.param(logging.INFO, "info", id="info"),
        pytest.param(logging.WARNING, "warning", id="warning"),
        pytest.param(logging.ERROR, "error", id="error"),
        pytest.param(logging.CRITICAL, "error", id="critical"),
        pytest.param(logging.WARNING + 5, "warning", id="between two"),
    ],
)
def test_a_record_goes_to_the_function_of_its_level(log, level, output):
    log.logger.log(level, "domain %s", "web")
    assert log.lines == [(output, "virt2: domain web")]


def test_a_record_below_all_levels_goes_nowhere(log):
    log.logger.debug("quiet")
    assert log.lines == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        pytest.param("a\nb", "a\\nb", id="newline"),
        pytest.param("a\tb", "a\\tb", id="tab"),
        pytest.param("a\rb", "a\\rb", id="carriage return"),
        pytest.param("a\x1b[2Jb", "a\\x1b[2Jb", id="escape"),
        pytest.param("a\0b", "a\\x00b", id="null"),
        pytest.param("a\u2028b", "a\\u2028b", id="line separator"),
        pytest.param("a\udc80b", "a\\udc80b", id="no Unicode"),
        pytest.param("\u00e9\u4e16 %s", "\u00e9\u4e16 %s", id="letters of the world"),
    ],
)
def test_control_characters_are_escaped(log, name, shown):
    log.logger.info("domain %s", name)
    assert log.lines == [("info", f"virt2: domain {shown}")]


def test_a_long_message_is_cut_between_characters(log):
    log.logger.info("%s", "\u00e9" * 2000)
    text = log.lines[0][1]
    assert text.endswith("\u00e9…")
    assert LONGEST - 2 < len(text.encode()) <= 1023


def test_a_traceback_keeps_its_lines(log):
    try:
        raise KeyError("the reason")
    except KeyError:
        log.logger.exception("domain %s", "web")
    lines = [text for _, text in log.lines]
    assert lines[0] == "virt2: domain web"
    assert any("test_log.py" in line for line in lines)
    assert "the reason" in lines[-1]


def test_a_name_that_looks_like_a_traceback_forges_no_line(log):
    log.logger.info("domain %s", "x\nTraceback (most recent call last):\n[2026-01-01] all is well")
    assert len(log.lines) == 1


def test_an_exception_that_holds_line_ends_forges_no_line_either(log):
    try:
        raise ValueError("domain x\n[2026-01-01] all is well")
    except ValueError:
        log.logger.exception("unexpected")
    assert all(text.startswith("virt2: ") for _, text in log.lines)


@given(st.text(st.characters(), max_size=1500))
def test_whatever_the_text_it_becomes_one_printable_line_that_collectd_does_not_cut(text):
    line = printable(text)
    assert line.isprintable()
    assert len(line.encode()) <= 1023


def test_a_line_that_is_never_taken_keeps_no_other_thread_from_logging():
    taken, entered, release = [], threading.Event(), threading.Event()

    def take(line: str) -> None:
        if "first" in line:
            entered.set()
            assert release.wait(10)
        taken.append(line)

    handler = Handler({logging.INFO: take})
    records = [logging.LogRecord("virt2", logging.INFO, "", 0, text, (), None) for text in ("first", "second")]
    threads = [threading.Thread(target=handler.handle, args=(record,), daemon=True) for record in records]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    threads[1].join(10)
    assert taken == ["virt2: second"]
    release.set()
    threads[0].join(10)
    assert taken == ["virt2: second", "virt2: first"]
