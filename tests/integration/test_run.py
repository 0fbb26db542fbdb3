"""scripts/run shows virt2 at work and cleans up behind itself."""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.demo import story
from tests.demo.overview import COLUMNS as TITLES
from tests.demo.stage import GUESTS, Stage
from tests.integration.terminal import Terminal
from tests.lab import Guest, Lab, cgroups, wait_for
from tests.lab.machine import ROOT

RUN = str(ROOT / "scripts/run")
SOON = 120
"""Seconds for what takes ten on a machine that does nothing else."""
COLUMNS = 9
"""Of the table, besides the domain's name."""


def rows(output, name):
    """The cells of every row of a domain, oldest first."""
    lines = [line for line in output.splitlines() if line.startswith(f"| {name} ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


class Shown(NamedTuple):
    """One table of the plain output."""

    act: int
    """The act that is on, 0 before the first one, and -1 behind each."""
    rows: dict[str, list[str]]
    """The cells of each domain, its name included."""


def tables(output):
    """Every table of the plain output, oldest first."""
    act, found = 0, []
    for line in output.splitlines():
        said = re.match(r"\*\*\* [\d:]+ Act (\d) of \d( is over)?:", line)
        if said:
            act = -1 if said[2] else int(said[1])
        elif re.fullmatch(r"\d\d:\d\d:\d\d", line):
            found.append(Shown(act, {}))
        elif line.startswith("| ") and found:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if cells[0] != TITLES[0]:
                found[-1].rows[cells[0]] = cells
    return found


def children(pid):
    """All processes below one."""
    found = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            found += [int(child), *children(child)]
    return found


def folders():
    return set(Path(os.environ.get("TMPDIR", "/tmp")).glob("virt2-run-*"))


@contextlib.contextmanager
def running(*options):
    """scripts/run, of which the lines can be read while it runs."""
    with subprocess.Popen([RUN, *options], stdout=subprocess.PIPE, text=True, bufsize=1) as run:
        # Reading its lines has no bound of its own.
        timer = threading.Timer(SOON, run.kill)
        timer.start()
        try:
            yield run
        finally:
            timer.cancel()
            run.kill()


def test_without_domains_it_shows_six_guests_of_its_own():
    before = folders()
    wanted = {"web-1": "web", "web-2": "web", "web-3": "web", "db-1": "db", "db-2": "db", "build": "batch"}
    shown, readers = {}, {}
    with running("--lab", "--interval", "1") as run:
        for line in run.stdout:
            name, *cells = [cell.strip() for cell in line.strip("|\n ").split("|")]
            if name in wanted and cells[0] == wanted[name]:
                readers[name] = cells[1]
                # Guests work once in a bit more than a second: there are intervals without, more on a busy machine.
                seen = {number for number, cell in enumerate(cells) if cell not in ("-", "0 B")}
                shown[name] = shown.get(name, set()) | seen
            if len(shown) == len(wanted) and all(len(seen) == COLUMNS for seen in shown.values()):
                run.send_signal(signal.SIGINT)
                break
        run.stdout.read()
        code = run.wait(SOON)
    missing = {name: {*range(COLUMNS)} - shown.get(name, set()) for name in wanted}
    assert code == 0, f"these columns had no value in time: {missing}"
    assert len({readers[name] for name in ("web-1", "db-1", "build")}) == 3
    assert folders() <= before


def test_it_ends_by_itself():
    before = folders()
    result = subprocess.run([RUN, "--lab", "--interval", "1", "--seconds", "1"], capture_output=True, timeout=SOON)
    assert result.returncode == 0, result.stderr
    assert b"private libvirtd with 6 guests" in result.stdout
    assert folders() <= before


def test_on_a_host_with_domains_it_watches_those_and_touches_nothing(lab, tmp_path):
    # The lab is the host here.
    guests = lab.guests([Guest("mine", tag="t"), Guest(story.STOPPED), *(Guest(name) for name in story.ON_STORAGE)])
    watched = [*(guest.pid for guest in guests), lab.libvirtd_pid]
    log = tmp_path / "log"
    acts = story.steps(story.ACTS, 0.5, float("inf"))
    run = lab.popen([RUN, "--interval", "0.5"], log=log)
    last = wait_for(lambda: next((row for row in rows(log.read_text(), "mine") if "-" not in row), None), SOON)
    over = time.monotonic() + acts[-1].at
    while time.monotonic() < over:
        assert not [pid for pid in watched if state(pid) == "T"]
        time.sleep(0.05)
    run.signal(signal.SIGINT)
    assert run.wait(SOON) == 0
    assert "this host's domains" in log.read_text()
    assert "***" not in log.read_text()
    assert last[1] == "t"
    assert sorted(lab.virsh("list", "--name").split()) == sorted(guest.name for guest in guests)


def test_a_hosts_own_domains_are_not_read_by_a_second_plugin(lab, tmp_path):
    lab.guests([Guest("mine")])
    log = tmp_path / "log"
    assert lab.popen([RUN, "--against", "virt"], log=log).wait(SOON) == 2
    assert "add --lab" in log.read_text()
    assert "Traceback" not in log.read_text()


def state(pid):
    """R, S, D, T and so on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


INTERVAL = 2.0
"""The default, seconds."""
LENGTH = story.steps(story.ACTS, INTERVAL, float("inf"))[-1].at + 2 * INTERVAL
"""Seconds until all acts are over."""
CPU, DISKS = TITLES.index("CPU %"), slice(TITLES.index("disk read/s"), TITLES.index("write/s") + 1)
MEMORY, BLOCKED = TITLES.index("memory"), TITLES.index("blocked for")
NETWORK = slice(TITLES.index("net in/s"), TITLES.index("out/s") + 1)


def test_what_goes_wrong_is_announced_and_the_others_go_on():
    before = folders()
    argv = [RUN, "--lab", "--plain", "--seconds", f"{LENGTH:g}"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=SOON)
    assert result.returncode == 0, result.stderr
    assert folders() <= before
    said = re.findall(r"^\*\*\* [\d:]+ (Act \d of 3(?: is over)?): (.*)$", result.stdout, re.MULTILINE)
    assert said == [
        pair
        for number, act in enumerate(story.ACTS, 1)
        for pair in ((f"Act {number} of 3", act.begins), (f"Act {number} of 3 is over", act.ends))
    ]
    names = {guest.name for guest in GUESTS}
    shown = tables(result.stdout)
    # Rates need two reads, and the reads of a collectd that has just begun are a second apart.
    whole = next(number for number, table in enumerate(shown) if not gaps(table) and table.rows.keys() == names)
    assert shown[whole].act == 0
    stuck = {1: story.STOPPED, 2: story.ASKED}
    was = 0
    for table in shown[whole:]:
        assert table.rows.keys() == names
        # Behind an act its guest is back within a read or two.
        excused = {stuck[table.act]} if table.act in stuck else {*stuck.values()} if table.act == -1 else set()
        assert marked(table) <= excused, table
        # libvirtd's answers of everybody are lost in the third act, and come back behind it.
        assert table.act == 3 or was == 3 or gaps(table) <= excused, table
        was = table.act if table.act != -1 else was
        for cells in table.rows.values():
            assert "-" not in (cells[CPU], *cells[NETWORK])
    for number, name in stuck.items():
        last = [table for table in shown if table.act == number][-1]
        assert marked(last) == gaps(last) == {name}
        assert last.rows[name][DISKS] == ["-", "-"]
    # Nobody asked about the other one, which waits for the storage only with what it reads itself.
    (waiting,) = {*story.ON_STORAGE} - {story.ASKED}
    hung = [table for table in shown if table.act == 2][-1]
    assert hung.rows[waiting][DISKS] == ["0 B", "0 B"]
    away = [table for table in shown if table.act == 3][-1]
    assert all(cells[MEMORY] == "-" and cells[DISKS] == ["-", "-"] for cells in away.rows.values())
    assert gaps(shown[-1]) == marked(shown[-1]) == set()


def gaps(table):
    """The domains of which something is not there."""
    return {name for name, cells in table.rows.items() if "-" in cells}


def marked(table):
    """The domains that are marked as stuck."""
    return {name for name, cells in table.rows.items() if cells[BLOCKED].startswith("!")}


def test_beside_it_the_c_plugin_goes_blind_and_comes_back():
    length = story.steps(story.ACTS, INTERVAL, float("inf"))[1].at + 3 * INTERVAL
    argv = [RUN, "--lab", "--against", "virt", "--seconds", f"{length:g}"]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=SOON)
    assert result.returncode == 0, result.stderr
    shown = tables(result.stdout)
    names = {guest.name for guest in GUESTS}
    last = [table for table in shown if table.act == 1][-1]
    assert last.rows.keys() == names
    for cells in last.rows.values():
        age, lost, rival_age, rival_lost = cells[len(TITLES) :]
        assert not age.startswith("!"), cells
        assert lost == "0"
        assert rival_age.startswith("!"), cells
        assert int(rival_lost) >= story.LENGTH - 4
    for cells in shown[-1].rows.values():
        assert not cells[-2].startswith("!")
        assert int(cells[-1]) >= story.LENGTH - 4


def test_it_ends_in_silence_when_nobody_reads_its_output_any_more():
    before = folders()
    argv = [RUN, "--lab", "--interval", "0.5"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1) as run:
        timer = threading.Timer(SOON, run.kill)
        timer.start()
        try:
            next(line for line in run.stdout if "Act 1 of 3:" in line)
            run.stdout.close()
            assert "Traceback" not in run.stderr.read()
        finally:
            timer.cancel()
            run.kill()
    assert run.returncode == 1
    assert folders() <= before


def test_in_a_terminal_one_table_is_drawn_in_place_and_the_terminal_is_restored(tmp_path):
    before = folders()
    terminal = Terminal(tmp_path, 110, 30)
    try:
        terminal.note_modes()
        terminal.command(f"{RUN} --lab --interval 1; echo left $?")
        lines = terminal.expect("Act 1 of 3:", within=SOON)
        assert terminal.ask("#{alternate_on} #{cursor_flag}") == "1 0"
        assert "6 domains" in lines[0]
        lines = terminal.expect("6 domains, 1 stuck")
        for _ in range(2):
            clock = lines[0].split()[1]
            lines = terminal.expect(clock, there=False)
            assert sum("CPU %" in line for line in lines) == 1
            assert [line.split()[0] for line in lines[3:9]] == sorted(guest.name for guest in GUESTS)
        terminal.resize(60, 16)
        lines = terminal.expect("and 1 more")
        assert "6 domains" in lines[0]
        assert not any("net in/s" in line for line in lines)
        terminal.resize(110, 30)
        terminal.expect("net in/s")
        child = terminal.process
        terminal.type("C-c")
        terminal.expect("left 0")
        terminal.check_restored()
        assert not Path(f"/proc/{child}").exists()
        # What was seen last is still there.
        assert any(line.split()[:1] == ["web-1"] for line in terminal.lines)
    finally:
        terminal.close()
    assert folders() <= before


@pytest.mark.parametrize("about", [act.about for act in story.ACTS])
def test_what_has_gone_wrong_is_well_when_the_stage_ends(lab, about):
    with Stage(lab) as stage:
        stage.begin(about)
        wait_for(lambda: is_wrong(lab, about), SOON)
    wait_for(lambda: not is_wrong(lab, about), SOON)
    assert sorted(lab.virsh("list", "--name").split()) == sorted(guest.name for guest in GUESTS)


def is_wrong(lab: Lab, about: str) -> bool:
    if about == story.LIBVIRTD:
        return state(lab.libvirtd_pid) == "T"
    if about == story.GUEST:
        return any(state(pid) == "T" for pid in lab.pids().values())
    listed = lab.virsh("domcontrol", story.ASKED)
    return "occupied" in listed


@pytest.mark.parametrize(
    ("number", "act"),
    [
        (signal.SIGINT, 0),
        (signal.SIGINT, 1),
        (signal.SIGINT, 2),
        (signal.SIGINT, 3),
        (signal.SIGTERM, 2),
        (signal.SIGKILL, 2),
    ],
)
def test_a_signal_ends_it_and_everything_below_it(number, act):
    before = folders()
    with subprocess.Popen([RUN, "--lab", "--interval", "0.5"], stdout=subprocess.PIPE, text=True, bufsize=1) as run:
        try:
            for line in run.stdout:
                if line.startswith("| web-1") if act == 0 else f"Act {act} of 3:" in line:
                    break
            below = children(run.pid)
            # unshare and the first process, libvirtd and collectd, the storage, the guests
            assert len(below) >= 2 + 2 + 1 + 6
            os.kill(run.pid, number)
            run.stdout.read()
        finally:
            run.kill()
    assert run.returncode == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    wait_for(lambda: not any(Path("/proc", str(pid)).exists() for pid in below), SOON)
    cgroups.sweep()
    assert number == signal.SIGKILL or folders() <= before
