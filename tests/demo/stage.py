"""The lab or the host that is shown, its collectds, and the hands that do and undo what the story wants."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path

from tests.lab.collectd_daemon import C_PLUGIN, Collectd, python_module
from tests.lab.guests import Guest, RunningGuest
from tests.lab.host import Host
from tests.lab.machine import Lab
from tests.lab.storage import HangingStorage

from . import story

GUESTS = [
    Guest("web-1", tag="web"),
    Guest("web-2", tag="web"),
    Guest("web-3", tag="web", nics=1),
    Guest("db-1", tag="db"),
    Guest("db-2", tag="db", disks=3),
    Guest("build", tag="batch", disks=1, nics=1),
]
FUSE = "/dev/fuse"
CONNECTION = 'Connection "qemu:///system"'


class Stage:
    """A lab with its guests, in which things can go wrong; a context manager that makes everything well at its end.

    Arguments:
        lab: without guests yet.
    """

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._storage: HangingStorage | None = lab.storage("nfs") if can_hang() else None
        running = lab.guests(self._placed(spec) for spec in GUESTS)
        self._guests: dict[str, RunningGuest] = {guest.name: guest for guest in running}
        self._deeds: dict[str, tuple[Callable[[], None], Callable[[], None]]] = {
            story.GUEST: (self._guests[story.STOPPED].freeze, self._guests[story.STOPPED].thaw),
            story.LIBVIRTD: (self._stop_libvirtd, self._continue_libvirtd),
        }
        if self._storage is not None:
            self._deeds[story.STORAGE] = (self._hang, self._storage.heal)
        self._undo = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def acts(self) -> list[story.Act]:
        """Those that can be played here: without FUSE there is no storage that hangs."""
        return [act for act in story.ACTS if act.about in self._deeds]

    def begin(self, about: str) -> None:
        """Let something go wrong."""
        wrong, well = self._deeds[about]
        self._undo.callback(well)
        wrong()

    def end(self) -> None:
        """Make well what went wrong."""
        self._undo.close()

    def _placed(self, spec: Guest) -> Guest:
        if spec.name not in story.ON_STORAGE or self._storage is None:
            return spec
        return dataclasses.replace(spec, storage=self._storage)

    def _hang(self) -> None:
        assert self._storage is not None
        self._storage.hang()
        # Somebody else's question, as a tool for monitoring asks it. It comes back when the storage does.
        self._lab.popen(["virsh", "domblkinfo", story.ASKED, "vda"])

    def _stop_libvirtd(self) -> None:
        os.kill(self._lab.libvirtd_pid, signal.SIGSTOP)

    def _continue_libvirtd(self) -> None:
        os.kill(self._lab.libvirtd_pid, signal.SIGCONT)


def can_hang() -> bool:
    """Tell whether storage that hangs can be served here: in some containers it cannot."""
    try:
        os.close(os.open(FUSE, os.O_RDWR))
    except OSError:
        return False
    return True


def watching(place: Host | Lab, folder: Path, interval: float) -> Collectd:
    """Give a collectd with virt2, to be started.

    Arguments:
        place: where it runs. On the host itself the status socket belongs to the host's own collectd.
        folder: made for it.
        interval: seconds between two reads.
    """
    settings = f"{CONNECTION}\nStatusSocket none" if isinstance(place, Host) else CONNECTION
    return _collectd(place, folder, {"virt2.conf": python_module("virt2", settings)}, interval)


def rival(lab: Lab, folder: Path, interval: float) -> Collectd:
    """Give a collectd with the C plugin and nothing else, to be started beside."""
    return _collectd(lab, folder, {"virt.conf": C_PLUGIN.format(settings="")}, interval)


def _collectd(place: Host | Lab, folder: Path, drop_ins: dict[str, str], interval: float) -> Collectd:
    folder.mkdir()
    return Collectd(place, folder, drop_ins, interval, record=True)
