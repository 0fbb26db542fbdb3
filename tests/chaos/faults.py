"""Does what is on a schedule, in a lab, and undoes it.

Each fault is a context manager that is entered when the action begins and left when it ends. It may wait for as long as
whatever else is going on holds it back: each has a thread of its own. It notes on its deed when it surely was in force,
where that can be known.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab import HangingStorage, Lab, wait_for
from tests.lab.guests import TAG_NAMESPACE
from tests.lab.process import Process

from .clients import Call, Clients
from .daemon import Daemon
from .expectations import FEW_WORKERS, WORKERS
from .model import DISK, FOREVER, Action, Deed, Device, Life
from .population import Population
from .witness import Witness

UP = 150.0
"""Seconds for libvirtd to answer after its start. It does not while storage hangs that its domains lie on."""
GENTLE = 10.0
"""Seconds for libvirtd to end by itself, before it is killed."""
SILENT = 0.5
"""Seconds without an answer from a QEMU that shows that it is frozen."""
CATCH = 3.0
"""Seconds for other clients to freeze a guest."""
AGAIN = 1.0
"""Seconds between two attempts at what has to succeed."""
ALREADY = "domain is already running"
"""What libvirt says of a guest that is to be resumed, and was not paused because libvirtd was away."""
ADMIN_SOCKET = "/run/libvirt/libvirt-admin-sock"


@dataclass
class Stage:
    """What faults act on."""

    lab: Lab
    storages: Mapping[str, HangingStorage]
    population: Population
    clients: Clients
    witness: Witness
    daemon: Daemon
    ending: threading.Lock = field(default_factory=threading.Lock)
    """Who has it may end libvirtd, and nobody else looks whether that runs."""


Fault = Callable[[Stage, Action, Deed], AbstractContextManager[None]]


@contextlib.contextmanager
def stop_guests(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """The QEMUs of guests are stopped."""
    with _held(stage, action.targets, deed):
        lives = stage.population.living(action.targets)
        _signal(lives, signal.SIGSTOP)
        deed.done = time.time()
        try:
            yield
        finally:
            _signal(lives, signal.SIGCONT)


@contextlib.contextmanager
def hang_storage(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """No operation on a storage ends."""
    with _hanging(stage.storages[action.targets[0]]):
        deed.done = time.time()
        yield


@contextlib.contextmanager
def other_clients(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """Somebody asks for the sizes of disks of guests on storage that hangs, which freezes these."""
    storage, *names = action.targets
    with _held(stage, names, deed):
        lives = stage.population.living(names)
        calls: list[Call] = []
        try:
            with _hanging(stage.storages[storage]):
                for number, life in enumerate(lives):
                    asks = ("domblkinfo", life.uuid, "vda") if number % 2 else ("domstats", "--block", life.uuid)
                    calls.append(stage.clients.begin(*asks))
                with contextlib.suppress(TimeoutError):
                    # Not while libvirtd itself is frozen or away.
                    wait_for(lambda: all(stage.witness.silent_for(life) > SILENT for life in lives), CATCH)
                    deed.done = time.time()
                yield
                if not _were_silent_since(stage, lives, deed.done):
                    # A QEMU or the look at it had been slow, and nothing had frozen it.
                    deed.done = FOREVER
        finally:
            _all_over(calls)


@contextlib.contextmanager
def hot_plug(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A disk is plugged into a guest from storage that hangs: libvirtd holds the domain's lock meanwhile."""
    storage = stage.storages[action.targets[0]]
    with _held(stage, action.targets[1:], deed):
        lives = stage.population.living(action.targets[1:])
        plugs = [(life, *_new_disk(stage.lab, storage, life)) for life in lives]
        calls: list[tuple[Life, str, Call]] = []
        try:
            with _hanging(storage):
                for life, target, xml in plugs:
                    call = stage.clients.begin("attach-device", life.uuid, str(xml), "--live")
                    calls.append((life, target, call))
                yield
        finally:
            for life, target, call in calls:
                plugged = call.wait()
                life.devices.append(Device(DISK, target, time.time() if plugged else FOREVER, storage.name))
                deed.note = call.error


@contextlib.contextmanager
def come_and_go(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest that was never there before is started, and destroyed later."""
    storages = [*sorted(stage.storages), ""]
    storage = storages[int(action.detail) % len(storages)]
    name = f"extra-{deed.began:.2f}"
    deed.targets = (name,)
    stage.population.start(name, storage)
    deed.done = time.time()
    yield
    for life in stage.population.living([name]):
        stage.population.end(life)


@contextlib.contextmanager
def replace_guest(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest is destroyed, and another one of the same name is started at once."""
    with _held(stage, action.targets, deed):
        for life in stage.population.living(action.targets):
            stage.population.end(life)
        stage.population.start(action.targets[0])
        yield


@contextlib.contextmanager
def return_guest(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest goes, and is there again later with the same UUID, as after migrations away and back."""
    with _held(stage, action.targets, deed):
        uuid = ""
        for life in stage.population.living(action.targets):
            stage.population.end(life)
            uuid = life.uuid
        yield
        stage.population.start(action.targets[0], uuid=uuid)


@contextlib.contextmanager
def crash_guest(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest's QEMU is killed, and the guest is started again later."""
    with _held(stage, action.targets, deed):
        for life in stage.population.living(action.targets):
            stage.population.crash(life)
        yield
        stage.population.start(action.targets[0])


@contextlib.contextmanager
def pause_guest(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest is paused by its operator."""
    with _held(stage, action.targets, deed):
        lives = stage.population.living(action.targets)
        for life in lives:
            deed.note = stage.clients.run("suspend", life.uuid)
        yield
        for life in lives:
            _until_done(stage, life, "resume")


@contextlib.contextmanager
def retag_guest(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """A guest gets another tag, and so another reader."""
    with _held(stage, action.targets, deed):
        for life in stage.population.living(action.targets):
            element = f"<tag>{action.detail}</tag>"
            words = ("metadata", life.uuid, TAG_NAMESPACE, "--key", "ovirtmap", "--live", "--set", element)
            deed.note = stage.clients.run(*words)
        yield


@contextlib.contextmanager
def kill_libvirtd(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """libvirtd is killed, and away for some time."""
    with stage.ending:
        _kill(stage.lab.libvirtd)
        deed.done = time.time()
        try:
            yield
        finally:
            stage.lab.start_libvirtd(UP)


@contextlib.contextmanager
def freeze_libvirtd(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """libvirtd is stopped."""
    pid = stage.lab.libvirtd_pid
    os.kill(pid, signal.SIGSTOP)
    deed.done = time.time()
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def restart_libvirtd(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """libvirtd is restarted as its service would be: told to end, and killed only if it does not."""
    with stage.ending:
        libvirtd = stage.lab.libvirtd
        libvirtd.signal(signal.SIGTERM)
        try:
            libvirtd.wait(GENTLE)
        except TimeoutError:
            deed.note = f"libvirtd did not end within {GENTLE:g} s, and was killed"
            with contextlib.suppress(ProcessLookupError):
                _kill(libvirtd)
        stage.lab.start_libvirtd(UP)
    yield


@contextlib.contextmanager
def limit_workers(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """libvirtd is given fewer or more workers."""
    with _workers(stage, int(action.detail)):
        deed.done = time.time()
        yield


@contextlib.contextmanager
def fill_workers(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """Others hold all of libvirtd's workers: each one asks a guest that is stopped."""
    with _held(stage, action.targets, deed), _workers(stage, FEW_WORKERS):
        lives = stage.population.living(action.targets)
        calls: list[Call] = []
        _signal(lives, signal.SIGSTOP)
        try:
            calls += [stage.clients.begin("domblkstat", life.uuid, "vda") for life in lives]
            yield
        finally:
            _signal(lives, signal.SIGCONT)
            _all_over(calls)


@contextlib.contextmanager
def hide_admin(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """libvirtd's admin socket is not where it belongs."""
    socket = stage.lab.inside(ADMIN_SOCKET)
    hidden = socket.with_name("hidden")
    socket.rename(hidden)
    deed.done = time.time()
    try:
        yield
    finally:
        hidden.rename(socket)


@contextlib.contextmanager
def restart_collectd(stage: Stage, action: Action, deed: Deed) -> Iterator[None]:
    """collectd is ended, and started again later."""
    stage.daemon.stop()
    deed.done = time.time()
    yield
    stage.daemon.start()


FAULTS: Mapping[str, Fault] = {
    fault.__name__: fault
    for fault in (
        stop_guests,
        hang_storage,
        other_clients,
        hot_plug,
        come_and_go,
        replace_guest,
        return_guest,
        crash_guest,
        pause_guest,
        retag_guest,
        kill_libvirtd,
        freeze_libvirtd,
        restart_libvirtd,
        limit_workers,
        fill_workers,
        hide_admin,
        restart_collectd,
    )
}


@contextlib.contextmanager
def _held(stage: Stage, names: Iterable[str], deed: Deed) -> Iterator[None]:
    """Have guests for oneself. Until then nothing is done, and so nothing excused."""
    with stage.population.held(names):
        deed.began = time.time()
        yield


def _signal(lives: Iterable[Life], number: int) -> None:
    for life in lives:
        # libvirtd may have killed it meanwhile, just now or long ago.
        if life.ended == FOREVER:
            with contextlib.suppress(ProcessLookupError):
                os.kill(life.pid, number)


def _kill(libvirtd: Process) -> None:
    """Kill libvirtd; returns when it is gone, which waits for storage that hangs. Raises TimeoutError."""
    libvirtd.signal(signal.SIGKILL)
    libvirtd.wait(UP)


@contextlib.contextmanager
def _hanging(storage: HangingStorage) -> Iterator[None]:
    storage.hang()
    try:
        yield
    finally:
        storage.heal()


@contextlib.contextmanager
def _workers(stage: Stage, most: int) -> Iterator[None]:
    set_most = ("srv-threadpool-set", "libvirtd", "--max-workers")
    stage.lab.virt_admin(*set_most, str(most), timeout=UP)
    try:
        yield
    finally:
        stage.lab.virt_admin(*set_most, str(WORKERS), timeout=UP)


def _were_silent_since(stage: Stage, lives: Iterable[Life], since: float) -> bool:
    """Whether no QEMU has answered since then; those that have ended count."""
    now = time.time()
    return all(life.ended < FOREVER or stage.witness.silent_for(life) >= now - since for life in lives)


def _all_over(calls: Iterable[Call]) -> None:
    for call in calls:
        call.wait()
        if not call.is_over:
            raise TimeoutError("a client does not end")


def _until_done(stage: Stage, life: Life, command: str) -> None:
    """Have something done to a guest, unless that ends."""
    deadline = time.monotonic() + UP
    while life.ended == FOREVER:
        error = stage.clients.run(command, life.uuid)
        if not error or ALREADY in error:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{command} of {life.name}: {error}")
        time.sleep(AGAIN)


def _new_disk(lab: Lab, storage: HangingStorage, life: Life) -> tuple[str, Path]:
    """The target of a further disk of a guest, and the file that describes it; its image is there already."""
    taken = {device.name for device in life.devices if device.kind == DISK}
    target = next(name for name in (f"vd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz") if name not in taken)
    image = storage.images.create()
    xml = lab.work_dir / "guests" / f"{life.uuid}-{target}.xml"
    xml.write_text(
        f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>"
        f"<target dev='{target}' bus='virtio'/></disk>"
    )
    return target, xml
