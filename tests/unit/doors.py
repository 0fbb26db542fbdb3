"""The modules that import libvirt, loaded once more for a stand-in: libvirt itself need not be there."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import virt2.sources

FOLDER = Path(virt2.sources.__file__).parent
STEMS = tuple(path.stem for path in sorted(FOLDER.glob("*.py")) if "\nimport libvirt\n" in path.read_text())
"""The modules of `virt2.sources` that import libvirt."""


class LibvirtError(Exception):
    """What a stand-in raises."""

    def __init__(self, code: int | None, domain: int, message: str) -> None:
        super().__init__(message)
        self._code, self._domain, self._message = code, domain, message

    def get_error_code(self) -> int | None:
        return self._code

    def get_error_domain(self) -> int:
        return self._domain

    def get_error_message(self) -> str:
        return self._message


def load(constants: Mapping[str, int], **others: object) -> dict[str, Any]:
    """Load these modules for a libvirt-python that knows these names; gives them by their stems.

    They see the stand-in and each other. Everybody else goes on seeing what was there before.
    """
    stand_in = ModuleType("libvirt")
    vars(stand_in).update({"virDomain": object, **constants, **others}, libvirtError=LibvirtError)
    names = {stem: f"virt2.sources.{stem}" for stem in STEMS}
    # The package has each of its modules as an attribute, besides.
    with _without(sys.modules, {"libvirt", *names.values()}), _without(vars(virt2.sources), set(STEMS)):
        sys.modules["libvirt"] = stand_in
        return {stem: importlib.import_module(name) for stem, name in names.items()}


@contextmanager
def _without(names: dict[str, Any], left_out: set[str]) -> Iterator[None]:
    """Take some names out of a dictionary; afterwards they are what they were."""
    before = {name: names.pop(name) for name in left_out if name in names}
    try:
        yield
    finally:
        for name in left_out:
            names.pop(name, None)
        names.update(before)
