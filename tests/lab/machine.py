"""The lab itself: its namespaces, its libvirtd, and the way in and out."""

from __future__ import annotations

import concurrent.futures
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import cgroups
from .guests import Guest, Images, RunningGuest, domain_xml, new_nic
from .process import CommandFailed, Process, Streams
from .storage import HangingStorage
from .waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""
UP_TIMEOUT = 30.0
"""Seconds for each step of the start; all of them together take about two when the machine is idle."""
DOWN_TIMEOUT = 30.0
"""Seconds for the kernel to end everything inside; a tenth of one is usual."""
STARTING_AT_ONCE = 2
"""Guests started at a time: more do not start faster on two cores."""
SOCKET = "/run/libvirt/libvirt-sock"
NAMESPACES = ["--mount", "--uts", "--pid", "--net"]
UNSHARE = ["unshare", *NAMESPACES, "--fork", "--kill-child", "--propagation", "unchanged", "--"]
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Lab:
    """A private libvirt host; see the package's docstring for how to use it.

    Arguments:
        work_dir: an existing folder, below neither /run nor libvirt's own folders, for images, logs and storage.
    """

    down_timeout = DOWN_TIMEOUT
    libvirtd_command: Sequence[str] = ("libvirtd",)
    """What starts libvirtd, in the foreground."""

    def __init__(self, work_dir: str | Path) -> None:
        self.work_dir = Path(work_dir).resolve()
        self.images_folder = self.work_dir / "images"
        """Where the images of guests lie that are on no storage of their own."""
        self._unshare: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._pid = 0
        self._libvirtd: Process | None = None
        self._connection: Any = None
        self._storages: list[HangingStorage] = []
        self._processes: list[Process] = []

    def __repr__(self) -> str:
        return f"<Lab {self.work_dir} pid={self._pid}>"

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # Up and down

    def start(self) -> None:
        """Make the lab and start its libvirtd; returns when libvirtd answers."""
        cgroups.sweep()
        self.images_folder.mkdir(exist_ok=True)
        self._control, inner_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        log = self.work_dir / "init.log"
        try:
            with inner_end, open(log, "ab") as output:
                self._unshare = subprocess.Popen(
                    [*UNSHARE, sys.executable, "-m", "tests.lab.init", str(inner_end.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[inner_end.fileno()],
                    cwd=ROOT,
                    env=self._environment(),
                    # Ctrl-C in a terminal is for whoever drives the lab.
                    start_new_session=True,
                )
            ready = select.select([self._control], [], [], UP_TIMEOUT)[0]
            hello = self._control.recv(4096) if ready else b""
            if not hello:
                raise RuntimeError(f"the lab did not start: {log.read_text()}")
            self._pid = json.loads(hello)["pid"]
            self.prepare()
            self.start_libvirtd()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything inside, however stuck, and remove what the kernel keeps of it."""
        if self._control is not None:
            # The lab's first process ends at the end of file, and with it all others.
            self._control.close()
            self._control = None
        if self._unshare is not None:
            try:
                self._unshare.wait(self.down_timeout)
            finally:
                self._unshare.kill()
                self._unshare = None
        # Only now: closing a connection asks libvirtd, and waits for ever for one that is frozen.
        if self._connection is not None:
            self._close_connection()
        for storage in self._storages:
            storage.close()
        self._storages.clear()
        for process in self._processes:
            process.poll()
        self._processes.clear()
        cgroups.sweep()

    def prepare(self) -> None:
        """Change what is inside before libvirtd starts for the first time."""

    # libvirtd

    @property
    def pid(self) -> int:
        """The first process's, as seen from outside; 0 before the start."""
        return self._pid

    @property
    def uri(self) -> str:
        """For clients outside the lab; those inside use qemu:///system."""
        return f"qemu+unix:///system?socket={self.inside(SOCKET)}"

    @property
    def libvirtd(self) -> Process:
        """The libvirtd that runs, or ran last."""
        if self._libvirtd is None:
            raise RuntimeError("libvirtd was not started")
        return self._libvirtd

    @property
    def libvirtd_pid(self) -> int:
        """As seen from outside."""
        return self.libvirtd.pid

    def start_libvirtd(self, timeout: float = UP_TIMEOUT) -> None:
        """Start libvirtd and wait until it answers; running guests are listed then, but some calls on them, such as
        those that read cgroups, fail for a few milliseconds more. It may not answer before storage that hangs does."""
        self._libvirtd = self.popen(self.libvirtd_command, log=self.work_dir / "libvirtd.log")
        wait_for(self._libvirtd_answers, timeout, "libvirtd answers")

    def kill_libvirtd(self, number: int = signal.SIGKILL) -> None:
        """Send libvirtd a signal; after one that ends it, return when it has ended."""
        self.libvirtd.signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.libvirtd.wait(UP_TIMEOUT)
            # It does not know that libvirtd has gone until a call fails.
            self._close_connection()

    def restart_libvirtd(self) -> None:
        """Kill libvirtd and start it anew."""
        self.kill_libvirtd()
        self.start_libvirtd()

    def connect(self) -> Any:
        """A new read-write `libvirt.virConnect` to the lab's libvirtd; the caller closes it."""
        import libvirt

        return libvirt.open(self.uri)

    @property
    def connection(self) -> Any:
        """The lab's own connection, made anew where libvirtd has gone in between."""
        if self._connection is not None and not self._connection.isAlive():
            self._close_connection()
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    # Guests and storage

    def guests(self, specs: Iterable[Guest]) -> list[RunningGuest]:
        """Start guests, as transient domains; in the order of the specs."""
        with concurrent.futures.ThreadPoolExecutor(STARTING_AT_ONCE) as starters:
            return list(starters.map(self.guest, specs))

    def guest(self, spec: Guest) -> RunningGuest:
        """Start one guest."""
        import libvirt

        nics = [new_nic() for _ in range(spec.nics)]
        xml = domain_xml(spec, self.images(spec.storage), nics)
        connection = self.connect()
        try:
            connection.createXML(xml, libvirt.VIR_DOMAIN_START_PAUSED if spec.paused else 0)
        finally:
            connection.close()
        return RunningGuest(self, spec, nics)

    def reset(self) -> None:
        """Heal all storage, wake every process, see that libvirtd runs and destroy every guest."""
        import libvirt

        for storage in self._storages:
            storage.heal()
        for inner, outer in self.pids().items():
            if inner != 1:
                os.kill(outer, signal.SIGCONT)
        if self.libvirtd.poll() is not None:
            self.start_libvirtd()
        for domain in self.connection.listAllDomains():
            try:
                domain.destroy()
            except libvirt.libvirtError as error:
                # A transient domain is gone as soon as its QEMU has ended by itself.
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise

    def storage(self, name: str) -> HangingStorage:
        """Mount a new file system that can be made to hang."""
        storage = HangingStorage(self, name)
        self._storages.append(storage)
        return storage

    def images(self, storage: HangingStorage | None) -> Images:
        """Where images lie: on the storage, or in the lab's own folder."""
        return storage.images if storage else Images(self.images_folder, self.images_folder)

    # Commands, files and processes inside

    def popen(self, argv: Sequence[str], log: Path | None = None) -> Process:
        """Start a command inside; its output is appended to the log, or dropped."""
        with open(os.devnull, "rb") as nothing, open(log or os.devnull, "ab") as output:
            return self._start(argv, (nothing, output, output))

    def run(self, argv: Sequence[str], timeout: float = 30.0, check: bool = True) -> str:
        """Run a command inside and return what it printed; killed, and an error, after `timeout` seconds."""
        with open(os.devnull, "rb") as nothing, tempfile.TemporaryFile("w+") as output:
            process = self._start(argv, (nothing, output, output))
            try:
                code = process.wait(timeout)
            except TimeoutError:
                process.signal(signal.SIGKILL)
                raise
            output.seek(0)
            text = output.read()
        if check and code != 0:
            raise CommandFailed(f"{' '.join(argv)}: exit code {code}: {text}")
        return text

    def virsh(self, *args: str, timeout: float = 30.0) -> str:
        """Run virsh inside."""
        return self.run(["virsh", "--quiet", *args], timeout)

    def virt_admin(self, *args: str, timeout: float = 30.0) -> str:
        """Run virt-admin inside."""
        return self.run(["virt-admin", "--quiet", *args], timeout)

    def inside(self, path: str | Path) -> Path:
        """The path by which this process reaches a path inside the lab."""
        return Path(f"/proc/{self._pid}/root", str(path).lstrip("/"))

    def pids(self) -> dict[int, int]:
        """All processes inside: pid as seen inside to pid as seen from outside."""
        namespace = os.readlink(f"/proc/{self._pid}/ns/pid")
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                status = Path("/proc", entry, "status").read_text()
                numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
                # One number: in no namespace below ours, and possibly none of our business to look into.
                if len(numbers) < 2 or os.readlink(f"/proc/{entry}/ns/pid") != namespace:
                    continue
            except (FileNotFoundError, ProcessLookupError):
                # It ended while we looked.
                continue
            found[int(numbers[-1])] = int(entry)
        return found

    def outer_pid(self, inner: int) -> int:
        """The pid as seen from outside; ProcessLookupError when there is no such process inside."""
        pid = self.pids().get(inner)
        if pid is None:
            raise ProcessLookupError(f"no process {inner} in {self!r}")
        return pid

    def _start(self, argv: Sequence[str], streams: Streams) -> Process:
        if self._control is None:
            raise RuntimeError("the lab is not up")
        process = Process(self, self._control, argv, streams, ROOT, self._environment())
        self._processes = [one for one in self._processes if one.exit_code is None] + [process]
        return process

    def _environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, "HOME": str(self.work_dir)}

    def _libvirtd_answers(self) -> bool:
        import libvirt

        if self.libvirtd.poll() is not None:
            raise RuntimeError(f"libvirtd ended: {(self.work_dir / 'libvirtd.log').read_text()}")
        if not self.inside(SOCKET).exists():
            return False
        try:
            self.connect().close()
        except libvirt.libvirtError:
            # The socket of one that was killed is still there, or the new one does not take connections yet.
            return False
        return True

    def _close_connection(self) -> None:
        import libvirt

        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            connection.close()
        except libvirt.libvirtError as error:
            print(f"closing the lab's connection: {error}")
