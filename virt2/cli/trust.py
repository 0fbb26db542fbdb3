"""Whose status socket is believed. What counts is who could have put it where it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

ROOT = 0
"""The user that may do everything anyway."""
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def distrust(
    path: str, owner: int, user: int | None = None, look: Callable[[str], os.stat_result] = os.lstat
) -> str | None:
    """Say why a socket is not believed; None where it is.

    It is believed if it is root's or belongs to the user who asks. collectd may run as another user, and root may ask
    there too. Then all folders on the way to the socket have to belong to root or to that user, and nobody else may
    write to them, so that only these two can have put it there.

    Arguments:
        path: of the socket.
        owner: the number of the user that it belongs to, or that listens at it.
        user: the number of the user who asks; None for who runs this.
        look: gives what `os.lstat` does.

    Returns:
        words that follow the path.

    Raises:
        OSError: a folder on the way cannot be looked at.
    """
    user = os.getuid() if user is None else user
    if owner in (ROOT, user):
        return None
    if user != ROOT:
        return f"belongs to neither root nor this user, but to user {owner}, and is not trusted"
    for folder in _on_the_way(path):
        found = look(folder)
        if found.st_uid not in (ROOT, owner):
            return f"belongs to user {owner}, but {folder} to user {found.st_uid}, so it is not trusted"
        if found.st_mode & OTHERS_WRITE and not stat.S_ISLNK(found.st_mode):
            return (
                f"belongs to user {owner}, and others than that user may write to {folder}, so it is not trusted. Give"
                " StatusSocket a path in a folder that only that user may write to"
            )
    return None


def _on_the_way(path: str) -> Iterator[str]:
    """Give all folders that lead to a file, and the links among them."""
    folder = os.path.dirname(os.path.abspath(path))
    ways = dict.fromkeys((folder, os.path.realpath(folder)))
    yield "/"
    for way in ways:
        parts = way.strip("/").split("/")
        for count in range(1, len(parts) + 1):
            if way != "/":
                yield "/" + "/".join(parts[:count])
