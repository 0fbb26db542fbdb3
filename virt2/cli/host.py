"""What the files of this host tell of its collectd: plugins, the Python that it embeds, types, users and rights."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from virt2.sources import procfs

PLUGIN_DIRS = (
    "/usr/lib/collectd",
    "/usr/lib64/collectd",
    "/usr/lib/x86_64-linux-gnu/collectd",
    "/usr/lib/aarch64-linux-gnu/collectd",
    "/opt/collectd/lib/collectd",
)
"""Where distributions, and collectd's own build, have its plugins."""
TYPES_DBS = ("/usr/share/collectd/types.db", "/opt/collectd/share/collectd/types.db")
"""Where they have the types of collectd."""
PID_FILES = ("/var/run/collectd.pid", "/var/run/collectd/collectd.pid", "/opt/collectd/var/run/collectd.pid")
"""Where collectd writes its number, unless PIDFile says otherwise."""
ENFORCE = "/sys/fs/selinux/enforce"
"""Whether SELinux forbids what its policy does not allow."""

PROGRAMS = ("/usr/bin/python{}", "/usr/local/bin/python{}")
"""The program of the Python of some version, which has the same path as the library."""

MOST_TYPES_BYTES = 4 << 20
PROBE = 2.0
"""Seconds that the system's Python has to tell of itself. It takes 0.05 s."""

_LIBRARY = re.compile(rb"libpython(3\.[0-9]+)[0-9a-z.]*\.so[0-9.]*")
_TYPE = re.compile(rb"^[ \t]*([^\s#]+)[ \t]+\S", re.MULTILINE)
_TELL = """
import ctypes, importlib.util, json, sys
library, found = sys.argv[1], {"path": [folder for folder in sys.path if folder]}
try:
    if library:
        ctypes.CDLL(library)
    found["loads"] = True
except OSError:
    found["loads"] = False
found["libvirt"] = importlib.util.find_spec("libvirt") is not None
found["binding"] = ""
try:
    from importlib.metadata import version
    found["binding"] = version("libvirt-python")
except Exception:
    pass
print(json.dumps(found))
"""


class Python(NamedTuple):
    """The Python that collectd embeds."""

    version: str
    """Such as ``3.11``."""
    library: str
    """The file of the C library that the plugin needs; empty where it needs none."""
    loads: bool
    """Whether the system has that library."""
    path: tuple[str, ...]
    """The folders in which it looks for modules."""
    has_libvirt: bool
    """Whether it finds the binding of libvirt."""
    binding: str
    """The version of that; empty where it does not tell."""


class Plugins(NamedTuple):
    """The folder of collectd's plugins."""

    folder: str
    names: frozenset[str]
    """The plugins in it, in lower case."""


def plugins(folder: str = "") -> Plugins | None:
    """List collectd's plugins; None where there is no such folder.

    Arguments:
        folder: what PluginDir says; empty for where distributions have it.
    """
    for candidate in (folder,) if folder else PLUGIN_DIRS:
        with contextlib.suppress(OSError):
            names = os.listdir(candidate)
            return Plugins(candidate, frozenset(name[:-3].lower() for name in names if name.endswith(".so")))
    return None


def embedded_python(folder: str) -> Python | None:
    """Ask the Python that collectd's python plugin embeds about itself; None where that cannot be found out."""
    try:
        with open(os.path.join(folder, "python.so"), "rb") as file:
            needs = _LIBRARY.search(file.read(16 << 20))
    except OSError:
        return None
    if needs is None:
        return None
    version, library = needs.group(1).decode(), needs.group().decode()
    own = ".".join(map(str, sys.version_info[:2]))
    programs = [program.format(version) for program in PROGRAMS]
    for program in (*programs, *([sys.executable] if version == own else ())):
        told = _tell(program, library)
        if told is not None:
            return Python(
                version,
                library,
                bool(told.get("loads")),
                tuple(map(str, told.get("path", ()))),
                bool(told.get("libvirt")),
                str(told.get("binding", "")),
            )
    return None


def _tell(program: str, library: str) -> dict[str, Sequence[str]] | None:
    # Isolated, because collectd's Python has neither this folder nor this user's on its path.
    command = [program, "-I", "-c", _TELL, library]
    try:
        done = subprocess.run(command, capture_output=True, timeout=PROBE, stdin=subprocess.DEVNULL, check=True)
        told = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return told if isinstance(told, dict) else None


def types_in(path: str) -> frozenset[str]:
    """Read the names of the types in a types.db.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        text = file.read(MOST_TYPES_BYTES)
    return frozenset(name.decode("utf-8", "replace") for name in _TYPE.findall(text))


def version_in(folder: str) -> str | None:
    """Give the version of the virt2 in a folder of Python's path; None where there is none there.

    The version is empty where it cannot be told.
    """
    if not os.path.exists(os.path.join(folder, "virt2", "__init__.py")):
        return None
    with contextlib.suppress(OSError), open(os.path.join(folder, "virt2", "version.py"), "rb") as file:
        found = re.search(rb'^VERSION = "([0-9a-z.]{1,20})"', file.read(4096), re.MULTILINE)
        if found is not None:
            return found.group(1).decode()
    return ""


def own_user() -> str:
    """Give the name of the user that runs this."""
    return _name_of(os.getuid())


def daemon_user(pid_file: str = "", proc: str = procfs.PROC) -> str:
    """Give the name of the user that collectd runs as; empty where none runs, or it cannot be told.

    Arguments:
        pid_file: what PIDFile says; empty for where distributions have it.
        proc: where procfs is mounted.
    """
    for path in (pid_file,) if pid_file else PID_FILES:
        pid = procfs.pid_in(os.fsencode(path))
        stat = procfs.read_stat(pid, proc) if pid else None
        if pid and stat is not None and stat.comm == b"collectd":
            with contextlib.suppress(OSError):
                return _name_of(os.stat(f"{proc}/{pid}").st_uid)
    return ""


def enforces_selinux(path: str = ENFORCE) -> bool:
    """Whether SELinux is on and enforcing."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(1) == b"1"
    return False


def is_writable(path: str) -> bool:
    """Whether this user may connect to a socket, as far as its permissions tell."""
    return os.access(path, os.W_OK)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
