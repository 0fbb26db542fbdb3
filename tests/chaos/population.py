"""The guests of a run: which live, and that those that were lost live again."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import signal
import threading
import time
import uuid as uuids
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from tests.lab import Guest, HangingStorage, Lab, RunningGuest, wait_for
from tests.lab.guests import domain_xml, new_nic

from .clients import Clients
from .journal import Journal
from .model import DISK, FOREVER, NIC, Device, Life
from .qmp import COMMAND_LINE
from .regular import Regular
from .witness import Witness

DISKS, NICS = 2, 2
"""Of each guest, when it starts."""
TAGS = ("first", "second", None)
"""Guests get these in turn."""
AGAIN = 1.0
"""Seconds between two attempts to start or to end a guest, while libvirtd is away for instance."""
PATIENCE = 150.0
"""Seconds for an attempt to succeed: longer than everything that holds it back lasts."""
NOT_THERE = "failed to get domain"
"""What virsh says where there is no such domain."""
IN_THE_WAY = re.compile(r"already exists with uuid ([0-9a-f-]{36})")
"""What libvirt says where there is one of that name."""
LOOK = 0.5
"""Seconds between two looks for guests that were lost."""


class Population:
    """Starts and ends guests, whatever state libvirtd is in, and starts those again that nobody wanted to end.

    libvirtd, when it is started while a QEMU does not answer, gives that one up and kills it.

    Arguments:
        lab: where.
        storages: by name.
        clients: ask libvirtd.
        journal: what happens is noted there.
        witness: is told of every guest.
    """

    def __init__(
        self,
        lab: Lab,
        storages: Mapping[str, HangingStorage],
        clients: Clients,
        journal: Journal,
        witness: Witness,
    ) -> None:
        self._lab = lab
        self._storages = storages
        self._clients = clients
        self._journal = journal
        self._witness = witness
        self._folder = lab.work_dir / "guests"
        self._folder.mkdir()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._lives: list[Life] = []
        self._wanted: dict[str, str] = {}
        """The storage of each guest that is to run all the time, by name."""
        self._holds: dict[str, threading.Lock] = {}
        self._failures: list[BaseException] = []
        self._keeper = Regular(self._look, LOOK, "chaos/keeper")

    @contextlib.contextmanager
    def kept(self, guests: Mapping[str, str]) -> Iterator[None]:
        """Have these guests run, as long as the block lasts.

        Arguments:
            guests: the storage of each by name; empty for storage that never hangs.
        """
        for number, (name, storage) in enumerate(guests.items()):
            self._start(name, storage, tag=TAGS[number % len(TAGS)])
        with self._lock:
            self._wanted.update(guests)
        with self._keeper:
            yield

    def check(self) -> None:
        """Raise what went wrong on threads of its own."""
        self._keeper.check()
        if self._failures:
            raise RuntimeError("a guest could not be started again") from self._failures[0]

    def lives(self) -> list[Life]:
        """All there were."""
        with self._lock:
            return list(self._lives)

    def living(self, names: Iterable[str]) -> list[Life]:
        """The current lives of those of these guests that live."""
        with self._lock:
            newest = {life.name: life for life in self._lives}
        found = [newest.get(name) for name in names]
        return [life for life in found if life is not None and life.up < FOREVER and life.leaving == FOREVER]

    @contextlib.contextmanager
    def held(self, names: Iterable[str]) -> Iterator[None]:
        """Have these guests for oneself: nobody else starts or ends them inside the block."""
        with contextlib.ExitStack() as stack:
            # In one order for all, so that two of them never wait for each other.
            for name in sorted(names):
                stack.enter_context(self._hold(name))
            yield

    def start(self, name: str, storage: str = "", uuid: str = "") -> None:
        """Start a guest; returns when it runs. Raises TimeoutError."""
        self._start(name, self._wanted.get(name, storage), uuid, self._tag(name))

    def end(self, life: Life) -> None:
        """Destroy a guest; returns when its process is gone. Raises TimeoutError."""
        life.leaving = min(life.leaving, time.time())
        deadline = time.monotonic() + PATIENCE
        while life.ended == FOREVER:
            error = self._clients.run("destroy", life.uuid)
            with contextlib.suppress(TimeoutError):
                wait_for(lambda: life.ended < FOREVER, AGAIN)
            if NOT_THERE in error and life.ended == FOREVER:
                # libvirtd has given it up, or was killed when it had forgotten it and not yet killed it.
                _kill(life.pid)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{life.name} does not end: {error}")

    def crash(self, life: Life) -> None:
        """Kill a guest's QEMU; returns when that is gone, which waits for storage that hangs. Raises TimeoutError."""
        life.leaving = min(life.leaving, time.time())
        _kill(life.pid)
        wait_for(lambda: life.ended < FOREVER, PATIENCE, f"{life.name} has ended")

    def _tag(self, name: str) -> str | None:
        names = list(self._wanted)
        return TAGS[names.index(name) % len(TAGS)] if name in names else None

    def _hold(self, name: str) -> threading.Lock:
        with self._lock:
            return self._holds.setdefault(name, threading.Lock())

    def _look(self) -> None:
        for name in self._wanted:
            hold = self._hold(name)
            if not hold.locked() and not self.living([name]):
                threading.Thread(target=self._revive, args=(name, hold), name=f"chaos/{name}", daemon=True).start()

    def _revive(self, name: str, hold: threading.Lock) -> None:
        if not hold.acquire(blocking=False):
            return
        try:
            if not self.living([name]):
                deed = self._journal.begin("revive_guest", (name,))
                self.start(name)
                deed.ended = time.time()
        except BaseException as error:
            self._failures.append(error)
        finally:
            hold.release()

    def _start(self, name: str, storage: str, uuid: str = "", tag: str | None = None) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            error = self._try(name, storage, uuid or str(uuids.uuid4()), tag)
            if not error:
                return
            self._undo_former(error)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not start: {error}")
            time.sleep(AGAIN)

    def _try(self, name: str, storage: str, uuid: str, tag: str | None) -> str:
        """Start a guest; returns why it did not, in words."""
        number = next(self._numbers)
        socket = self._folder / f"{number}.qmp"
        elements = COMMAND_LINE.format(path=socket)
        spec = Guest(
            name, tag, disks=DISKS, nics=NICS, storage=self._storages.get(storage), uuid=uuid, elements=elements
        )
        nics = [new_nic() for _ in range(NICS)]
        guest = RunningGuest(self._lab, spec, nics)
        xml = self._folder / f"{number}.xml"
        xml.write_text(domain_xml(spec, self._lab.images(spec.storage), nics))
        life = Life(name, uuid, storage, time.time(), spec.memory << 20)
        life.devices = [Device(DISK, disk, life.began) for disk in guest.disks]
        life.devices += [Device(NIC, nic, life.began) for nic in nics]
        with self._lock:
            self._lives.append(life)
        error = self._clients.run("create", str(xml))
        try:
            life.pid = guest.pid
        except ProcessLookupError:
            life.leaving = life.began
            if error:
                self._undo(life)
            life.ended = time.time()
            return error or "its QEMU has ended"
        if error:
            # Nobody knows what libvirtd makes of it, so there is no such guest.
            self._put_away(life)
            return error
        try:
            self._witness.add(life, life.pid, socket)
        except OSError as gone:
            self._put_away(life)
            return f"its QEMU has ended: {gone}"
        life.up = time.time()
        return ""

    def _undo(self, life: Life) -> None:
        """Destroy a guest of whose start the answer was lost, because it may run all the same. Raises TimeoutError."""
        deadline = time.monotonic() + PATIENCE
        while True:
            error = self._clients.run("destroy", life.uuid)
            if not error or NOT_THERE in error:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{life.name} may run, and is not destroyed: {error}")
            time.sleep(AGAIN)

    def _undo_former(self, error: str) -> None:
        """Destroy the guest that is in the way of a start, where it is one whose own start seemed to have failed."""
        there = IN_THE_WAY.search(error)
        uuid = "" if there is None else there[1]
        failed = [life for life in self.lives() if life.uuid == uuid and life.up == FOREVER]
        if failed:
            self._undo(failed[-1])
            for life in failed:
                life.ended = time.time()

    def _put_away(self, life: Life) -> None:
        life.leaving = life.began
        _kill(life.pid)
        wait_for(lambda: has_ended(life.pid), PATIENCE, f"{life!r} has ended")
        life.ended = time.time()


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def has_ended(pid: int) -> bool:
    """Whether a process is gone, or only waits for its parent to take note."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return text.rpartition(")")[2].split()[0] in ("Z", "X")
