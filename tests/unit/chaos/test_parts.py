"""What is read off the kernel, the QEMUs, the log; and what is told of a run."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.chaos import population as population_module
from tests.chaos import report
from tests.chaos import witness as witness_module
from tests.chaos.expectations import expect
from tests.chaos.invariants import examine
from tests.chaos.journal import Journal
from tests.chaos.model import FOREVER, Action, Line
from tests.chaos.performance import Performance, lines
from tests.chaos.population import Population
from tests.chaos.qmp import Ended, Monitor, counters, target_of
from tests.chaos.regular import Regular
from tests.chaos.schedule import LIBVIRTD, make
from tests.chaos.watch import usage_of
from tests.chaos.witness import Witness, counters_of_nics, cpu_time
from tests.lab import wait_for
from tests.unit.chaos.stories import BEGAN, deed, drop, life, readings, story


@pytest.mark.parametrize(
    ("device", "target"),
    [
        ("ide0-0-0", "vda"),
        ("/machine/peripheral/ide0-0-1", "vdb"),
        ("ide0-1-1", "vdd"),
        ("/machine/peripheral/virtio-disk2/virtio-backend", "vdc"),
        ("", ""),
        ("/machine/unattached/device[3]", ""),
    ],
)
def test_a_disk_is_known_by_qemus_name_of_it(device, target):
    assert target_of(device) == target


STATS = {"rd_bytes": 1, "wr_bytes": 2, "rd_operations": 3, "wr_operations": 4, "flush_operations": 5}


def test_the_counters_of_a_reply_are_bytes_and_requests():
    assert counters([{"qdev": "ide0-0-0", "stats": STATS}, {"stats": STATS}]) == {"vda": (1, 2, 3, 4)}


@pytest.fixture
def qemu(tmp_path):
    """The other end of a monitor."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        monitor = Monitor(tmp_path / "qmp")
        end, _ = listener.accept()
        with end:
            yield monitor, end
        monitor.close()


def say(end, *messages):
    end.sendall(b"".join(json.dumps(message).encode() + b"\r\n" for message in messages))


def test_a_monitor_asks_once_and_tells_when_it_was_asked_and_answered(qemu):
    monitor, end = qemu
    monitor.ask(1)
    assert monitor.receive(1) is None
    say(end, {"QMP": {}})
    assert monitor.receive(2) is None
    assert json.loads(end.recv(100)) == {"execute": "qmp_capabilities"}
    say(end, {"return": {}})
    assert monitor.receive(3) is None
    monitor.ask(4)
    monitor.ask(5)
    assert json.loads(end.recv(100)) == {"execute": "query-blockstats"}
    assert monitor.asked == 4
    # An event, and an answer in two parts.
    reply = json.dumps({"return": [{"qdev": "ide0-0-0", "stats": STATS}]}).encode() + b"\n"
    end.sendall(b'{"event": "STOP"}\n' + reply[:20])
    assert monitor.receive(6) is None
    end.sendall(reply[20:])
    assert monitor.receive(7) == (4, 7, {"vda": (1, 2, 3, 4)})
    assert monitor.asked is None


def test_a_qemu_that_ends_is_noticed(qemu):
    monitor, end = qemu
    end.close()
    with pytest.raises(Ended):
        monitor.receive(1)


def test_the_cpu_time_of_a_process_is_what_the_kernel_counts():
    stat = os.open(f"/proc/{os.getpid()}/stat", os.O_RDONLY)
    try:
        before = os.times()
        found = cpu_time(stat)
        after = os.times()
    finally:
        os.close(stat)
    assert (before.user + before.system - 0.021) * 1e9 <= found <= (after.user + after.system + 0.021) * 1e9


def test_a_process_whose_main_thread_has_ended_lives_on_while_another_one_does():
    code = (
        "import ctypes, threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        try:
            stat = os.open(f"/proc/{process.pid}/stat", os.O_RDONLY)
            wait_for(lambda: b") Z " in os.pread(stat, 1024, 0), 10, "its main thread has ended")
            assert cpu_time(stat) is not None
        finally:
            process.kill()
        wait_for(lambda: cpu_time(stat) is None, 10, "all of it has ended")
        os.close(stat)


def test_the_cpu_time_of_a_process_that_has_ended_is_none():
    process = subprocess.Popen(["true"])
    stat = os.open(f"/proc/{process.pid}/stat", os.O_RDONLY)
    try:
        wait_for(lambda: cpu_time(stat) is None, 10, "it is a zombie")
        assert usage_of(process.pid, 1.0) is None
        process.wait()
        assert cpu_time(stat) is None
        assert usage_of(process.pid, 1.0) is None
    finally:
        os.close(stat)


def test_what_the_host_sends_to_an_interface_is_what_its_guest_receives():
    text = (
        "Inter-|   Receive                            |  Transmit\n"
        " face |bytes    packets errs drop and so on  |bytes    packets errs drop and so on\n"
        "  lab3:     600 10 1 2 0 0 0 0     1200 20 3 4 0 0 0 0\n"
    )
    assert counters_of_nics(text) == {"lab3": (1200, 20, 3, 4, 600, 10, 1, 2)}


def test_what_a_process_holds_is_what_the_kernel_says():
    usage = usage_of(os.getpid(), 5.0)
    assert (usage.time, usage.pid) == (5.0, os.getpid())
    assert usage.descriptors > 2
    # Also those that Python does not know of.
    assert threading.active_count() <= usage.threads < threading.active_count() + 10
    assert 1000 < usage.memory < 1 << 22


def test_a_regular_look_goes_on_until_the_end_and_notes_when_it_was_late():
    looks = []
    many = threading.Event()

    def look():
        looks.append(time.monotonic())
        if len(looks) == 2:
            time.sleep(0.6)
        if len(looks) == 5:
            many.set()

    with Regular(look, 0.01, "looks") as regular:
        assert many.wait(10)
    regular.check()
    ((begin, end),) = regular.stalls
    assert 0.5 < end - begin < 5


def test_a_look_that_fails_is_told():
    def fail():
        raise ValueError("no")

    with Regular(fail, 0.01, "looks") as regular:
        wait_for(lambda: regular._failure, 10)
    with pytest.raises(RuntimeError, match="looks ended"):
        regular.check()


def test_the_journal_has_what_was_done_and_who_called_meanwhile():
    times = iter(range(10))
    journal = Journal(lambda: next(times))
    journal.begin("kill_libvirtd")
    with journal.visit():
        assert journal.visits() == [(1, FOREVER)]
        journal.begin("stop_guests", ("one",))
    assert journal.visits() == [(1, 3)]
    assert [(deed.kind, deed.began, deed.ended) for deed in journal.deeds()] == [
        ("kill_libvirtd", 0, FOREVER),
        ("stop_guests", 2, FOREVER),
    ]


def test_lines_of_the_log_have_their_times_and_what_has_none_belongs_to_the_line_before():
    found = lines("[2026-11-27 19:00:01] [info] virt2: one\nTraceback\n[2026-11-27 19:00:03] [info] two\n")
    assert [line.text for line in found] == ["[info] virt2: one\nTraceback", "[info] two"]
    assert found[1].time - found[0].time == 2


GUESTS = {"one": "alpha", "two": "alpha", "three": "beta", "four": "", "five": ""}


def test_a_violation_is_told_with_what_happened_around_it():
    found = story(
        deeds=[deed("stop_guests", 55, 65, "two"), deed("kill_libvirtd", 100, 101)],
        log=[Line(BEGAN + 58, "[info] virt2: a line"), Line(BEGAN + 90, "[info] virt2: another line")],
    )
    drop(found, "one", 60, 62, "disk")
    drop(found, "two", 55, 65, "disk")
    findings = examine(found, expect(found), readings)
    text = report.violations_text(found, [v for v in findings.violations if v.subject == "one"])
    assert "2 of the rule gap" in text
    assert "one: disk_octets-vda has a gap of 4.00 s" in text
    assert "stop_guests two: began 55.00 s" in text
    assert "a line" in text
    assert "another line" not in text
    assert "kill_libvirtd" not in text
    assert " 56.50=156/156 58.50=158/158 62.50=162/162" in text


def test_the_summary_names_the_seed_and_counts():
    schedule = make(7, 2, GUESTS)
    found = story(deeds=[deed("stop_guests", 55, 65, "two")])
    drop(found, "one", 60, 62, "disk")
    findings = examine(found, expect(found), readings)
    text = report.summary(schedule, found, findings)
    assert "seed 7" in text
    assert "stop_guests 1" in text
    assert f"{findings.points} points" in text
    assert report.row(schedule, found, findings).startswith("| 7 | ")
    assert report.schedule_text(schedule).startswith("seed 7, 2 minutes")
    assert report.full_text(schedule, found, findings).count("seed 7") == 2
    assert "gap: one: " in report.full_text(schedule, found, findings)


def test_lives_of_the_same_uuid_are_watched_one_by_one(tmp_path):
    witness = Witness(Path("/proc/net/dev"))
    lives = [life("one", BEGAN, uuid="same"), life("one", BEGAN + 50, uuid="same")]

    def seen(number):
        return len(witness.readings(lives[number], "virt_cpu_total"))

    with socket.socket(socket.AF_UNIX) as listener, witness.watching():
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        processes = []
        for number, one in enumerate(lives):
            processes.append(subprocess.Popen(["sleep", "600"]))
            witness.add(one, processes[-1].pid, tmp_path / "qmp")
            wait_for(lambda number=number: seen(number), 10)
        for process, one in zip(processes, lives):
            process.kill()
            process.wait()
            wait_for(lambda one=one: one.ended < FOREVER, 10)
    witness.check()
    assert lives[0].ended < lives[1].ended


def test_a_process_that_ends_during_a_look_was_there_until_then(tmp_path, monkeypatch):
    witness = Witness(Path("/proc/net/dev"))
    one = life("one", BEGAN)
    gone = []

    def look(_stat):
        process.kill()
        process.wait()
        gone.append(time.time())

    monkeypatch.setattr(witness_module, "cpu_time", look)
    with socket.socket(socket.AF_UNIX) as listener, subprocess.Popen(["sleep", "600"]) as process:
        listener.bind(str(tmp_path / "qmp"))
        listener.listen()
        witness.add(one, process.pid, tmp_path / "qmp")
        witness._look()
    assert one.leaving <= gone[0] <= one.ended < FOREVER


class Answers:
    """Clients to which libvirtd gives these answers, one after the other."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def run(self, *words):
        self.asked.append(words)
        return self.answers.pop(0)


def test_a_start_whose_answer_was_lost_is_undone(tmp_path, monkeypatch):
    first, second = "d0dd811c-043a-4e9d-98c1-75aa20f0be9d", "d0dd811c-043a-4e9d-98c1-75aa20f0be9e"
    lost, gone = "error: End of file while reading data: Input/output error", "error: failed to get domain 'one'"
    there = f"error: operation failed: domain 'one' already exists with uuid {first}"
    answers = Answers(lost, gone, there, gone, "", "")
    uuids = iter([first, second, second])
    monkeypatch.setattr(population_module.uuids, "uuid4", lambda: next(uuids))
    lab = SimpleNamespace(work_dir=tmp_path, images=lambda storage: tmp_path)
    population = Population(lab, {}, answers, Journal(), None)
    monkeypatch.setattr(population_module, "AGAIN", 0.01)
    monkeypatch.setattr(population_module, "domain_xml", lambda *_: "")
    pids = iter([None, None, 1])

    def pid(_guest):
        found = next(pids)
        if found is None:
            raise ProcessLookupError
        return found

    monkeypatch.setattr(population_module.RunningGuest, "pid", property(pid))
    population._witness = SimpleNamespace(add=lambda *_: None)
    population._folder.mkdir(exist_ok=True)
    population._start("one", "")
    asked = [words[:2] if words[0] == "destroy" else words[:1] for words in answers.asked]
    undone = [("create",), ("destroy", first), ("create",), ("destroy", second), ("destroy", first)]
    assert asked == [*undone, ("create",)]
    assert [life.ended < FOREVER for life in population.lives()] == [True, True, False]
    assert [life.name for life in population.living(["one"])] == ["one"]


def test_a_guest_that_is_to_end_and_that_libvirtd_has_forgotten_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(population_module, "AGAIN", 0.01)
    monkeypatch.setattr(population_module, "PATIENCE", 5.0)
    process = subprocess.Popen(["sleep", "600"])
    one = life("one", pid=process.pid)

    class Forgetful:
        def run(self, *words):
            one.ended = FOREVER if process.poll() is None else BEGAN
            return f"error: failed to get domain '{words[1]}'"

    try:
        Population(SimpleNamespace(work_dir=tmp_path), {}, Forgetful(), Journal(), None).end(one)
        assert process.wait(10) == -signal.SIGKILL
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("one", "other", "waits"),
    [
        (Action(0, 1, "hang_storage", ("alpha",)), Action(0, 1, "hot_plug", ("alpha", "alpha-1")), True),
        (Action(0, 0, "restart_libvirtd"), Action(0, 9, "limit_workers", detail="10"), True),
        (Action(0, 1, "hang_storage", ("alpha",)), Action(0, 1, "hang_storage", ("beta",)), False),
        (Action(0, 1, "kill_libvirtd"), Action(0, 1, "stop_guests", ("alpha-1",)), False),
    ],
)
def test_what_is_done_waits_until_what_was_done_to_the_same_is_undone(one, other, waits):
    performance = object.__new__(Performance)
    performance._locks = {name: threading.Lock() for name in ("alpha", "beta", LIBVIRTD)}
    entered = threading.Event()

    def do():
        with performance._alone(other):
            entered.set()

    with performance._alone(one):
        thread = threading.Thread(target=do, daemon=True)
        thread.start()
        assert entered.wait(0.2 if waits else 10) is not waits
    assert entered.wait(10)
    thread.join(10)
    assert not any(lock.locked() for lock in performance._locks.values())
