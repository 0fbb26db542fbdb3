"""Whether collectd finds what its configuration names: its plugins, the Python, virt2 itself, and its types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from virt2.agents.guestinfo import FILE_SYSTEM, FS_INFO
from virt2.cli.effective import Effective
from virt2.cli.findings import ERROR, NOTE, WARNING, Finding
from virt2.cli.host import Plugins, Python
from virt2.config.reading import Line
from virt2.config.settings import Settings
from virt2.text.printable import printable, quoted
from virt2.text.similar import most_similar
from virt2.version import VERSION

ALWAYS = frozenset(
    {
        *("virt_cpu_total", "memory", "disk_octets", "disk_ops", "if_octets", "if_packets", "if_errors", "if_dropped"),
        *("duration", "gauge"),
    }
)
"""The types of what virt2 always reports. All of them are in collectd's own types.db."""


class TypesDb(NamedTuple):
    """One types.db."""

    path: str
    at: Line | None
    """The TypesDB line that names it; None for collectd's own."""
    types: frozenset[str]
    problem: str
    """Why it could not be read, in words; empty where it could."""


def plugin_files(collectd: Effective, plugins: Plugins | None) -> Iterator[Finding]:
    """Look for the plugins that are loaded."""
    if plugins is None:
        folder = collectd.text("PluginDir")
        where = f"in {printable(folder, 200)}" if folder else "on this host"
        what = f"collectd's plugins are not found {where}"
        todo = "Correct PluginDir." if folder else "Install collectd (collectd-core on Debian), or set PluginDir."
        yield Finding(ERROR if folder else NOTE, what, todo, collectd.line("PluginDir"))
        return
    for name, loading in collectd.loaded.items():
        if name in plugins.names:
            continue
        if name == "virt2":
            todo = "virt2 is a Python module: write LoadPlugin python, and use collectd.conf.d/virt2.conf."
        elif name == "python":
            todo = "Install it. On Fedora and its relatives it is in the package collectd-python."
        else:
            similar = most_similar(name, plugins.names)
            todo = f"The most similar plugin is {similar}." if similar else "Install it, or remove this line."
        what = f"there is no plugin {quoted(name)} in {plugins.folder}; collectd does not start with this"
        yield Finding(ERROR, what, todo, loading.at)


def modules(collectd: Effective, python: Python | None, versions: Mapping[str, str | None]) -> Iterator[Finding]:
    """Look whether virt2 and libvirt's binding are found by the Python that collectd embeds.

    Args:
        python: what that tells of itself; None where nothing is known of it.
        versions: for each folder of ModulePath and of Python's own path, the version of the virt2 in it; None where
            it has none.
    """
    if python is not None and not python.loads:
        package = f"libpython{python.version}"
        what = f"collectd's python plugin needs {python.library}, which is not installed; collectd does not start"
        yield Finding(ERROR, what, f"Install {package} (its name on Debian).", _loaded(collectd))
    if collectd.imported is None:
        return
    for folder, at in collectd.paths:
        if versions.get(folder) is None:
            what = f"there is no virt2 in ModulePath {printable(folder, 200)}"
            todo = "Name the folder that has the folder virt2 in it."
            yield Finding(NOTE, what, todo, at)
    if python is None:
        return
    folders = [folder for folder, _ in collectd.paths] + list(python.path)
    found = [(folder, versions.get(folder)) for folder in folders if versions.get(folder) is not None]
    if not found:
        yield Finding(
            ERROR,
            f"Python {python.version}, which collectd embeds, finds no virt2, so this Import fails; collectd does not"
            " start with this",
            'Put ModulePath "FOLDER" above the Import, with the folder that has the folder virt2 in it.',
            collectd.imported,
        )
    elif found[0][1] and found[0][1] != VERSION:
        folder, version = found[0]
        what = f"collectd loads virt2 {version} from {printable(folder, 200)}, and this command is of version {VERSION}"
        yield Finding(WARNING, what, "Install the same version of both.", collectd.imported)
    if not python.has_libvirt:
        yield Finding(
            ERROR,
            f"Python {python.version}, which collectd embeds, finds no binding of libvirt, so this Import fails;"
            " collectd does not start with this",
            "Install python3-libvirt (libvirt-python from a wheel needs a ModulePath of its own).",
            collectd.imported,
        )


def types(collectd: Effective, settings: Settings, dbs: Sequence[TypesDb]) -> Iterator[Finding]:
    """Look for the types that virt2 needs.

    Args:
        dbs: the files that are read; none where collectd's own is not found and no other is named.
    """
    known: set[str] = set()
    for db in dbs:
        known |= db.types
        if db.problem:
            what = f"{printable(db.path, 200)} cannot be read: {db.problem}. Values of its types are thrown away"
            yield Finding(ERROR, what, "Correct the path.", db.at)
    missing = sorted(ALWAYS - known)
    named = [db for db in dbs if db.at is not None]
    if missing and named:
        yield Finding(
            ERROR,
            f"no types.db that is named has {', '.join(missing)}, and values of these types are thrown away. The first"
            " TypesDB line replaces collectd's own file",
            'Add collectd\'s own file, such as TypesDB "/usr/share/collectd/types.db".',
            named[0].at,
        )
    if FS_INFO in settings.extra_stats and FILE_SYSTEM not in known and dbs:
        yield Finding(
            ERROR,
            f"{FS_INFO} is left out, because no types.db has the type {FILE_SYSTEM}",
            "Name both files with TypesDB: collectd's own, and the types.db in virt2's folder.",
            named[0].at if named else None,
        )


def _loaded(collectd: Effective) -> Line | None:
    loading = collectd.loaded.get("python")
    return None if loading is None else loading.at
