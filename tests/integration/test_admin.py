"""The admin interface of a real libvirtd, and /proc of real QEMUs."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.lab import Guest, Lab, wait_for
from virt2.errors import AdminUnavailable
from virt2.model.limits import Limits
from virt2.sources import admin, daemon, procfs
from virt2.sources.admin_poller import AdminPoller

SOON = 10.0
"""Seconds for what takes milliseconds."""

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = "/run/library"
"""In the lab, where anybody may read: the checkout may lie in a folder that only root can enter, such as /root."""
NOBODY = [
    *("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"),
    *("env", "--chdir=/", f"PYTHONPATH={LIBRARY}", "/usr/bin/python3"),
]
"""The system's Python as another user; see `readable`."""
ADMIN_SOCKET = "/run/libvirt/libvirt-admin-sock"

HOSTILE = ["driver", "..", "-uuid", "a,b=c,,", "new\nline", "tab\there", "<a&b>'\"", "ü✓)\n T 1 (", "n" * 240]


@pytest.fixture
def poller(lab: Lab) -> Iterator[AdminPoller]:
    """A poller of the lab's libvirtd, which is woken at the end: a hung attempt must return then."""
    poller = AdminPoller(lambda: admin.read_limits(lab.uri), max_age=1.0)
    yield poller
    if lab.libvirtd.poll() is None:
        lab.kill_libvirtd(signal.SIGCONT)
    poller.stop()
    for thread in threading.enumerate():
        if thread.name == "virt2/admin":
            thread.join(SOON)
            assert not thread.is_alive()


@pytest.fixture
def readable(lab: Lab) -> None:
    """Put virt2 where another user can import it."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "virt2", lab.inside(LIBRARY) / "virt2", ignore=ignore)


def processes(lab: Lab) -> procfs.Processes:
    """The lab's QEMUs by the pids its own processes see."""
    return procfs.Processes(str(lab.inside("/run/libvirt/qemu")), str(lab.inside("/proc")))


def identify(lab: Lab) -> daemon.Daemon | None:
    there = daemon.place("qemu:///system", run_dir=str(lab.inside("/run")))
    return daemon.identify(there, str(lab.inside("/proc")))


def told_by_virt_admin(lab: Lab) -> Limits:
    """The limits as libvirt's own tool prints them."""
    text = lab.virt_admin("srv-threadpool-info", "libvirtd") + lab.virt_admin("srv-clients-info", "libvirtd")
    told = {name: int(number) for name, number in re.findall(r"(\w+)\s*: (\d+)", text)}
    return Limits(
        told["minWorkers"],
        told["maxWorkers"],
        told["nWorkers"],
        told["freeWorkers"],
        told["prioWorkers"],
        told["jobQueueDepth"],
        told["nclients_max"],
        told["nclients"],
    )


def assert_told(read: Callable[[], Limits | None], lab: Lab) -> None:
    """What is read is what libvirt's own tool prints, where libvirtd rests: who has answered is not free yet."""
    wait_for(lambda: read() == told_by_virt_admin(lab), SOON, "virt-admin prints the same")


def polled(poller: AdminPoller) -> Limits | None:
    poller.poke()
    assert poller.wait(SOON)
    return poller.limits()


def test_the_limits_are_those_virt_admin_prints(lab: Lab) -> None:
    connections = [lab.connect() for _ in range(3)]
    try:
        assert_told(lambda: admin.read_limits(lab.uri), lab)
        assert admin.read_limits(lab.uri).clients == 3
    finally:
        for connection in connections:
            connection.close()


def test_the_limits_follow_what_is_set(lab: Lab) -> None:
    assert admin.read_limits(lab.uri).max_workers == 20
    lab.virt_admin("srv-threadpool-set", "libvirtd", "--min-workers", "2", "--max-workers", "6")
    lab.virt_admin("srv-threadpool-set", "libvirtd", "--priority-workers", "3")
    limits = admin.read_limits(lab.uri)
    assert (limits.min_workers, limits.max_workers, limits.priority_workers) == (2, 6, 3)
    assert_told(lambda: admin.read_limits(lab.uri), lab)


def test_each_call_into_a_stopped_qemu_is_one_worker_less(lab: Lab) -> None:
    guest = lab.guest(Guest("web"))
    assert admin.read_limits(lab.uri).available == 20
    guest.freeze()
    try:
        for held in range(1, 4):
            lab.popen(["virsh", "qemu-monitor-command", "web", '{"execute":"query-status"}'])
            wait_for(lambda: admin.read_limits(lab.uri).available == 20 - held, SOON, f"{held} held")  # noqa: B023
    finally:
        guest.thaw()
    wait_for(lambda: admin.read_limits(lab.uri).available == 20, SOON, "all workers given back")


def test_the_module_prints_them_from_inside_where_no_uri_is_needed(lab: Lab) -> None:
    assert re.search(r"^max_workers +20$", lab.run([sys.executable, "-m", "virt2.sources.admin"]), re.MULTILINE)


@pytest.mark.usefixtures("readable")
def test_another_user_is_refused_in_words(lab: Lab) -> None:
    output = lab.run([*NOBODY, "-m", "virt2.sources.admin", "qemu:///system"], check=False)
    assert output == f"{ADMIN_SOCKET}: Permission denied\n"


@pytest.mark.usefixtures("readable")
def test_a_user_libvirtd_does_not_serve_is_refused_even_if_the_socket_lets_him_in(lab: Lab) -> None:
    lab.inside(ADMIN_SOCKET).chmod(0o777)
    output = lab.run([*NOBODY, "-m", "virt2.sources.admin", "qemu:///system"], check=False)
    assert output == f"{ADMIN_SOCKET}: the daemon closed the connection\n"


def test_an_unknown_server_and_every_candidate_are_named(lab: Lab) -> None:
    """A daemon's stale socket does not end the search, and what each candidate said is told."""
    folder = lab.inside("/run/libvirt")
    (folder / "virtqemud-admin-sock").symlink_to("libvirt-admin-sock")
    lab.kill_libvirtd()
    with pytest.raises(AdminUnavailable) as caught:
        admin.read_limits(f"qemu:///system?socket={folder}/any")
    assert caught.value.reason.count("Connection refused") == 2
    lab.start_libvirtd()
    with pytest.raises(AdminUnavailable, match="No server named 'virtqemud'"):
        admin.read_limits(f"virtqemud:///system?socket={folder}/libvirt-admin-sock")


def test_a_socket_moved_away_is_told_and_found_again(lab: Lab, poller: AdminPoller) -> None:
    socket = lab.inside(ADMIN_SOCKET)
    socket.rename(socket.with_name("away"))
    poller.poke()
    assert poller.wait(SOON)
    assert poller.limits() is None
    assert poller.reason == f"there is no admin socket of libvirtd in {socket.parent}"
    socket.with_name("away").rename(socket)
    # Else it would be asked a second later.
    poller.forgive()
    poller.poke()
    assert poller.wait(SOON)
    assert_told(lambda: polled(poller), lab)


def test_a_frozen_libvirtd_is_unknown_until_it_wakes(lab: Lab, poller: AdminPoller) -> None:
    poller.poke()
    assert poller.wait(SOON)
    assert_told(lambda: polled(poller), lab)
    lab.kill_libvirtd(signal.SIGSTOP)
    poller.poke()
    wait_for(lambda: poller.limits() is None and poller.reason.startswith("it has not answered for"), SOON, "unknown")
    poller.poke()
    assert not poller.wait(0.2)
    lab.kill_libvirtd(signal.SIGCONT)
    assert poller.wait(SOON)
    assert_told(lambda: polled(poller), lab)


def test_a_libvirtd_killed_while_an_attempt_hangs_ends_the_attempt(lab: Lab, poller: AdminPoller) -> None:
    lab.kill_libvirtd(signal.SIGSTOP)
    poller.poke()
    assert not poller.wait(0.2)
    lab.kill_libvirtd(signal.SIGKILL)
    assert poller.wait(SOON)
    assert poller.limits() is None
    assert poller.reason.startswith(str(lab.inside(ADMIN_SOCKET)))
    lab.start_libvirtd()
    poller.forgive()
    poller.poke()
    assert poller.wait(SOON)
    assert_told(lambda: polled(poller), lab)


LEAKS = """
import gc, os, sys
from virt2.sources import admin

def attempt(uri):
    try:
        admin.read_limits(uri)
    except admin.AdminUnavailable as error:
        return error.reason
    return ""

def held():
    gc.collect()
    return len(os.listdir("/proc/self/fd")), sys.getallocatedblocks()

def hold(uri):
    for _ in range(10):
        attempt(uri)
    before = held()
    for _ in range(2000):
        reason = attempt(uri)
    after = held()
    print(after[0] - before[0], after[1] - before[1], reason.rpartition(":")[2].strip() or "answered")

for uri in sys.argv[1:]:
    hold(uri)
"""
"""Prints, for each URI, file descriptors and blocks of memory left by 2000 attempts, and how the last one ended."""


def test_two_thousand_attempts_leave_nothing_behind(lab: Lab) -> None:
    """In a process of its own: nobody else's memory counts."""
    uris = [
        lab.uri,
        f"virtqemud:///system?socket={lab.inside(ADMIN_SOCKET)}",
        f"libvirtd:///system?socket={lab.inside('/run/none')}",
    ]
    command = [sys.executable, "-c", LEAKS, *uris]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    assert [line[2] for line in lines] == ["answered", "No server named 'virtqemud'", "No such file or directory"]
    assert [line[0] for line in lines] == ["0", "0", "0"]
    assert all(int(line[1]) < 100 for line in lines), "one block by each would be 2000"


def test_one_session_asks_again_and_again_and_outlives_libvirtd(lab: Lab) -> None:
    with contextlib.closing(admin.Session(lab.uri)) as session:
        assert_told(session.limits, lab)
        lab.virt_admin("srv-threadpool-set", "libvirtd", "--max-workers", "30")
        assert session.limits().max_workers == 30
        lab.kill_libvirtd()
        with pytest.raises(AdminUnavailable, match="Connection refused"):
            session.limits()
        lab.start_libvirtd()
        assert session.limits().max_workers == 20
        lab.restart_libvirtd()
        assert_told(session.limits, lab)


def test_asking_leaves_no_trace_in_the_log_of_libvirtd(lab: Lab) -> None:
    log = lab.work_dir / "libvirtd.log"
    before = log.read_bytes()
    for _ in range(20):
        admin.read_limits(lab.uri)
    session = admin.Session(lab.uri)
    for _ in range(20):
        session.limits()
    session.close()
    lab.restart_libvirtd()
    assert b"reading data" not in log.read_bytes()[len(before) :]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_stopped_qemu_is_seen_whatever_its_name(name: str, module_lab: Lab) -> None:
    lab = module_lab
    guest = lab.guest(Guest(name, disks=1, nics=0))
    looks = processes(lab)
    proc, run_dir = str(lab.inside("/proc")), str(lab.inside("/run/libvirt/qemu"))
    pid = looks.pid(guest.uuid, name)
    assert pid is not None
    try:
        assert procfs.guests(run_dir, proc) == [procfs.Guest(name, guest.uuid, pid)]
        assert (looks.stopped(guest.uuid, name), looks.problem()) == ("", "")
        os.kill(lab.outer_pid(pid), signal.SIGSTOP)
        wait_for(lambda: looks.stopped(guest.uuid, name) == "T", SOON, "seen as stopped")
        assert processes(lab).stopped(guest.uuid, name) == "T"
        os.kill(lab.outer_pid(pid), signal.SIGCONT)
        wait_for(lambda: looks.stopped(guest.uuid, name) == "", SOON, "seen as going on")
    finally:
        os.kill(lab.outer_pid(pid), signal.SIGCONT)
        guest.stop()
    assert looks.pid(guest.uuid, name) is None
    assert procfs.guests(run_dir, proc) == []


def test_a_paused_guest_is_not_a_stopped_qemu(lab: Lab) -> None:
    guest = lab.guest(Guest("web", paused=True))
    assert processes(lab).pid(guest.uuid, "web") is not None
    assert processes(lab).stopped(guest.uuid, "web") == ""


def test_a_domain_started_anew_is_found_at_once(lab: Lab) -> None:
    spec = Guest("web")
    looks = processes(lab)
    before = (lab.guest(spec), looks.pid(spec.uuid, "web"))
    before[0].stop()
    lab.guest(spec)
    assert looks.pid(spec.uuid, "web") not in (before[1], None)


def test_the_daemon_is_identified_and_a_restarted_one_is_another(lab: Lab) -> None:
    before = identify(lab)
    assert before is not None
    assert (before.name, lab.outer_pid(before.pid)) == ("libvirtd", lab.libvirtd_pid)
    assert identify(lab) == before
    lab.kill_libvirtd()
    assert identify(lab) is None
    lab.start_libvirtd()
    assert identify(lab) not in (before, None)


OTHER_USER = """
import sys
from virt2.sources import daemon, procfs
looks = procfs.Processes(daemon.place("qemu:///system").qemu_run_dir)
print(repr(looks.stopped(sys.argv[1], "web")), looks.pid(sys.argv[1], "web") is not None, looks.problem())
"""


@pytest.mark.usefixtures("readable")
def test_another_user_sees_as_much_as_proc_shows(lab: Lab) -> None:
    guest = lab.guest(Guest("web"))
    guest.freeze()
    try:
        command = [*NOBODY, "-c", OTHER_USER, guest.uuid]
        assert lab.run(command) == "'T' True \n"
        lab.run(["mount", "-o", "remount,hidepid=2", "/proc"])
        assert lab.run(command) == "'' False /proc hides the processes of other users\n"
    finally:
        guest.thaw()
