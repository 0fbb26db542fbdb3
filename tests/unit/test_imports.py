"""Who may import whom: what each wing may import, one door per foreign system, and what collectd's import reaches.

A failure names the line that breaks one.
"""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[2] / "virt2"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" or path.parent == PACKAGE
}
"""The file of each module, by its name within the package; the wings' own files are docstrings."""

FREE = {"errors", "threads", "once", "version"}
"""What every module may import."""
WINGS: dict[str, set[str]] = {
    "model": set(),
    "text": set(),
    "workers": set(),
    "metrics": {"model", "text"},
    "config": {"text", "metrics"},
    "sources": {"model"},
    "description": {"model", "text"},
    "output": {"model", "text", "metrics"},
    "domains": {"model", "workers"},
    "notifications": {"model", "text", "output", "domains"},
    "readers": {"model", "text", "metrics", "workers", "output", "domains", "notifications"},
    "agents": {"model", "text", "metrics", "workers", "output", "domains", "notifications", "readers"},
    "status": {"model", "text", "metrics", "workers", "output", "domains", "notifications", "readers"},
    # Modules beside the wings.
    "parts": set(),
    "capacity": {"model", "metrics", "workers", "output"},
    "assembly": {
        *("model", "text", "workers", "metrics", "config", "sources", "description", "output", "domains"),
        *("notifications", "readers", "agents", "status", "capacity", "parts"),
    },
    "plugin": {"assembly", "parts", "config", "output"},
    # `status` is the wing of the plugin that answers the command.
    "cli": {
        *("model", "text", "workers", "metrics", "config", "sources", "description", "output", "domains"),
        *("notifications", "readers", "agents", "capacity", "parts", "assembly", "status"),
    },
    "__init__": {"plugin"},
    "errors": set(),
    "threads": set(),
    "once": set(),
    "version": set(),
}
"""What the modules of each wing may import besides their own wing and what is free to all."""

PURE = {"model", "text", "metrics", "description", "config"}
"""Wings that decide: nothing in them reaches a thread, a clock, a socket or a file."""
PURE_MODULES = {"status.answers", "status.building", "status.snapshot", "status.story", "status.wire"}
"""Modules of other wings that decide as well."""
IMPURE = {"threading", "queue", "socket", "subprocess", "ctypes", "time", "os", "select", "selectors", "asyncio", "io"}
"""Modules of the standard library that reach these."""


class Import(NamedTuple):
    """One line that imports something."""

    place: str
    """File and number of the line."""
    name: str
    """What is imported: whole, such as ``virt2.model.domain`` or ``os.path``."""

    @property
    def top(self) -> str:
        return self.name.split(".")[0]

    @property
    def own(self) -> str | None:
        """The module of virt2 that is imported, None for anything else."""
        name = self.name[len("virt2.") :] if self.top == "virt2" else ""
        return next((one for one in (name, name.rpartition(".")[0]) if one in MODULES), None)


def wing_of(module: str) -> str:
    """The wing of a module; a module beside the wings is its own."""
    return module.split(".")[0]


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """What a module imports, at its top or anywhere in it."""
    found = []
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        place = f"virt2/{MODULES[module].relative_to(PACKAGE)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            found += [Import(place, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place} imports relatively"
            found += [Import(place, f"{node.module}.{alias.name}") for alias in node.names]
    return tuple(found)


def standard_library() -> set[str]:
    """The names of its modules."""
    if sys.version_info >= (3, 10):
        return set(sys.stdlib_module_names)
    return {path.stem for path in Path(ast.__file__).parent.iterdir()} | set(sys.builtin_module_names)


def own(module: str) -> set[str]:
    """The modules of virt2 that a module imports."""
    return {line.own for line in imports(module) if line.own}


def importers(name: str) -> set[str]:
    return {module for module in MODULES if any(line.top == name for line in imports(module))}


def containing(text: str) -> set[str]:
    return {module for module, path in MODULES.items() if text in path.read_text()}


def breaches(module: str) -> Iterator[str]:
    """Lines of a module that import what its wing may not."""
    wing = wing_of(module)
    allowed = WINGS[wing] | FREE | {wing}
    for line in imports(module):
        if line.own and wing_of(line.own) not in allowed:
            may = ", ".join(sorted(WINGS[wing])) or "nothing"
            yield f"{line.place} imports {line.own}, but {wing} may import {may}"
        if (wing in PURE or module in PURE_MODULES) and line.top in IMPURE and line.name != "os.PathLike":
            pure = wing if wing in PURE else module
            yield f"{line.place} imports {line.name}, but {pure} reaches no thread, clock, socket or file"


def test_every_wing_has_its_rule():
    assert {wing_of(module) for module in MODULES} <= set(WINGS)


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_what_its_wing_may(module):
    assert list(breaches(module)) == []


@pytest.mark.parametrize(
    ("module", "source", "told"),
    [
        ("model.domain", "import threading\n", "virt2/model/domain.py:1 imports threading, but model reaches"),
        ("text.xpath", "\nfrom virt2.model.domain import Disk\n", "virt2/text/xpath.py:2 imports model.domain"),
        ("workers.pool", "def f():\n    from virt2.readers import reader\n", "virt2/workers/pool.py:2 imports readers"),
        ("sources.admin", "from virt2 import plugin\n", "virt2/sources/admin.py:1 imports plugin, but sources may"),
        ("status.answers", "import time\n", "virt2/status/answers.py:1 imports time, but status.answers reaches"),
    ],
)
def test_a_line_that_breaks_the_rule_is_named(tmp_path, monkeypatch, module, source, told):
    class Changed(type(Path())):
        def read_text(self, *_arguments, **_options):
            return source

    imports.cache_clear()
    with monkeypatch.context() as context:
        context.setitem(MODULES, module, Changed(MODULES[module]))
        (line,) = breaches(module)
    imports.cache_clear()
    assert line.startswith(told)


def test_a_pure_module_opens_no_file():
    for module, path in MODULES.items():
        if wing_of(module) in PURE or module in PURE_MODULES:
            calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
            names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
            assert not names & {"open", "print", "input", "__import__"}, module


def test_only_the_package_itself_imports_collectd():
    assert importers("collectd") == {"__init__"}


def test_only_the_door_imports_libvirt():
    assert {wing_of(module) for module in importers("libvirt")} == {"sources"}


def test_one_module_talks_to_libvirt_admin():
    # The number of its protocol.
    assert containing("0x06900690") == {"sources.admin"}


@pytest.mark.parametrize(
    ("path", "others"),
    [
        # The views have an option --socket, of virt2's own socket.
        ("-sock", {"cli.word"}),
        # The default of an option is a path, and belongs to no connection.
        ('"/run', {"config.settings"}),
        # procfs is given the folder of the QEMUs' pid files, and collectd has a pid file of its own.
        ('.pid"', {"sources.procfs", "cli.host"}),
        ("geteuid", set()),
        ("XDG_", set()),
    ],
)
def test_one_module_says_which_files_of_the_host_belong_to_a_connection(path, others):
    assert containing(path) == {"sources.daemon"} | others


@pytest.mark.parametrize("module", MODULES)
def test_everything_else_is_the_standard_library(module):
    known = standard_library() | {"virt2", "collectd", "libvirt"}
    # The command may use what is packaged on every release that it is for; collectd never loads it.
    known |= {"rich"} if wing_of(module) == "cli" else set()
    assert [line for line in imports(module) if line.top not in known] == []


def test_imports_run_in_no_circle():
    # The package itself registers the plugin, and is left out: it is imported before all others anyway.
    waiting = {module: own(module) for module in MODULES if module != "__init__"}
    while waiting:
        free = {module for module, needed in waiting.items() if not needed & waiting.keys()}
        assert free, f"these import each other: {sorted(waiting)}"
        for module in free:
            del waiting[module]


LIGHT = """
import sys
import types

class AnyName(types.ModuleType):
    def __getattr__(self, name):
        return type(name, (), {})

before = set(sys.modules)
sys.modules["libvirt"] = AnyName("libvirt")
import virt2.plugin
print(*sorted({name.split(".")[0] for name in set(sys.modules) - before}))
"""


def test_what_collectd_imports_is_the_standard_library_and_libvirt():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=20, check=True
    )
    # What begins with an underscore is a part of the standard library that not every list of it has.
    loaded = {name for name in done.stdout.split() if not name.startswith("_")}
    assert {"virt2", "libvirt"} <= loaded
    assert loaded - standard_library() == {"virt2", "libvirt"}
    # These take memory that nobody needs. `xml.sax.saxutils` alone brought those of the first line: 4 to 8 MiB.
    assert loaded & {"asyncio", "email", "html", "http", "ssl", "subprocess"} == set()
    assert loaded & {"dataclasses", "difflib", "inspect", "pathlib"} == set()


WITHOUT = """
import sys
for absent in ("collectd", "libvirt"):
    sys.modules[absent] = None
import virt2
import importlib
for module in {modules!r}:
    importlib.import_module("virt2." + module)
print(virt2.__version__, "plugin" in dir(virt2), sum(thread.name != "MainThread" for thread in {threads}))
"""


def test_without_collectd_and_libvirt_all_but_the_doors_can_be_imported_and_start_nothing():
    heavy = importers("libvirt")
    while True:
        more = {module for module in MODULES if module != "__init__" and own(module) & heavy} - heavy
        if not more:
            break
        heavy |= more
    assert "plugin" in heavy
    modules = [module for module in MODULES if module not in heavy and module != "__init__"]
    assert len(modules) > 50
    program = WITHOUT.format(modules=modules, threads="__import__('threading').enumerate()")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    assert done.stdout.split()[1:] == ["False", "0"]
