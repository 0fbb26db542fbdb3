"""How the file of the status socket is made and removed, with real sockets."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from tests.unit.fake_time import BOUND
from virt2.status import listening
from virt2.status.listening import NoSocket, listen


def patient(seconds: float) -> bool:
    return threading.Event().wait(seconds)


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "virt2.sock")


@pytest.fixture
def made(path):
    listener = listen(path, patient)
    yield listener
    listener.close()


def stale(path: str) -> int:
    """Leave a socket behind at which nobody listens; returns its inode."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
        left.listen()
    return os.stat(path).st_ino


def connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(BOUND)
        try:
            client.connect(path)
        except OSError:
            return False
    return True


def refusal(path: str) -> str:
    before = open_files()
    with pytest.raises(NoSocket) as refused:
        listen(path, patient)
    assert open_files() == before
    text = str(refused.value)
    assert path in text
    assert "set it to none" in text or "StatusSocket" in text
    return text


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@pytest.mark.parametrize("mask", [0, 0o022, 0o077])
def test_nobody_else_may_connect_whatever_the_umask_is(path, mask):
    with umask(mask):
        listener = listen(path, patient)
        assert os.umask(mask) == mask
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert connects(path)
    listener.close()


def test_the_file_has_its_mode_from_the_first_moment_on(path, monkeypatch):
    modes = []
    bind = socket.socket.bind

    def watched(self, address):
        bind(self, address)
        modes.append(stat.S_IMODE(os.stat(address).st_mode))

    monkeypatch.setattr(socket.socket, "bind", watched)
    with umask(0):
        listen(path, patient).close()
    assert modes == [0o600]


def test_a_system_that_cannot_keep_others_out_gets_no_socket(path, monkeypatch):
    monkeypatch.setattr(os, "fchmod", lambda descriptor, mode: None)
    with umask(0):
        assert "cannot be kept from others" in refusal(path)
    assert not os.path.lexists(path)


def test_a_socket_that_nobody_listens_at_is_replaced(path):
    left = stale(path)
    assert not connects(path)
    # Its inode would be given to the next file.
    os.link(path, path + ".kept")
    listener = listen(path, patient)
    assert connects(path)
    assert os.stat(path).st_ino != left
    listener.close()
    assert not os.path.lexists(path)


def test_a_socket_at_which_somebody_listens_is_left_alone_and_told_with_its_process(path, made):
    before = os.stat(path)
    assert f"process {os.getpid()} listens at {path} already" in refusal(path)
    assert os.stat(path) == before
    assert connects(path)


def test_a_socket_whose_listener_takes_nobody_is_left_alone(path):
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as clients:
        busy.bind(path)
        busy.listen(0)
        for _ in range(2):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(path)
        assert f"another process listens at {path} already" in refusal(path)


def test_a_socket_of_another_kind_that_is_in_use_is_left_alone(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(path)
        assert "another process listens" in refusal(path)
    assert os.path.lexists(path)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: path.write_text("precious"), "a file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.symlink_to("/dev/null"), "a symbolic link"),
        (lambda path: path.symlink_to("/nowhere"), "a symbolic link"),
        (lambda path: path.symlink_to(path), "a symbolic link"),
        (lambda path: os.mkfifo(path), "no socket"),
    ],
    ids=["file", "folder", "link", "dangling", "circle", "pipe"],
)
def test_what_is_no_socket_is_left_alone_and_told(path, make, kind):
    make(Path(path))
    before = os.lstat(path)
    assert f"because {path} is {kind}, which is left alone" in refusal(path)
    assert os.lstat(path) == before


def test_a_link_to_a_socket_is_not_followed(path, tmp_path):
    target = str(tmp_path / "other.sock")
    left = stale(target)
    os.symlink(target, path)
    assert "is a symbolic link, which is left alone" in refusal(path)
    assert os.stat(target).st_ino == left


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/nowhere/virt2.sock", "No such file or directory"),
        ("/dev/null/virt2.sock", "Not a directory"),
        ("/proc/virt2.sock", ""),
        ("/" + "x" * 200, "path too long"),
    ],
)
def test_where_there_can_be_no_socket_the_reason_is_told(path, why):
    assert f"the status socket {path} cannot be made: " in refusal(path)
    assert why in refusal(path)


def test_missing_rights_are_told(path, monkeypatch):
    def refuse(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    assert "cannot be made: Permission denied; set StatusSocket to a path in a folder" in refusal(path)


def test_a_folder_that_cannot_be_read_may_still_take_a_socket(path, monkeypatch):
    real = os.open

    def refuse(name, *arguments, **options):
        if name == os.path.dirname(path):
            raise PermissionError(13, "Permission denied")
        return real(name, *arguments, **options)

    monkeypatch.setattr(os, "open", refuse)
    listener = listen(path, patient)
    assert connects(path)
    listener.close()


def test_in_the_end_the_file_is_removed(path, made):
    assert made.is_there
    made.close()
    assert not os.path.lexists(path)
    assert not made.is_there


@pytest.mark.parametrize("make", [stale, lambda path: Path(path).write_text("x")], ids=["socket", "file"])
def test_in_the_end_what_has_the_name_by_then_is_left_alone(path, made, make):
    os.rename(path, path + ".moved")
    assert not made.is_there
    make(path)
    assert not made.is_there
    before = os.lstat(path)
    made.close()
    assert os.lstat(path) == before


def test_of_daemons_that_start_at_the_same_moment_on_a_stale_socket_one_has_it(path):
    for _ in range(20):
        stale(path)
        start, listeners, told = threading.Barrier(6), [], []

        def begin(start=start, listeners=listeners, told=told):
            start.wait(BOUND)
            try:
                listeners.append(listen(path, patient))
            except NoSocket as error:
                told.append(str(error))

        threads = [threading.Thread(target=begin) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(BOUND)
        (winner,) = [listener for listener in listeners if listener.is_there]
        for listener in listeners:
            listener.close()
        assert listeners == [winner]
        assert len(told) == 5
        assert all("listens at" in text for text in told)


def test_whoever_holds_the_folders_lock_is_waited_for_and_cannot_keep_the_socket_from_being_made(
    path, tmp_path, monkeypatch
):
    monkeypatch.setattr(listening, "LOCK_PATIENCE", 0.1)
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        return patient(seconds)

    holder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        listener = listen(path, pause)
        assert pauses
        assert connects(path)
        listener.close()
        # Nobody wants the socket any more.
        del pauses[:]
        listen(path, lambda seconds: bool(pauses.append(seconds)) or True).close()
        assert len(pauses) == 1
    finally:
        os.close(holder)


def test_a_file_system_without_locks_does_without(path, monkeypatch):
    def refuse(descriptor, kind):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    listener = listen(path, patient)
    assert connects(path)
    listener.close()
