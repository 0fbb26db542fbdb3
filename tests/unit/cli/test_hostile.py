"""What is hostile or broken costs a sentence and an exit status: names, outputs, configurations, in every view."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.cli.fake_status import many, serving
from tests.unit.status.snapshots import NOW, domain, server, snapshot, well
from virt2.cli import domains, explain, limits, process, report, saying, screen
from virt2.cli.rates import UNKNOWN
from virt2.cli.screen import View
from virt2.cli.word import PLUGIN, Word
from virt2.domains.link import Link
from virt2.status.desk import find_answer
from virt2.status.snapshot import Call
from virt2.status.wire import Question
from virt2.workers.job import MONITOR

ROOT = Path(process.__file__).parents[2]
PROGRAM = [sys.executable, "-m", "virt2.cli"]
BOUND = 20.0
HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\x07\r\n\t\b\0\x7f\u202e\u200b\u2028\ud800\udcff\u0301\U0001f469\u5343[]m2J|\\"),
    ),
    min_size=1,
    max_size=60,
)
VIEWS = (["domains"], ["domains", "--stuck"], ["limits"], ["explain", "web-1"], ["top", "--once", "--interval", "0.5"])
NAMES = [" ".join(words) for words in VIEWS]


def a_hostile_host(texts):
    """A host where every text that a guest or libvirt gives is hostile."""
    name, tag, storage, cause, reason, uuid = texts
    one, two = domain(name, tag=tag, storage=(storage,)), domain("web-1", 2, storage=(storage,))
    one = one._replace(uuid=uuid)
    known = snapshot(one, two, server=server(link=Link(False, 900.0, reason)))
    stuck = well(one, blocked_since=NOW - 200, cause=cause)
    call = Call(uuid, MONITOR, cause, NOW - 200, frozenset({storage}))
    return known._replace(facts={**known.facts, uuid: stuck}, calls=[call])


def rendered(known, name, width):
    """The lines of every view."""
    for row_set in (find_answer(Question("domains"), known)["domains"],):
        yield from domains.table(domains.COLUMNS, list(map(domains._texts, row_set)), width).lines
    yield from limits.text(find_answer(Question("limits"), known), width)
    yield from explain.text(find_answer(Question("explain", name), known), width)
    view = View(find_answer(Question("top"), known), lambda uuid: UNKNOWN, name, note=name)
    yield from (line.text for line in screen.lines(view, width, None if width is None else 24))
    yield from (line.text for line in screen.lines(view._replace(note=""), width, None if width is None else 24))
    yield from saying.about(Word(None, PLUGIN, name, (name,)), width)
    yield from report.wrapped(saying.trouble(find_answer(Question("hello"), known)["reach"]), width)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.tuples(*[HOSTILE] * 6), st.sampled_from([None, 1, 20, 80]))
def test_nothing_that_a_domain_is_called_controls_a_terminal_in_any_view(texts, width):
    known = a_hostile_host(texts)
    for line in rendered(known, texts[0], width):
        assert line.isprintable(), (line, texts)
        line.encode()
    for question in ("domains", "limits", "explain", "top", "hello"):
        answer = find_answer(Question(question, texts[0] if question == "explain" else ""), known)
        text = saying.as_json(Word(None, PLUGIN, texts[0], (texts[1],)), 1, answer)
        assert text.isascii()
        assert text.isprintable()
        assert json.loads(text)["answer"]


@pytest.fixture
def server_path(tmp_path):
    with serving(str(tmp_path / "virt2.sock"), many(300)) as status:
        known = status.snapshot
        web = known.domains[1]
        assert web.name == "web-1"
        yield status.path


@pytest.mark.parametrize("words", VIEWS, ids=NAMES)
def test_a_pipe_that_is_closed_ends_each_view_as_it_ends_any_program(server_path, words):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [*PROGRAM, *words, "--socket", server_path], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, timeout=BOUND
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("words", VIEWS, ids=NAMES)
def test_a_full_disk_is_a_sentence_in_each_view(server_path, words):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, *words, "--socket", server_path], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=BOUND
        )
    assert (done.returncode, done.stderr) == (2, b"virt2: the output cannot be written: No space left on device.\n")


@pytest.mark.parametrize("redirection", ["2>/dev/full", ">/dev/full 2>/dev/full", ">&- 2>/dev/full"])
def test_where_nothing_can_be_said_the_exit_status_says_it(redirection):
    line = f'"$@" explain web-1 --socket /none/at/all {redirection}'
    done = subprocess.run(["bash", "-c", line, "bash", *PROGRAM], cwd=ROOT, capture_output=True, timeout=BOUND)
    assert (done.returncode, done.stderr) == (2, b"")


def broken(folder):
    (folder / "x.conf").write_text("<Plugin python>\n")


def huge(folder):
    (folder / "x.conf").write_text("#" * (2 << 20))


def circular(folder):
    (folder / "x.conf").write_text(f'Include "{folder}/x.conf"\n')


def deep(folder):
    for number in range(12):
        (folder / f"{number}.conf").write_text(f'Include "{folder}/{number + 1}.conf"\n')
    (folder / "x.conf").write_text(f'Include "{folder}/0.conf"\n')


def binary(folder):
    (folder / "x.conf").write_bytes(bytes(range(256)) * 100)


def absent(folder):
    pass


def looped(folder):
    (folder / "x.conf").symlink_to("x.conf")


@pytest.mark.parametrize("make", [broken, huge, circular, deep, binary, absent, looped], ids=lambda make: make.__name__)
@pytest.mark.parametrize("words", [*VIEWS, ["check"]], ids=[*NAMES, "check"])
def test_a_configuration_that_is_no_good_is_a_sentence_in_each_command(tmp_path, capsys, make, words):
    make(tmp_path)
    named = [str(tmp_path / "x.conf")]
    status = process.run([*words, *(named if words == ["check"] else ["--config", *named])])
    out, err = capsys.readouterr()
    assert status == 2
    assert "Traceback" not in out + err
    assert "unexpected failure" not in out + err
    assert all(line.isprintable() for line in (out + err).splitlines())
    if words != ["check"]:
        assert err.startswith("virt2: The configuration cannot be read: ")
        assert err.count("\n") == 1
