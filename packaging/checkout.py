"""What man pages take from the documentation of the checkout that this file is in."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> str:
    """Read a page of the checkout."""
    return (ROOT / name).read_text(encoding="utf-8")


def sections(page: str) -> dict[str, str]:
    """Give what stands below each second-level heading of a page, down to the next one."""
    parts = re.split(r"^## (.+)\n", page, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def rows(section: str) -> list[list[str]]:
    """Give the cells of all tables of a section, without their titles."""
    tables = re.findall(r"(?:^|\n)((?:\|.*\n)+)", section)
    lines = [line for table in tables for line in table.splitlines()[2:]]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def date_of(version: str, changelog: str) -> str:
    """Give the day on which a version was made, or the one before it where a package is made of a later commit.

    Raises:
        ValueError: the changelog does not have that version.
    """
    released = version.split("+")[0]
    match = re.search(rf"^## \[{re.escape(released)}\] - (\S+)$", changelog, re.MULTILINE)
    if match is None:
        raise ValueError(f"the changelog has no version {released}")
    return match.group(1)
