"""Looks at this host for ``virt2 check``: at collectd's files, at libvirt, and at what may be seen of the domains."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from typing import NamedTuple

from virt2 import errors
from virt2.cli import asking, commands, host, quiet
from virt2.cli.bounded import Look
from virt2.cli.effective import Effective
from virt2.cli.findings import ERROR, NOTE, WARNING, Finding
from virt2.cli.rules import domains, files, rights, threads, versions
from virt2.config.reading import Line, Traced
from virt2.config.settings import Settings
from virt2.errors import AdminUnavailable
from virt2.model.domain import Domain
from virt2.model.known_bad import BINDING, CLIENT, DAEMON
from virt2.sources import admin, daemon, procfs

ADMIN = 1.0
"""Seconds that libvirtd has for each step when it is asked for its limits. It takes a millisecond."""


_FILES_HANG = Finding(
    WARNING,
    "the files of collectd and of its Python could not be looked at in time",
    "Look whether /usr is on storage that hangs.",
)


LEAVE = 0.5
"""Seconds before the end from which no more domains are described, because a last one may take a moment."""


class _Files(NamedTuple):
    """What the files of this host tell."""

    plugins: host.Plugins | None
    python: host.Python | None
    versions: dict[str, str | None]
    """By folder, as `virt2.cli.rules.files.modules` takes it."""
    types: tuple[files.TypesDb, ...]


class Survey:
    """Looks at this host, each thing on a thread of its own, all at the same time.

    Arguments:
        collectd, settings: the configuration.
        until: the moment on the monotonic clock until which all this is waited for.
    """

    def __init__(self, collectd: Effective, settings: Settings, until: float) -> None:
        quiet.hush()
        self._until = until
        self._collectd = collectd
        self._settings = settings
        self.about = ""
        """What was looked at, in a sentence."""
        self._told = asking.Told()
        self._uri = daemon.resolve(settings.connection)
        self._place = daemon.place(self._uri)
        self._not_asked = asking.not_asked(self._uri)
        self._domains: tuple[Domain, ...] | None = None
        """The domains that are reported; None where libvirt did not tell all in time."""
        self._files = Look("files", self._look_at_files)
        self._libvirt = None if self._not_asked else Look("libvirt", self._ask)
        self._admin = Look("admin", self._ask_admin)
        self._processes = Look("look", self._look_at_processes)

    def __repr__(self) -> str:
        return f"<Survey {self._uri}>"

    def findings(self, traced: Traced) -> Iterator[Finding]:
        """Give what is wrong, with what has answered in time."""
        looked, python = None, None
        try:
            looked = self._files.result(self._until)
        except TimeoutError:
            yield _FILES_HANG
        if looked is not None:
            python = looked.python
            yield from files.plugin_files(self._collectd, looked.plugins)
            yield from files.modules(self._collectd, python, looked.versions)
            yield from files.types(self._collectd, self._settings, looked.types)
        yield from self._of_libvirt(traced)
        yield from threads.read_threads(self._collectd, self._settings, self._domains)
        if self._domains is not None:
            yield from self._of_rights()
        told = {
            DAEMON: self._told.daemon,
            CLIENT: self._told.client,
            BINDING: python.binding if python is not None else "",
        }
        yield from versions.versions(told, self._settings)

    def _of_libvirt(self, traced: Traced) -> Iterator[Finding]:
        at = traced.lines.get(("Connection",))
        if self._libvirt is None:
            what = f"libvirt was not asked: {self._not_asked}. So filters, tags, names and versions were not looked at"
            yield Finding(NOTE, what, "Run this on that host, with its own configuration.", at)
            return
        try:
            self._libvirt.result(self._until)
            self._domains = self._told.domains
        except TimeoutError:
            what = f"libvirt at {self._uri} did not answer in time while {self._told.doing}"
            yield Finding(ERROR, what, commands.UNFREEZE, at)
        except ImportError as error:
            what = f"libvirt was not asked, because this Python ({sys.executable}) cannot load its binding: {error}"
            todo = "Install python3-libvirt, and run this with the system's Python: /usr/bin/python3 -m virt2.cli."
            yield Finding(ERROR, what, todo, at, incomplete=True)
        except errors.Disconnected as error:
            yield Finding(ERROR, f"libvirt at {self._uri} cannot be reached: {_plain(error)}", self._reach(), at)
        except errors.Error as error:
            yield Finding(
                ERROR, f"libvirt at {self._uri} answers with an error: {_plain(error)}", commands.UNFREEZE, at
            )
        yield from self._of_domains(traced)

    def _of_domains(self, traced: Traced) -> Iterator[Finding]:
        told = self._told
        if self._domains is None:
            return
        self.about = f"{self._uri} has {_count(len(self._domains))} that virt2 reports."
        hostname = self._collectd.text("Hostname") or socket.gethostname()
        yield from domains.identities(self._settings, traced.lines, self._domains, hostname)
        settings, names = self._settings, told.names
        of_devices = (*settings.block_devices, *settings.interface_devices, *settings.explicit_instances)
        if names is None or not (settings.domains or of_devices):
            return
        if not names.domains.names:
            what = "no domain runs, so filters and tags were compared with nothing"
            yield Finding(NOTE, what, "Run this again when domains run.")
            return
        yield from domains.filters(settings, traced.lines, names, told.inactive)
        if names.are_complete:
            yield from domains.tags(settings, traced.lines, self._domains)
        elif of_devices:
            why = told.undescribed or "not all domains could be described"
            what = f"disks, interfaces and tags were not compared with the configuration, because {why}"
            yield Finding(NOTE, what, "Run this as root, or again later.")

    def _of_rights(self) -> Iterator[Finding]:
        refused, unseen = "", ""
        if self._place.reason:
            what = f"{self._place.reason}: so this host's processes and network devices are not looked at"
            yield Finding(NOTE, what, "Nothing, if that is meant. CPU time and interfaces are then asked of libvirt.")
        else:
            try:
                self._admin.result(self._until)
            except TimeoutError:
                refused = "it did not answer in time"
            except AdminUnavailable as error:
                refused = error.reason
            try:
                unseen = self._processes.result(self._until) if self._settings.host_pre_scan else ""
            except TimeoutError:
                unseen = "they could not be looked at in time"
        sockets = daemon.client_sockets(self._place, read_only=False)
        there = [path for path in sockets if os.path.exists(path)]
        found = rights.Rights(
            user=host.own_user(),
            daemon_user=host.daemon_user(self._collectd.text("PIDFile")),
            admin=refused,
            processes=unseen,
            read_write=there[0] if there and not host.is_writable(there[0]) else "",
            selinux=host.enforces_selinux(),
        )
        yield from rights.rights(found, frozenset(self._settings.extra_stats))

    def _reach(self) -> str:
        """Say what to do where libvirt cannot be reached."""
        if "socket=" in self._uri.lower():
            return "Look whether that socket is there and its daemon runs, or correct Connection."
        sockets = daemon.client_sockets(self._place)
        if not sockets:
            return "Correct Connection, or look whether that host can be reached."
        there = [path for path in sockets if os.path.exists(path)]
        if not there:
            return (
                f"Start it: neither {' nor '.join(sockets)} is there."
                if len(sockets) > 1
                else f"Start it: {sockets[0]} is not there."
            )
        if not host.is_writable(there[0]):
            return (
                f"{host.own_user()} may not use {there[0]}: run this as root, or make it a member of the group libvirt."
            )
        return "Look whether it runs, such as with: systemctl status libvirtd virtqemud."

    def _ask(self) -> None:
        asking.ask(self._settings, self._told, self._until - LEAVE)

    def _ask_admin(self) -> None:
        if not self._place.reason:
            admin.read_limits(self._settings.admin_connection or self._uri, ADMIN)

    def _look_at_processes(self) -> str:
        run_dir = self._place.qemu_run_dir
        return procfs.Processes(run_dir).problem() if run_dir else ""

    def _look_at_files(self) -> _Files:
        plugins = host.plugins(self._collectd.text("PluginDir"))
        python = host.embedded_python(plugins.folder) if plugins is not None else None
        folders = [folder for folder, _ in self._collectd.paths] + list(python.path if python is not None else ())
        return _Files(plugins, python, {folder: host.version_in(folder) for folder in folders}, self._types())

    def _types(self) -> tuple[files.TypesDb, ...]:
        named: list[tuple[str, Line | None]] = [
            (value, node.at) for node in self._collectd.types for value in node.values if isinstance(value, str)
        ]
        if not self._collectd.types:
            named += [(path, None) for path in host.TYPES_DBS if os.path.exists(path)][:1]
        read = []
        for path, at in named:
            try:
                read.append(files.TypesDb(path, at, host.types_in(path), ""))
            except OSError as error:
                read.append(files.TypesDb(path, at, frozenset(), error.strerror or str(error)))
        return tuple(read)


def plugins_alone(collectd: Effective, until: float) -> Iterator[Finding]:
    """Look only for collectd's plugins, where nothing of a configuration reaches virt2.

    Args:
        until: a moment on the monotonic clock, at which this is given up.
    """
    look = Look("files", lambda: host.plugins(collectd.text("PluginDir")))
    try:
        yield from files.plugin_files(collectd, look.result(until))
    except TimeoutError:
        yield _FILES_HANG


def _count(number: int) -> str:
    return f"{number} running domain" + ("" if number == 1 else "s")


def _plain(error: errors.Error) -> str:
    return str(error).strip().rstrip(".")
