"""What /proc tells of the QEMUs, without asking anybody.

A QEMU whose main thread is stopped, or sits in uninterruptible sleep, will not answer its monitor. That is seen here
before a call into the monitor costs one of libvirtd's workers. The CPU time of a QEMU is here too, where libvirt itself
takes it from. What cannot be seen (no rights, ``hidepid``, another pid namespace) is *unknown*, never an error.
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

from virt2.model.replies import Account, CpuTimes
from virt2.sources import cgroups

PROC = "/proc"
ONLINE_CPUS = "/sys/devices/system/cpu/online"

SECOND_LOOK = 0.010
"""Seconds between two looks at a main thread in D. A healthy one is in D for the length of one I/O at a time."""

RETRY = 10.0
"""Seconds until a domain whose process was not found is looked for again. Rights and namespaces do not change soon."""
FIRST_RETRY = 1.0
"""The same after the first look at a new pid file, which libvirt writes just before the process becomes a QEMU."""

_STOPPED = {"T": "T", "t": "T", "D": "D"}
"""State letters of a main thread that will not answer the monitor."""

_STAT = 1024
"""More bytes than a stat file has: 52 fields, each of 20 digits at the most, and a name of 15 bytes."""

_ENDED = ("Z", "X")
"""State letters of a process that has ended, whether or not somebody has still to take note of it."""
_TICK = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
"""Nanoseconds in the clock ticks that the kernel counts CPU time in."""
_PAGE = os.sysconf("SC_PAGE_SIZE")
"""Bytes in the pages that the kernel counts memory in."""

_STATUS_DOMAIN = re.compile(rb"<domain(?=[\s>])")
_STATUS_END = b"</domain>"
"""What stands around a domain in its status file: the first and the last of these, because libvirt prints its own notes
around the domain, and no note is called so."""

_XML_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})
"""How libvirt escapes a name in XML. `xml.sax.saxutils` has this too, and takes 4 to 8 MiB."""

_GUEST_NAME = re.compile(rb"(?:guest=)?((?:[^,]|,,)*)")
"""The first value of QEMU's -name. A comma in it is written twice."""


class Stat(NamedTuple):
    """What is needed of ``/proc/PID/stat``."""

    comm: bytes
    """Name of the executable, cut at 15 bytes by the kernel."""
    state: str
    """State of the process's main thread, one letter as in proc(5)."""
    start: int
    """When the process started, in clock ticks since boot. Together with the pid, this identifies it."""
    account: Account
    """What it has used so far."""


class Guest(NamedTuple):
    """A running QEMU as its pid file and its command line describe it."""

    name: str
    uuid: str
    pid: int


def read_stat(pid: int, proc: str = PROC) -> Stat | None:
    """Read what the kernel says of a process; None where it is gone or hidden."""
    return _parse(_read(f"{proc}/{pid}/stat".encode()))


def _parse(data: bytes) -> Stat | None:
    """Take a stat file apart (proc(5)); None where it is not whole."""
    # Only the name may hold spaces and parentheses, and it is not escaped. So the fields are counted from its end.
    opening, closing = data.find(b"("), data.rfind(b")")
    fields = data[closing + 2 :].split(b" ", 22)
    if opening < 0 or len(fields) < 23:
        return None
    try:
        user, system, start, pages = int(fields[11]), int(fields[12]), int(fields[19]), int(fields[21])
    except ValueError:
        return None
    account = Account(user * _TICK, system * _TICK, pages * _PAGE)
    return Stat(data[opening + 1 : closing], fields[0].decode("ascii", "replace"), start, account)


def main_thread_state(pid: int, proc: str = PROC) -> str:
    """Read the state letter of a process's main thread; empty where it cannot be told."""
    stat = read_stat(pid, proc)
    return stat.state if stat else ""


def guests(run_dir: str, proc: str = PROC) -> list[Guest]:
    """List all QEMUs with a pid file, by their true names: libvirt names the file by the XML-escaped name.

    A QEMU in uninterruptible sleep is left out, because its command line may not be readable until it wakes.

    Raises:
        OSError: the folder cannot be listed.
    """
    found = []
    for pid in _pids_in(run_dir).values():
        guest = _guest(pid, proc) if pid and main_thread_state(pid, proc) != "D" else None
        if guest:
            found.append(guest)
    return found


class _Miss(NamedTuple):
    """That a domain's process was not found."""

    stamp: object
    """Of the pid file that was there then."""
    until: float
    """When it is looked for again, unless there is another pid file before."""


_NO_MISS = _Miss(object(), 0.0)
"""It was not looked for, or was found since."""


class Ended(Exception):
    """A process does not run any more, or another one has its number."""


class _Process:
    """A QEMU, by pid and start time.

    With `keep`, the file that tells of it stays open, and a look takes half of the time. An open file belongs to this
    process for good, and cannot be read any more once the process is gone.
    """

    __slots__ = ("_file", "_proc", "pid", "stamp", "start")

    def __init__(self, pid: int, start: int, proc: str, stamp: object, keep: bool = False) -> None:
        self.pid = pid
        self.start = start
        self.stamp = stamp
        """Of the pid file that led to it."""
        self._proc = proc
        self._file: int | None = None
        if keep:
            with contextlib.suppress(OSError):
                self._file = os.open(f"{proc}/{pid}/stat", os.O_RDONLY)

    def __del__(self) -> None:
        # It is not closed when the process is forgotten: another thread may be reading, and the number would soon be
        # that of another file.
        if self._file is not None:
            os.close(self._file)

    def look(self) -> Stat | None:
        """Read what the kernel says of it; None where it cannot be seen now.

        Raises:
            Ended: it does not run any more.
        """
        try:
            data = self._read()
        except (FileNotFoundError, ProcessLookupError):
            raise Ended from None
        except OSError:
            # This process may have no file left to open it with.
            return None
        stat = _parse(data)
        if not data or (stat is not None and (stat.start != self.start or stat.state in _ENDED)):
            raise Ended
        return stat

    def _read(self) -> bytes:
        """Read its stat file; raises OSError."""
        if self._file is not None:
            return os.pread(self._file, _STAT, 0)
        file = os.open(f"{self._proc}/{self.pid}/stat", os.O_RDONLY)
        try:
            return os.read(file, _STAT)
        finally:
            os.close(file)


class Processes:
    """The QEMUs of the domains, remembered so that a look at a known one costs one small file.

    Any thread may use this. A look at a QEMU that is known does not block. To find one, its command line is read, and
    the kernel may delay that while the process is being mapped. The command line of a QEMU in D is not read.

    Arguments:
        run_dir: the folder with the pid files of the QEMU driver (see `virt2.sources.daemon.Place`).
        proc: where procfs is mounted.
        sleep: waits for seconds. It is called only between two looks at a main thread in D.
        clock: monotonic seconds.
        room: how many processes may have a file kept open; None for a share of what this process may open.
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
        self._missed: dict[str, _Miss] = {}
        self._ended: dict[str, _Process] = {}
        """Those that were known and have ended, until another one is found for the domain."""
        self._groups: dict[str, tuple[_Process, cgroups.Group | None]] = {}
        """The control groups of those processes of which one was asked for."""

    def __repr__(self) -> str:
        return f"<Processes known={len(self._known)} unknown={len(self._missed)}>"

    def stopped(self, uuid: str, name: str) -> str:
        """Look why a domain's QEMU will not answer its monitor.

        Returns:
            "T" where it is stopped (by a signal or a debugger), "D" where its main thread was in uninterruptible sleep
            at two looks, "" where it is neither or cannot be told.
        """
        process, letter = self._look(uuid, name)
        if process is not None and letter == "D":
            self._sleep(SECOND_LOOK)
            try:
                stat = process.look()
            except Ended:
                stat = None
            letter = "" if stat is None else stat.state
        return _STOPPED.get(letter, "")

    def pid(self, uuid: str, name: str) -> int | None:
        """Find the pid of a domain's QEMU; None where it cannot be told."""
        process, _ = self._look(uuid, name)
        return process.pid if process else None

    def state(self, uuid: str) -> str:
        """Read why a domain's QEMU will not answer now, where it is known.

        This does not block.

        Returns:
            "T" where it is stopped, "D" where its main thread is in uninterruptible sleep at this moment, otherwise "".
        """
        process = self._known.get(uuid)
        if process is None:
            return ""
        try:
            stat = process.look()
        except Ended:
            self._note_end(uuid, process)
            return ""
        return "" if stat is None else _STOPPED.get(stat.state, "")

    def account(self, uuid: str) -> Account | None:
        """Read what a domain's QEMU has used so far, where the QEMU is known; None where it is not, or has ended.

        This does not block.
        """
        process = self._known.get(uuid)
        if process is None:
            return None
        try:
            stat = process.look()
        except Ended:
            self._note_end(uuid, process)
            return None
        return None if stat is None else stat.account

    def cpu_times(self, uuid: str) -> CpuTimes | None:
        """Read the CPU time of a domain in user and in kernel mode, where its QEMU is known; None where it cannot be.

        This does not block.
        """
        process = self._known.get(uuid)
        if process is None:
            return None
        of, group = self._groups.get(uuid, (None, None))
        if of is not process:
            group = cgroups.group_of(process.pid, self._proc)
            self._groups[uuid] = (process, group)
        return None if group is None else group.read()

    def host_cpus(self) -> int:
        """Count the CPUs of the host that are active; 0 where that cannot be seen."""
        return online_cpus()

    @property
    def known(self) -> int:
        """How many QEMUs are known."""
        return len(self._known)

    def has_ended(self, uuid: str, name: str) -> bool:
        """Whether a domain's QEMU was known and is seen to have ended, and no other one was started since.

        libvirt itself may go on listing the domain, because it has to take it apart first. This does not block.
        """
        ended = self._ended.get(uuid)
        return ended is not None and _stamp(name, self._run_dir, b".pid") in (None, ended.stamp)

    def keep(self, uuids: Iterable[str]) -> None:
        """Forget all domains but these."""
        wanted = set(uuids)
        for memory in (self._known, self._missed, self._ended, self._groups):
            for uuid in list(memory):
                if uuid not in wanted:
                    memory.pop(uuid, None)

    def problem(self) -> str:
        """Find out why the domains' processes cannot be seen, in words; empty where they can, or there are none yet."""
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
        """Whether a process is seen to be a QEMU. In D its name has to do, as when it is looked at."""
        stat = read_stat(pid, self._proc) if pid else None
        if pid is None or stat is None:
            return False
        return stat.comm.startswith(b"qemu") if stat.state == "D" else _guest(pid, self._proc) is not None

    def _is_of(self, pid: int, uuid: str) -> bool:
        """Whether a process is the QEMU of a domain, as its command line says."""
        guest = _guest(pid, self._proc)
        return guest is not None and guest.uuid == uuid.lower()

    def _look(self, uuid: str, name: str) -> tuple[_Process | None, str]:
        """Look at a domain's QEMU and the state of its main thread; None and empty where it cannot be told."""
        known = self._known.get(uuid)
        if known:
            try:
                stat = known.look()
            except Ended:
                self._note_end(uuid, known)
            else:
                return known, "" if stat is None else stat.state
        stamp, missed = _stamp(name, self._run_dir, b".pid"), self._missed.get(uuid, _NO_MISS)
        is_same = missed.stamp == stamp
        if known is None and is_same and self._clock() < missed.until:
            return None, ""
        for pid in _pids_of(name, self._run_dir):
            stat = read_stat(pid, self._proc)
            if stat and stat.state == "D":
                # Its command line may not be readable until it wakes: libvirt's pid file and the name have to do.
                if stat.comm.startswith(b"qemu"):
                    return _Process(pid, stat.start, self._proc, stamp), stat.state
            elif stat and self._is_of(pid, uuid):
                process = _Process(pid, stat.start, self._proc, stamp, keep=len(self._known) < self._room)
                # One more look, because the pid may have become another process's before the file was opened.
                again = read_stat(pid, self._proc)
                if again and again.start == stat.start:
                    self._known[uuid] = process
                    self._missed.pop(uuid, None)
                    self._ended.pop(uuid, None)
                    return process, stat.state
        self._missed[uuid] = _Miss(stamp, self._clock() + (RETRY if is_same else FIRST_RETRY))
        return None, ""

    def _note_end(self, uuid: str, process: _Process) -> None:
        """Note that a process that was known has ended. Another thread may have found the next one meanwhile."""
        if self._known.get(uuid) is process:
            self._ended[uuid] = process
            self._known.pop(uuid, None)


def _share_of_descriptors() -> int:
    """A quarter of the descriptors that this process may have: connections and collectd's plugins need some too."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft // 4


class StatusFiles:
    """What libvirt keeps of its running domains, in files beside their pid files.

    Arguments:
        run_dir: the folder of these files.
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
    """Give something that changes whenever libvirt writes a domain's status file, as it does at every change of it.

    None where that file cannot be seen: only root can see it. This reads nothing and does not block.
    """
    return _stamp(name, run_dir, b".xml")


def _stamp(name: str, run_dir: str, suffix: bytes) -> object:
    """Give something that differs for two files that libvirt wrote for a domain; None where none can be seen."""
    for path in _files_of(name, run_dir, suffix):
        with contextlib.suppress(OSError):
            stat = os.stat(path)
            # The file is replaced and not overwritten. Two changes may have one time, but never one file.
            return stat.st_mtime_ns, stat.st_ino
    return None


def status_xml(name: str, run_dir: str, most: int = 64 << 20) -> str:
    """Read the domain's XML from its status file; empty where it cannot be read, or has more than `most` bytes.

    libvirt's protocol has no room for XML of more than 4 MiB. This file has.
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
    """Give where a domain's file may be: libvirt escapes the name as in XML, and older ones did not.

    Paths are bytes, because inside collectd Python's idea of the file system's encoding depends on the locale.
    """
    for stem in dict.fromkeys((name.translate(_XML_ESCAPES), name)):
        if "/" in stem or "\0" in stem:
            continue
        try:
            file = stem.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            # No file can have this name.
            continue
        yield os.path.join(os.fsencode(run_dir), file + suffix)


def _pids_of(name: str, run_dir: str) -> Iterator[int]:
    """Read the pid files that may be a domain's."""
    for path in _files_of(name, run_dir, b".pid"):
        pid = pid_in(path)
        if pid:
            yield pid


def _pids_in(run_dir: str) -> dict[bytes, int | None]:
    """Read every pid file of a folder, by the file's name in order. Raises OSError where it cannot be listed."""
    folder = os.fsencode(run_dir)
    names = sorted(entry for entry in os.listdir(folder) if entry.endswith(b".pid"))
    return {name: pid_in(os.path.join(folder, name)) for name in names}


def pid_in(path: bytes) -> int | None:
    """Read the number in a pid file; None where there is none."""
    text = _read(path).strip()
    return int(text) if text.isdigit() else None


def _guest(pid: int, proc: str) -> Guest | None:
    """Read the command line of a process; None where it is not a QEMU that libvirt started."""
    try:
        with open(f"{proc}/{pid}/cmdline", "rb") as file:
            arguments = file.read().split(b"\0")
    except OSError:
        return None
    # libvirt puts both before anything that an operator may have added to the command line.
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
    """Read the start of a small file; empty where it is not there, or not for us."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            return os.read(file, 4096)
        finally:
            os.close(file)
    except OSError:
        return b""


def online_cpus(path: str = ONLINE_CPUS) -> int:
    """Count the CPUs that the kernel uses now; 0 where that cannot be seen.

    The file has ranges, such as ``0-3,6``.
    """
    ranges = [part.partition("-") for part in _read(path.encode()).decode("ascii", "replace").split(",")]
    try:
        return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
    except ValueError:
        return 0


def mounts_mark(path: str = "/proc/self/mountinfo") -> object:
    """Give something that changes whenever the mount table of this process changes, or whether it can be read."""
    try:
        return hash(read_mounts(path))
    except OSError as error:
        return error.errno


def read_mounts(path: str = "/proc/self/mountinfo") -> str:
    """Read the mount table of this process, as text. That does not touch what is mounted.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()
