"""Unpacks a wheel into the folder that a package is made of, with the program that the wheel asks for.

    python3 packaging/unpack_wheel.py WHEEL ROOT MODULES

MODULES is the folder for modules on the machine that gets the package, such as /usr/lib/python3.9/site-packages. It is
none of this machine's, so no tool knows it.
"""

from __future__ import annotations

import sys

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.sources import WheelFile


def unpack(wheel: str, root: str, modules: str) -> None:
    """Unpack a wheel below a root folder."""
    folders = {"purelib": modules, "platlib": modules, "scripts": "/usr/bin", "data": "/usr", "headers": "/usr/include"}
    destination = SchemeDictionaryDestination(folders, "/usr/bin/python3", "posix", destdir=root)
    with WheelFile.open(wheel) as source:
        install(source, destination, {})


if __name__ == "__main__":
    unpack(*sys.argv[1:])
