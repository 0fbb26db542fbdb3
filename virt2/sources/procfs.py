"""What /proc tells of the QEMUs, without asking anybody.

A QEMU whose main thread is stopped, or sits in uninterruptible sleep, will not answer its monitor: this is seen here
before a call into it costs one of libvirtd's workers. Whatever cannot be seen (no rights, ``hidepid``, another pid
namespace) is *unknown*, never an error.
"""

from __future__ import annotations

import contextlib
import os
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple
from xml.sax.saxutils import escape

PROC = "/proc"

SECOND_LOOK = 0.010
"""Seconds between two looks at a main thread in D: a healthy one is there for the length of one I/O at a time."""

RETRY = 10.0
"""Seconds until a domain whose process was not found is looked for again: a matter of rights or namespaces does not
heal soon, but a domain that was just being started has its process by then."""


_STOPPED = {"T": "T", "t": "T", "D": "D"}
"""State letters of a main thread that will not answer the monitor."""

_HEAD = 64
"""Bytes of a stat file that hold pid, name (at most 15 bytes) and state; what follows are numbers."""

_STATUS_DOMAIN = re.compile(rb"<domain(?=[\s>])")
_STATUS_END = b"</domain>"
"""What stands around a domain in its status file: the first and the last, since libvirt prints its own notes around it
and none of these is called so."""

_GUEST_NAME = re.compile(rb"(?:guest=)?((?:[^,]|,,)*)")
"""The first value of QEMU's -name, in which a comma is written twice."""


class Stat(NamedTuple):
    """What is needed of ``/proc/PID/stat``."""

    comm: bytes
    """Name of the executable, cut at 15 bytes by the kernel."""
    state: str
    """State of the process's main thread, one letter as in proc(5)."""
    start: int
    """When the process started, in clock ticks since boot: with the pid, this identifies it."""


class Guest(NamedTuple):
    """A running QEMU as its pid file and its command line describe it."""

    name: str
    uuid: str
    pid: int


def read_stat(pid: int, proc: str = PROC) -> Stat | None:
    """Read a process's name, state and start time; None when it is gone or hidden."""
    data = _read(f"{proc}/{pid}/stat".encode())
    # The name is the only field that may hold spaces and parentheses, and it is not escaped: count from its end.
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 1 :].split()
    if opening < 0 or len(fields) < 20:
        return None
    return Stat(data[opening + 1 : closing], fields[0].decode(), int(fields[19]))


def main_thread_state(pid: int, proc: str = PROC) -> str:
    """The state letter of a process's main thread, empty when it cannot be told."""
    stat = read_stat(pid, proc)
    return stat.state if stat else ""


def guests(run_dir: str, proc: str = PROC) -> list[Guest]:
    """All QEMUs with a pid file, with their true names: libvirt names the file by the XML-escaped name.

    One in uninterruptible sleep is left out, because its command line may not be readable until it wakes.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = []
    for pid in _pids_in(run_dir).values():
        guest = _guest(pid, proc) if pid and main_thread_state(pid, proc) != "D" else None
        if guest:
            found.append(guest)
    return found


class _Process:
    """A QEMU, by pid and start time.

    With `keep`, the file that tells its state stays open: a look then takes a third of the time. It is that of this
    process for good, and cannot be read any more once it is gone.
    """

    __slots__ = ("_file", "_proc", "pid", "start")

    def __init__(self, pid: int, start: int, proc: str, keep: bool = False) -> None:
        self.pid = pid
        self.start = start
        self._proc = proc
        self._file: int | None = None
        if keep:
            with contextlib.suppress(OSError):
                # Of the main thread alone: that of the process has the kernel add up all of its threads.
                self._file = os.open(f"{proc}/{pid}/task/{pid}/stat", os.O_RDONLY)

    def __del__(self) -> None:
        # Not when it is forgotten: another thread may be reading, and the number would soon be another file's.
        if self._file is not None:
            os.close(self._file)

    def letter(self) -> str:
        """The state of its main thread; empty when it is gone or cannot be seen."""
        if self._file is None:
            stat = read_stat(self.pid, self._proc)
            return stat.state if stat and stat.start == self.start else ""
        try:
            head = os.pread(self._file, _HEAD, 0)
        except OSError:
            return ""
        state = head.rfind(b")") + 2
        return head[state : state + 1].decode()


class Processes:
    """The QEMUs of the domains, remembered so that a look at a known one costs one small file.

    May be used from several threads, for one domain from one at a time. A look does not block, except that finding
    a QEMU reads its command line, which the kernel may delay while that process is being mapped; one in D
    is not read.

    Arguments:
        run_dir: the folder with the pid files of the QEMU driver (see `virt2.sources.daemon.Place`).
        proc: where procfs is mounted.
        sleep: waits for seconds; called only between two looks at a main thread in D.
        clock: monotonic seconds.
        room: processes of which a file may be kept open.
    """

    def __init__(
        self,
        run_dir: str,
        proc: str = PROC,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        room: int | None = None,
    ) -> None:
        self._run_dir = run_dir
        self._proc = proc
        self._sleep = sleep
        self._clock = clock
        self._room = _share_of_descriptors() if room is None else room
        self._known: dict[str, _Process] = {}
        self._retry: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Processes known={len(self._known)} unknown={len(self._retry)}>"

    def stopped(self, uuid: str, name: str) -> str:
        """Why a domain's QEMU will not answer its monitor.

        Returns:
            "T" when it is stopped (by a signal or a debugger), "D" when its main thread was in uninterruptible sleep
            at two looks, else, or when it cannot be told, "".
        """
        process, letter = self._look(uuid, name)
        if process is not None and letter == "D":
            self._sleep(SECOND_LOOK)
            letter = process.letter()
        return _STOPPED.get(letter, "")

    def pid(self, uuid: str, name: str) -> int | None:
        """The pid of a domain's QEMU, None when it cannot be told."""
        process, _ = self._look(uuid, name)
        return process.pid if process else None

    def keep(self, uuids: Iterable[str]) -> None:
        """Forget all domains but these."""
        wanted = set(uuids)
        for memory in (self._known, self._retry):
            for uuid in list(memory):
                if uuid not in wanted:
                    memory.pop(uuid, None)

    def problem(self) -> str:
        """Why the domains' processes cannot be seen, in words; empty when they can, or when there are none yet."""
        try:
            pids = _pids_in(self._run_dir)
        except OSError as error:
            return f"{self._run_dir} cannot be listed: {error.strerror}"
        if any(self._is_qemu(pid) for pid in pids.values()):
            return ""
        if not read_stat(1, self._proc):
            return f"{self._proc} hides the processes of other users"
        if any(entry != b"driver.pid" for entry in pids):
            return f"no pid file in {self._run_dir} leads to a QEMU in {self._proc}"
        return ""

    def _is_qemu(self, pid: int | None) -> bool:
        """Whether a process is seen to be a QEMU; of one in D the name must do, as when it is looked at."""
        stat = read_stat(pid, self._proc) if pid else None
        if pid is None or stat is None:
            return False
        return stat.comm.startswith(b"qemu") if stat.state == "D" else _guest(pid, self._proc) is not None

    def _is_of(self, pid: int, uuid: str) -> bool:
        """Whether a process is the QEMU of a domain, as its command line says."""
        guest = _guest(pid, self._proc)
        return guest is not None and guest.uuid == uuid.lower()

    def _look(self, uuid: str, name: str) -> tuple[_Process | None, str]:
        """A domain's QEMU and the state of its main thread; None and empty when it cannot be told."""
        known = self._known.get(uuid)
        if known:
            letter = known.letter()
            if letter:
                return known, letter
            self._known.pop(uuid, None)
        elif self._clock() < self._retry.get(uuid, 0.0):
            return None, ""
        for pid in _pids_of(name, self._run_dir):
            stat = read_stat(pid, self._proc)
            if stat and stat.state == "D":
                # Its command line may not be readable until it wakes: libvirt's pid file and the name must do.
                if stat.comm.startswith(b"qemu"):
                    return _Process(pid, stat.start, self._proc), stat.state
            elif stat and self._is_of(pid, uuid):
                process = _Process(pid, stat.start, self._proc, keep=len(self._known) < self._room)
                # Looked at again: the pid may have become another process's before the file was opened.
                again = read_stat(pid, self._proc)
                if again and again.start == stat.start:
                    self._known[uuid] = process
                    self._retry.pop(uuid, None)
                    return process, stat.state
        self._retry[uuid] = self._clock() + RETRY
        return None, ""


def _share_of_descriptors() -> int:
    """A quarter of the descriptors this process may have: the connections need some too, and collectd's plugins."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // 4


class StatusFiles:
    """What libvirt keeps of its running domains in the folder of their pid files.

    Arguments:
        run_dir: that folder.
    """

    def __init__(self, run_dir: str) -> None:
        self._run_dir = run_dir

    def stamp(self, name: str) -> object:
        """Give `status_stamp`."""
        return status_stamp(name, self._run_dir)

    def xml(self, name: str) -> str:
        """Give `status_xml`."""
        return status_xml(name, self._run_dir)


def status_stamp(name: str, run_dir: str) -> object:
    """What changes whenever libvirt writes a domain's status file anew, as it does at every change of the domain.

    None where that file cannot be seen: only root can. Reads nothing, and does not block.
    """
    for path in _files_of(name, run_dir, b".xml"):
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            # It is replaced and not overwritten: two changes may have the same time, but not the same file.
            return stat.st_mtime_ns, stat.st_ino
    return None


def status_xml(name: str, run_dir: str, most: int = 64 << 20) -> str:
    """The domain's XML out of its status file; empty where it cannot be read, or has more than `most` bytes.

    libvirt's protocol has no room for XML of more than 4 MiB, and this file has.
    """
    for path in _files_of(name, run_dir, b".xml"):
        try:
            with open(path, "rb") as file:
                data = file.read(most + 1)
        except OSError:
            continue
        start, end = _STATUS_DOMAIN.search(data), data.rfind(_STATUS_END)
        if start is not None and start.start() < end and len(data) <= most:
            return data[start.start() : end + len(_STATUS_END)].decode("utf-8", "replace")
    return ""


def _files_of(name: str, run_dir: str, suffix: bytes) -> Iterator[bytes]:
    """Where a file of a domain's may be: libvirt escapes the name as for XML, older ones did not.

    Paths are bytes: inside collectd Python's idea of the file system's encoding depends on the locale.
    """
    for stem in dict.fromkeys((escape(name, {'"': "&quot;", "'": "&apos;"}), name)):
        if "/" not in stem and "\0" not in stem:
            yield os.path.join(os.fsencode(run_dir), stem.encode("utf-8", "surrogateescape") + suffix)


def _pids_of(name: str, run_dir: str) -> Iterator[int]:
    """What the pid files say that may be a domain's."""
    for path in _files_of(name, run_dir, b".pid"):
        pid = pid_in(path)
        if pid:
            yield pid


def _pids_in(run_dir: str) -> dict[bytes, int | None]:
    """What every pid file of a folder says, by the file's name in order. Raises OSError where it cannot be listed."""
    folder = os.fsencode(run_dir)
    names = sorted(entry for entry in os.listdir(folder) if entry.endswith(b".pid"))
    return {name: pid_in(os.path.join(folder, name)) for name in names}


def pid_in(path: bytes) -> int | None:
    """The number in a pid file; None where there is none."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _guest(pid: int, proc: str) -> Guest | None:
    """What a process's command line says, if it is that of a QEMU started by libvirt."""
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
    except OSError:
        return None
    # libvirt puts both before anything an operator may have added to the command line.
    options: dict[bytes, bytes] = {}
    for option, value in zip(arguments, arguments[1:]):
        if option in (b"-name", b"-uuid"):
            options.setdefault(option, value)
    if len(options) < 2:
        return None
    name = _GUEST_NAME.match(options[b"-name"])
    if not name:
        return None
    return Guest(
        name.group(1).replace(b",,", b",").decode("utf-8", "surrogateescape"),
        options[b"-uuid"].decode("ascii", "replace").lower(),
        pid,
    )


def _read(path: bytes) -> bytes:
    """The start of a small file; empty when it is not there or not for us."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 4096)
        finally:
            os.close(file)
    except OSError:
        return b""


def read_mounts(path: str = "/proc/self/mountinfo") -> str:
    """The mount table of this process, as text; reading it does not touch what is mounted.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
