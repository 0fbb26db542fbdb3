"""Packaging of virt2. The settings of the tools are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent
# Read, not imported: nothing of virt2 needs to run in order to package it.
VERSION = re.search(r'^VERSION = "([^"]+)"$', (HERE / "virt2/version.py").read_text(encoding="utf-8"), re.M).group(1)


def samples(folder):
    """Give the configuration samples of a folder, as setuptools wants them: relative and with slashes."""
    return sorted(path.relative_to(HERE).as_posix() for path in (HERE / folder).glob("*.conf"))


def long_description():
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.exists() else ""


setup(
    name="virt2",
    version=VERSION,
    description="A collectd plugin for libvirt domains that stays truthful when something below it is stuck",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    author="the virt2 authors",
    license="MIT",
    packages=find_packages(include=["virt2", "virt2.*"]),
    package_data={"virt2": ["types.db"]},
    entry_points={"console_scripts": ["virt2 = virt2.cli.__main__:main"]},
    python_requires=">=3.9",
    # libvirt-python is no requirement: it has to match the system's libvirt and comes with it (python3-libvirt), while
    # pip would build one from source.
    extras_require={"libvirt": ["libvirt-python"]},
    data_files=[
        ("share/virt2/collectd.conf.d", samples("collectd.conf.d")),
        ("share/virt2/collectd.conf.d/examples", samples("collectd.conf.d/examples")),
    ],
    classifiers=[
        "Environment :: Plugins",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: System :: Monitoring",
    ],
)
