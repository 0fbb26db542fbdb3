"""Where to ask for libvirtd's limits, and asking without ever waiting for a frozen one."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from virt2 import admin
from virt2.admin import AdminPoller, AdminUnavailable, Limits, Server

BOUND = 10.0
"""Seconds after which a test that waits for the poller's thread gives up; it never takes that long."""

LIMITS = Limits(5, 20, 7, 4, 5, 0)


class Clock:
    """Monotonic seconds that move when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Read:
    """A read that can be held, and then answers or raises what the test has put there."""

    def __init__(self) -> None:
        self.answer: Limits | Exception = LIMITS
        self.calls = 0
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()

    def __call__(self) -> Limits:
        self.calls += 1
        self.entered.release()
        assert self.released.wait(BOUND)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def read() -> Read:
    return Read()


@pytest.fixture
def poller(read: Read, clock: Clock) -> Iterator[AdminPoller]:
    """A poller whose thread is gone when the test is over."""
    before = set(threading.enumerate())
    poller = AdminPoller(read, max_age=30.0, clock=clock)
    yield poller
    poller.stop()
    read.released.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(BOUND)
        assert not thread.is_alive()


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "virt2/admin"]


def sockets(folder: Path, *names: str) -> str:
    """A folder in which daemons left these admin sockets; what matters is that they are there."""
    for name in names:
        (folder / name).touch()
    return str(folder)


def test_available_counts_workers_not_started_yet_as_free() -> None:
    assert Limits(5, 20, 5, 5, 5, 0).available == 20
    assert Limits(5, 20, 7, 4, 5, 0).available == 17
    assert Limits(5, 20, 20, 0, 5, 9).available == 0


def test_available_is_negative_after_libvirtd_was_told_to_shrink_below_what_is_busy() -> None:
    assert Limits(1, 4, 8, 0, 5, 0).available == -4


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        pytest.param(["libvirt-admin-sock"], ["libvirtd"], id="monolithic"),
        pytest.param(["virtqemud-admin-sock"], ["virtqemud"], id="split"),
        pytest.param(["libvirt-admin-sock", "virtqemud-admin-sock"], ["libvirtd", "virtqemud"], id="both"),
    ],
)
@pytest.mark.parametrize("uri", ["qemu:///system", "qemu+unix:///system"])
def test_the_admin_socket_that_exists_tells_which_daemon_runs(
    uri: str, found: list[str], expected: list[str], tmp_path: Path
) -> None:
    servers = admin.admin_uri(uri, run_dir=sockets(tmp_path, *found))
    assert [server.name for server in servers] == expected
    assert [server.uri.partition("?")[0] for server in servers] == [f"{name}:///system" for name in expected]


def test_the_usual_folder_is_left_to_libvirt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(admin, "SYSTEM_RUN_DIR", sockets(tmp_path, "libvirt-admin-sock"))
    assert admin.admin_uri("qemu:///system", run_dir=str(tmp_path)) == (Server("libvirtd:///system", "libvirtd"),)


@pytest.mark.parametrize(("driver", "daemon"), sorted(admin.DAEMONS.items()))
def test_each_driver_has_its_own_split_daemon(driver: str, daemon: str, tmp_path: Path) -> None:
    run_dir = sockets(tmp_path, *(f"{name}-admin-sock" for name in admin.DAEMONS.values()))
    assert [server.name for server in admin.admin_uri(f"{driver}:///system", run_dir)] == [daemon]


def test_the_admin_socket_is_next_to_the_socket_of_the_connection(tmp_path: Path) -> None:
    folder = tmp_path / "a b+c&d"
    folder.mkdir()
    sockets(folder, "libvirt-admin-sock")
    asked = f"qemu+unix:///system?no_verify=1&socket={tmp_path}/a%20b+c%26d/libvirt-sock"
    quoted = f"{tmp_path}/a%20b%2Bc%26d/libvirt-admin-sock"
    assert admin.admin_uri(asked, run_dir="/nowhere") == (Server(f"libvirtd:///system?socket={quoted}", "libvirtd"),)


def test_a_socket_of_the_split_daemon_asks_the_split_daemon_first(tmp_path: Path) -> None:
    sockets(tmp_path, "libvirt-admin-sock", "virtqemud-admin-sock")
    servers = admin.admin_uri(f"qemu:///system?socket={tmp_path}/virtqemud-sock-ro")
    assert [server.name for server in servers] == ["virtqemud", "libvirtd"]


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"XDG_RUNTIME_DIR": "{}", "XDG_CACHE_HOME": "/other"}, "libvirt"),
        ({"XDG_CACHE_HOME": "{}"}, "libvirt"),
    ],
    ids=["runtime", "cache"],
)
def test_the_session_daemon_is_the_users_own(environ: dict[str, str], folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    sockets(tmp_path / folder, "libvirt-admin-sock")
    environ = {key: value.format(tmp_path) for key, value in environ.items()}
    expected = Server(f"libvirtd:///session?socket={tmp_path}/libvirt/libvirt-admin-sock", "libvirtd")
    assert admin.admin_uri("qemu:///session", environ=environ) == (expected,)


@pytest.mark.parametrize("uri", ["libvirtd:///system", "virtqemud:///session?socket=/x"])
def test_an_admin_uri_answers_for_itself(uri: str) -> None:
    assert admin.admin_uri(uri) == (Server(uri, uri.partition(":")[0]),)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("qemu+ssh://root@host/system", "served over the network"),
        ("qemu+tls:///system", "served over the network"),
        ("qemu://host/system", "served over the network"),
        ("test:///default", "not served by a libvirt daemon"),
        ("test+unix:///default", "not served by a libvirt daemon"),
        ("esx:///x", "not served by a libvirt daemon"),
        ("vbox:///session", "not served by a libvirt daemon"),
        ("qemu:///embed?root=/x", "not served by a libvirt daemon"),
        ("qemu://[::1/system", "not a URI"),
        ("qemu:///system?socket=/nowhere/libvirt-sock", "no admin socket of libvirtd or virtqemud in /nowhere"),
    ],
)
def test_a_connection_without_an_admin_interface_says_why(uri: str, words: str) -> None:
    with pytest.raises(AdminUnavailable, match=words) as caught:
        admin.read_limits(uri)
    assert words in caught.value.reason


def test_typed_parameters_are_laid_out_as_in_libvirts_header() -> None:
    assert admin._TypedParameter.type.offset == 80
    assert admin._TypedParameter.value.offset == 88
    assert ctypes.sizeof(admin._TypedParameter) == 96


def test_a_reply_without_what_we_need_is_no_reply() -> None:
    with pytest.raises(AdminUnavailable, match="lacks prioWorkers"):
        admin._limits({"minWorkers": 1, "maxWorkers": 2, "nWorkers": 1, "freeWorkers": 1})


def test_nothing_is_known_and_no_thread_runs_before_the_first_poke(poller: AdminPoller, read: Read) -> None:
    assert (poller.limits(), poller.reason, poller.age) == (None, "no answer yet", None)
    assert (threads(), read.calls) == ([], 0)


def test_a_poke_brings_an_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 12
    assert (poller.limits(), poller.reason, poller.age) == (LIMITS, "", 12.0)
    assert [thread.daemon for thread in threads()] == [True]


def test_an_answer_that_is_too_old_is_no_answer(poller: AdminPoller, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    clock.now += 30
    assert poller.limits() == LIMITS
    clock.now += 0.1
    assert (poller.limits(), poller.reason) == (None, "the last answer is too old")


def test_a_refusal_is_the_reason_once_the_last_answer_is_too_old(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.answer = AdminUnavailable("Permission denied")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")
    clock.now += 31
    assert (poller.limits(), poller.reason) == (None, "Permission denied")
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_an_unexpected_error_is_logged_and_the_thread_goes_on(
    poller: AdminPoller, read: Read, caplog: pytest.LogCaptureFixture
) -> None:
    read.answer = ZeroDivisionError("oops")
    poller.poke()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.reason) == (None, "ZeroDivisionError('oops')")
    assert "ZeroDivisionError: oops" in caplog.text
    read.answer = LIMITS
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_one_attempt_at_a_time_however_often_poked(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    for _ in range(100):
        poller.poke()
    assert not poller.wait(0)
    clock.now += 12
    assert (read.calls, len(threads()), poller.limits(), poller.reason) == (1, 1, None, "no answer for 12 s")


def test_a_hung_attempt_that_returns_is_followed_by_one_more(poller: AdminPoller, read: Read, clock: Clock) -> None:
    """What it brings may be as old as the attempt: pokes made while it hung are answered afresh, all by one."""
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 600
    poller.poke()
    poller.poke()
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age, read.calls) == (LIMITS, 0.0, 2)


def test_an_answer_is_as_old_as_the_attempt_that_brought_it(poller: AdminPoller, read: Read, clock: Clock) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    clock.now += 31
    read.released.set()
    assert poller.wait(BOUND)
    assert (poller.limits(), poller.age) == (None, 31.0)


def test_the_young_answer_stays_while_the_next_attempt_hangs(poller: AdminPoller, read: Read, clock: Clock) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    read.released.clear()
    poller.poke()
    clock.now += 30
    assert (poller.limits(), poller.reason) == (LIMITS, "")


def test_stop_ends_an_idle_thread(poller: AdminPoller) -> None:
    poller.poke()
    assert poller.wait(BOUND)
    (thread,) = threads()
    poller.stop()
    thread.join(BOUND)
    assert not thread.is_alive()


def test_stop_does_not_wait_for_a_hung_attempt_and_its_return_ends_the_thread(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    poller.poke()
    (thread,) = threads()
    poller.stop()
    assert thread.is_alive()
    read.released.set()
    thread.join(BOUND)
    assert (thread.is_alive(), read.calls) == (False, 1)


def test_a_stopped_poller_starts_nothing_and_nobody_waits_for_it(poller: AdminPoller, read: Read) -> None:
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    waited: list[bool] = []
    waiter = threading.Thread(target=lambda: waited.append(poller.wait(BOUND)))
    waiter.start()
    poller.stop()
    waiter.join(BOUND)
    poller.poke()
    assert (waited, read.calls) == ([False], 1)


def test_a_thread_that_cannot_be_started_is_the_reason_and_tried_again(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        poller.poke()
    assert poller.reason == "can't start new thread"
    poller.poke()
    assert poller.wait(BOUND)
    assert poller.limits() == LIMITS


def test_a_poller_stopped_before_the_first_poke_starts_no_thread(
    poller: AdminPoller, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", lambda thread: started.append(thread))
    poller.stop()
    poller.poke()
    assert started == []


def test_repr_shows_what_it_is_doing(poller: AdminPoller, read: Read) -> None:
    assert repr(poller) == "<AdminPoller idle limits=None reason='no answer yet'>"
    read.released.clear()
    poller.poke()
    assert read.entered.acquire(timeout=BOUND)
    assert repr(poller).startswith("<AdminPoller asking ")


def test_main_prints_one_limit_a_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answer: Callable[[str], Limits] = lambda uri: Limits(1, 2, 1, 1, 5, 0)  # noqa: E731
    monkeypatch.setattr(admin, "read_limits", answer)
    assert admin.main([]) == 0
    assert "max_workers      2\n" in capsys.readouterr().out


def test_main_says_why_there_is_nothing_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    assert admin.main(["test:///default"]) == 1
    assert capsys.readouterr() == ("", "test:///default is not served by a libvirt daemon\n")
