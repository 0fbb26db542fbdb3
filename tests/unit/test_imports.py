"""Who may import whom: one door per foreign system, and nothing but the standard library elsewhere."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "virt2"
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py" or path.parent == PACKAGE
}
"""The file of each module, by its name within the package; the wings' own files are docstrings."""
PURE = {
    "description.domainxml",
    "description.filters",
    "description.labels",
    "description.metadata",
    "description.storage",
    "domains.health",
    "errors",
    "metrics.defaults",
    "metrics.extras",
    "metrics.rates",
    "metrics.selectors",
    "model.domain",
    "model.events",
    "notifications.severity",
    "notifications.wording",
    "readers.partition",
    "text.identifiers",
    "text.patterns",
    "text.xpath",
    "workers.sizing",
}
"""Modules that decide: they reach no thread, no clock of their own and no foreign system."""

STANDARD = sys.stdlib_module_names if sys.version_info >= (3, 10) else None
"""The names of the standard library, where Python can tell."""


@functools.cache
def imports(module: str) -> frozenset[str]:
    """Whole names of what a module imports, at its top or anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(found)


def top(names: frozenset[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def importers(name: str) -> set[str]:
    return {module for module in MODULES if name in top(imports(module))}


def own(module: str) -> set[str]:
    """The modules of virt2 that a module imports."""
    names = {name.removeprefix("virt2.") for name in imports(module) if name.startswith("virt2.")}
    return {part for name in names for part in (name, name.rpartition(".")[0])} & set(MODULES)


def test_only_the_package_itself_imports_collectd():
    assert importers("collectd") == {"__init__"}


def test_only_hypervisor_imports_libvirt():
    assert importers("libvirt") == {"sources.hypervisor"}


def test_only_admin_talks_to_libvirt_admin():
    program = "0x06900690"  # the number of its protocol
    assert {module for module in MODULES if program in MODULES[module].read_text()} == {"sources.admin"}


@pytest.mark.parametrize("path", ["-sock", '"/run', '.pid"'])
def test_one_module_says_which_files_of_the_host_belong_to_a_connection(path):
    # procfs is given the folder of the QEMUs' pid files.
    assert {module for module in MODULES if path in MODULES[module].read_text()} - {"sources.procfs"} == {
        "sources.daemon"
    }


def test_only_the_package_itself_imports_plugin():
    assert {module for module in MODULES if "plugin" in own(module)} == {"__init__"}


def test_only_plugin_imports_the_doors():
    for door in ("sources.hypervisor", "sources.admin"):
        assert {module for module in MODULES if door in own(module)} == {"plugin"}


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_module_that_decides_imports_only_its_like(module):
    assert own(module) <= PURE
    assert not top(imports(module)) & {"threading", "queue", "socket", "subprocess", "ctypes", "time", "os"}


@pytest.mark.parametrize("module", MODULES)
def test_everything_else_is_the_standard_library(module):
    foreign = {"virt2", "collectd", "libvirt"}
    standard = STANDARD or {path.stem for path in Path(ast.__file__).parent.iterdir()} | set(sys.builtin_module_names)
    assert top(imports(module)) - foreign <= set(standard)


def test_imports_run_in_no_circle():
    # The package itself registers the plugin, and is left out: it is imported before all others anyway.
    waiting = {module: own(module) for module in MODULES if module != "__init__"}
    while waiting:
        free = {module for module, needed in waiting.items() if not needed & waiting.keys()}
        assert free, f"these import each other: {sorted(waiting)}"
        for module in free:
            del waiting[module]


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
    modules = [module for module in MODULES if module not in ("__init__", "sources.hypervisor", "plugin")]
    program = WITHOUT.format(modules=modules, threads="__import__('threading').enumerate()")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PACKAGE.parent, capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stderr == ""
    assert done.stdout.split()[1:] == ["False", "0"]
