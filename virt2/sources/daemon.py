"""Which daemon, which host and which folders belong to a connection URI. Only this module says so.

This host tells things beside libvirt: its processes, its network devices, pid files, the admin socket. They are true of
a connection only where the daemon behind it is this host's own. For every other one (a remote host, the libvirtd of a
container, another driver) these sources are not used.

The order of the daemons is that of libvirt's own client. First comes the daemon that has a driver to itself, where its
socket is there, then the one that listens on the common socket. That may be virtproxyd, which then answers the common
admin socket too, and knows nothing of anybody's workers.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from virt2.sources.procfs import PROC, pid_in, read_stat

RUN_DIR = "/run"
"""Where the system's daemons keep their pid files, and below it, in ``libvirt``, their sockets."""

DAEMONS = {"qemu": "virtqemud", "lxc": "virtlxcd", "xen": "virtxend", "vz": "virtvzd", "ch": "virtchd"}
"""Drivers that live in a daemon, and the daemon that has the driver to itself where libvirt is split into several.
Other drivers (``test``, ``esx``, ...) run inside the client, and use nobody's workers."""
MONOLITHIC = "libvirtd"
"""The daemon that has all drivers."""
CONFIG = "/etc/libvirt/libvirt.conf"
"""Where libvirt's client finds root's aliases of URIs. Those of another user are below that user's home."""

_ALIAS = re.compile(r"[\w.-]+")
"""What an alias consists of. It has no colon, and a URI has one."""
_ALIASES = re.compile(r"^[ \t]*uri_aliases\s*=\s*\[", re.MULTILINE)
_ENTRY = re.compile(r"""[\s,]+|\#[^\n]*|"([^"\n]*)"|'([^'\n]*)'""")
"""What may stand in the list of aliases: something between them, a comment, or an alias in quotes."""


class Daemon(NamedTuple):
    """Identity of a libvirt daemon that runs. One that was restarted compares unequal."""

    name: str
    pid: int
    start: int
    """When its process started, in clock ticks since boot."""


class Server(NamedTuple):
    """Whom to ask for limits: one server of one daemon."""

    path: str
    """The daemon's admin socket."""
    name: str
    """The server inside the daemon that serves ordinary clients. It has the daemon's own name."""


class Place(NamedTuple):
    """Where the daemon behind a connection URI is."""

    daemons: tuple[str, ...]
    """What it may be called, the likeliest first; empty where there is none on this host."""
    sockets: str
    """The folder of its sockets; empty where there is none on this host."""
    pid_files: str
    """The folder of its own pid file; empty where it is not known to be a daemon of this host's."""
    qemu_run_dir: str
    """The folder in which its QEMU driver keeps the pid file and the status file of every running domain; empty where
    it has no such driver, or is not known to be a daemon of this host's."""
    reason: str
    """Why what this host tells of QEMUs does not belong to its domains, in words; empty where it does."""
    admin_socket: str = ""
    """Its admin socket, where the URI names one."""


def place(
    uri: str,
    run_dir: str = RUN_DIR,
    environ: Mapping[str, str] = os.environ,
    exists: Callable[[str], bool] = os.path.exists,
) -> Place:
    """Say where the daemon behind a connection URI is.

    Which of the daemons it is depends on the sockets that are there now, so a later answer may be another one.

    Arguments:
        uri: what libvirt is given; empty means libvirt's default for this user. An admin URI, such as
            ``virtqemud:///system?socket=/some/where``, is accepted as well, and means that daemon only.
        run_dir: where the system's daemons keep their files.
        environ: tells where the user's own daemons keep theirs.
        exists: tells whether a socket is there.
    """
    is_root = os.geteuid() == 0
    uri = uri or ("qemu:///system" if is_root else "qemu:///session")
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        return _elsewhere(f"{uri} is not a URI: {error}")
    driver, _, transport = parts.scheme.partition("+")
    if parts.netloc or transport not in ("", "unix"):
        return _elsewhere(f"{uri} is served over the network")
    is_admin = _is_daemon(driver)
    if not is_admin and (driver not in DAEMONS or parts.path not in ("", "/", "/system", "/session")):
        return _elsewhere(f"{uri} is not served by a libvirt daemon of this host")
    parameters = _parameters(parts.query)
    socket = parameters.get("socket", "")
    # Root has no session: libvirt's client connects it to the system's daemon. The admin interface knows one.
    if parts.path == "/session" and (is_admin or not is_root):
        user = os.path.join(_user_runtime_dir(environ), "libvirt")
        sockets, pid_files, qemu_run_dir = user, user, os.path.join(user, "qemu", "run")
    else:
        sockets = os.path.join(run_dir, "libvirt")
        pid_files, qemu_run_dir = run_dir, os.path.join(sockets, "qemu")
    if is_admin:
        return Place((driver,), sockets, "", "", f"{uri} is an admin URI and has no domains", admin_socket=socket)
    if socket and not _is_made_by(driver, socket, sockets):
        # It may be the socket of another network, file system or host. A forwarded socket does not tell.
        reason = f"{uri} names a socket that is not the one of this host's own libvirt"
        if _is_folder(os.path.dirname(socket), sockets):
            # Then the admin socket beside it is not one of the daemon behind it, either.
            return _elsewhere(reason)
        return Place(_by_name(driver, socket), os.path.dirname(socket), "", "", reason)
    reason = ""
    if driver != "qemu":
        reason = f"{uri} has no QEMUs"
    elif "name" in parameters:
        reason = f"{uri} has the daemon open another URI"
    mode = parameters.get("mode", "auto")
    daemons = _by_name(driver, socket) if socket else _in_order(driver, sockets, mode, exists)
    return Place(daemons, sockets, pid_files, "" if reason else qemu_run_dir, reason)


def resolve(uri: str, config: str = "", environ: Mapping[str, str] = os.environ) -> str:
    """Give the URI that an alias stands for in the configuration of libvirt's client; anything else as it is.

    Arguments:
        uri: what libvirt is given.
        config: the file with the aliases; empty means the one where libvirt looks.
        environ: tells where the user's own configuration is.
    """
    if not _ALIAS.fullmatch(uri):
        return uri
    try:
        with open(config or _config_of_user(environ), encoding="utf-8", errors="replace") as file:
            aliases = _aliases_in(file.read())
    except OSError:
        return uri
    for entry in aliases:
        alias, _, meant = entry.partition("=")
        if alias == uri:
            return meant
    return uri


def identify(there: Place, proc: str = PROC) -> Daemon | None:
    """Identify the daemon that runs there through its pid file; its process must have the daemon's name.

    Gives None where it does not run, or is not known to be this host's.
    """
    for name in there.daemons if there.pid_files else ():
        pid = pid_in(os.fsencode(os.path.join(there.pid_files, f"{name}.pid")))
        stat = read_stat(pid, proc) if pid else None
        if pid and stat and stat.comm == name.encode():
            return Daemon(name, pid, stat.start)
    return None


def admin_servers(
    uri: str,
    run_dir: str = RUN_DIR,
    environ: Mapping[str, str] = os.environ,
    exists: Callable[[str], bool] = os.path.exists,
) -> tuple[tuple[Server, ...], str]:
    """Say who tells the limits of the daemon behind a connection URI, the likeliest first; or in words why nobody does.

    Arguments are those of `place`.
    """
    there = place(uri, run_dir, environ, exists)
    if not there.daemons:
        return (), there.reason
    if there.admin_socket:
        return (Server(there.admin_socket, there.daemons[0]),), ""
    candidates = tuple(Server(_admin_socket(there.sockets, name), name) for name in there.daemons)
    if _is_daemon(uri.partition(":")[0].partition("+")[0]):
        # The operator names this daemon, and has to be told what is wrong with its socket.
        return candidates, ""
    found = tuple(server for server in candidates if exists(server.path))
    if not found:
        return (), f"there is no admin socket of {' or '.join(there.daemons)} in {there.sockets}"
    return found, ""


def client_sockets(there: Place, read_only: bool = True) -> tuple[str, ...]:
    """Give the sockets that libvirt's client may connect to, in its order; none where the daemon is not on this host.

    Arguments:
        there: where the daemon is.
        read_only: whether those for read-only connections are meant, or those for all others.
    """
    suffix = "-ro" if read_only else ""
    prefixes = ("libvirt" if name == MONOLITHIC else name for name in there.daemons if there.sockets)
    return tuple(os.path.join(there.sockets, f"{prefix}-sock{suffix}") for prefix in prefixes)


def _aliases_in(text: str) -> list[str]:
    """Give the entries of the first list of aliases that is complete."""
    for beginning in _ALIASES.finditer(text):
        entries, at = [], beginning.end()
        # One entry after the other. A pattern of the whole list would try all ways to divide it.
        entry = _ENTRY.match(text, at)
        while entry is not None:
            entries.append(entry[1] or entry[2] or "")
            at = entry.end()
            entry = _ENTRY.match(text, at)
        if text.startswith("]", at):
            return entries
    return []


def _is_daemon(scheme: str) -> bool:
    """Whether the scheme of a URI names a daemon, as in an admin URI, and not a driver."""
    return scheme == MONOLITHIC or scheme in DAEMONS.values()


def _elsewhere(reason: str) -> Place:
    return Place((), "", "", "", reason)


def _in_order(driver: str, folder: str, mode: str, exists: Callable[[str], bool]) -> tuple[str, ...]:
    """Which daemon libvirt's client connects to, by the sockets that are there. Without any, either may come."""
    direct = DAEMONS[driver]
    if mode == "direct":
        return (direct,)
    if mode == "legacy":
        return (MONOLITHIC,)
    if _listens(folder, direct, exists):
        return (direct,)
    if _listens(folder, MONOLITHIC, exists):
        return (MONOLITHIC,)
    return (direct, MONOLITHIC)


def _parameters(query: str) -> dict[str, str]:
    """Read the parameters of a URI as libvirt does: either sign parts them, case is ignored, the last one counts."""
    pairs = (part.partition("=") for part in re.split("[&;]", query))
    return {unquote(name).lower(): unquote(value) for name, _, value in pairs if name}


def _is_made_by(driver: str, socket: str, folder: str) -> bool:
    """Whether a socket is one that the driver's daemons make in that folder. Another one there may be forwarded."""
    names = {f"{prefix}-sock{suffix}" for prefix in ("libvirt", DAEMONS[driver]) for suffix in ("", "-ro")}
    return os.path.basename(socket) in names and _is_folder(os.path.dirname(socket), folder)


def _is_folder(one: str, other: str) -> bool:
    """Whether two paths lead to one folder. Paths that read alike may not, for example below ``/proc/PID/root``."""
    if os.path.normpath(one) == os.path.normpath(other):
        return True
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        # Text from a URI may be the name of no file at all.
        return False


def _listens(folder: str, daemon: str, exists: Callable[[str], bool]) -> bool:
    """Whether a socket of the daemon's is there, for read-only or for other clients."""
    there = Place((daemon,), folder, "", "", "")
    return any(exists(path) for only in (True, False) for path in client_sockets(there, only))


def _by_name(driver: str, socket: str) -> tuple[str, ...]:
    """Which daemon has a socket, by the socket's name. Where that says nothing, it may be either."""
    name, direct = os.path.basename(socket), DAEMONS[driver]
    if name.startswith(f"{direct}-"):
        return (direct,)
    return (MONOLITHIC,) if name.startswith("libvirt-") else (direct, MONOLITHIC)


def _admin_socket(folder: str, daemon: str) -> str:
    return os.path.join(folder, "libvirt-admin-sock" if daemon == MONOLITHIC else f"{daemon}-admin-sock")


def _user_runtime_dir(environ: Mapping[str, str]) -> str:
    """The folder that GLib, and so libvirt, takes for the user's sockets."""
    return environ.get("XDG_RUNTIME_DIR") or environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")


def _config_of_user(environ: Mapping[str, str]) -> str:
    if os.geteuid() == 0:
        return CONFIG
    folder = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(folder, "libvirt", "libvirt.conf")
