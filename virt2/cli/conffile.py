"""Reads collectd's configuration from its files, as collectd itself does.

A path may be a file, or a folder, whose files and folders are read in the order of their names. Names that begin with a
dot are left out. ``Include`` brings in other files where it stands at the top of a file. Its path is expanded as by a
shell, and so is the name of every file in a folder, which is why a file whose name has a blank is not read.

collectd does not start if a file cannot be read. But it leaves out a file of a folder, and starts without that.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from virt2.cli import libc, syntax
from virt2.cli.findings import ERROR, NOTE, WARNING, Finding
from virt2.cli.syntax import Node
from virt2.config.reading import Line
from virt2.text.printable import printable, quoted

USUAL = ("/etc/collectd/collectd.conf", "/etc/collectd.conf", "/opt/collectd/etc/collectd.conf")
"""Where distributions, and collectd's own build, have the configuration."""

MOST_BYTES = 1 << 20
"""Most bytes of all files together. The configurations of large sites have some hundred thousand."""
MOST_FILES = 1000
"""Most files and folders that are read."""
DEEPEST_INCLUDE = 8
"""From this depth of Include on, collectd gives up."""
LONGEST_NAME = 1023
"""Most bytes of a path in a folder. collectd gives up the folder at a longer one."""
MOST_DROPPED_TOLD = 5
"""Most lines of one file for which it is told which characters collectd drops."""


class Configuration(NamedTuple):
    """What the files say."""

    nodes: tuple[Node, ...]
    """What stands at the top, in the order of reading. ``Include`` is replaced by what it brings in."""
    files: tuple[str, ...]
    """The files that were read, in order."""
    findings: tuple[Finding, ...]
    """What is wrong with the files, as files."""


def read(paths: Sequence[str]) -> Configuration:
    """Read files and folders as one configuration, in the order given. Never raises."""
    reading = _Reading()
    nodes: list[Node] = []
    for path in paths:
        nodes += reading.path(os.fsencode(path), _From(None, "", 0, ())) or ()
    return Configuration(tuple(nodes), tuple(reading.files), tuple(reading.findings))


class _From(NamedTuple):
    """How a path came to be read."""

    at: Line | None
    """The Include that names it; None where the operator does."""
    pattern: str
    """The Filter that file names have to match; empty for any."""
    depth: int
    """How many Includes lead to it."""
    chain: tuple[tuple[int, int], ...]
    """The files and folders in which it is being read, by device and inode."""
    left_out: str = ""
    """The file that collectd leaves out where this one cannot be read; empty where it does not start at all."""


class _Reading:
    """What has been read so far."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.findings: list[Finding] = []
        self._bytes = 0
        self._count = 0
        self._full = False

    def path(self, path: bytes, came: _From) -> list[Node] | None:
        """Read a file or a folder; None where collectd gives up whatever it is read for."""
        if self._full:
            return []
        try:
            found = os.stat(path)
        except OSError as error:
            return self._absent(path, error, came)
        self._count += 1
        if self._count > MOST_FILES:
            return self._too_much(f"there are more than {MOST_FILES} files and folders", came)
        this = found.st_dev, found.st_ino
        if this in came.chain:
            self._fail(f"{_shown(path)} includes itself", "Remove this Include, or the link that leads back.", came)
            return [] if came.left_out else None
        came = came._replace(chain=(*came.chain, this))
        if stat.S_ISDIR(found.st_mode):
            return self._folder(path, came)
        if stat.S_ISREG(found.st_mode):
            return self._file(path, came)
        self._warn(f"{_shown(path)} is neither a file nor a folder, so collectd skips it", "Remove it.", came)
        return []

    def _absent(self, path: bytes, error: OSError, came: _From) -> list[Node] | None:
        """Say that a path is not there, or cannot be seen."""
        if came.at is None:
            self._unreadable(path, "read", error, came)
            return None
        if isinstance(error, PermissionError):
            self._unreadable(path, "read", error, came)
        elif any(sign in path for sign in b"*?["):
            what = f"Include {_shown(path)} matches no file"
            self.findings.append(Finding(NOTE, what, "Nothing, if there is to be none.", came.at))
        else:
            what = f"{_shown(path)} cannot be read ({error.strerror}), so collectd skips it"
            self._warn(what, "Correct the path, or remove the Include.", came)
        return []

    def _folder(self, path: bytes, came: _From) -> list[Node] | None:
        try:
            names = os.listdir(path)
        except OSError as error:
            self._unreadable(path, "listed", error, came)
            return None
        paths = sorted(path + b"/" + name for name in names if not name.startswith(b"."))
        for inside in paths:
            if len(inside) > LONGEST_NAME:
                self._fail(
                    f"{_shown(path)} has a file whose path has more than {LONGEST_NAME} bytes, and collectd gives up"
                    " the whole folder",
                    "Give that file a shorter name.",
                    came,
                )
                return None
        nodes: list[Node] = []
        for inside in paths:
            nodes += self._in_folder(inside, came)
        return nodes

    def _in_folder(self, path: bytes, came: _From) -> list[Node]:
        """Read a file or folder of a folder. What cannot be read is left out."""
        try:
            words = sorted(libc.expand(path))
        except ValueError as error:
            words, reason = [], str(error)
        else:
            reason = f"it is expanded, to {', '.join(map(_shown, words))}"
        if words != [path]:
            what = f"collectd does not read {_shown(path)} because of its name: {reason}"
            todo = "Rename it. Letters, digits, dots, dashes and underscores are safe."
            self.findings.append(Finding(ERROR, what, todo, came.at))
        nodes: list[Node] = []
        for word in words:
            is_chosen = not came.pattern or os.path.isdir(word) or libc.matches(came.pattern, os.path.basename(word))
            if is_chosen and (word == path or os.path.exists(word)):
                nodes += self.path(word, came._replace(left_out=came.left_out or _shown(path))) or ()
        return nodes

    def _file(self, path: bytes, came: _From) -> list[Node] | None:
        name = os.fsdecode(path)
        try:
            with open(path, "rb") as file:
                text = file.read(MOST_BYTES + 1 - self._bytes)
        except OSError as error:
            self._unreadable(path, "read", error, came)
            return None
        self._bytes += len(text)
        if self._bytes > MOST_BYTES:
            return self._too_much(f"the files have more than {MOST_BYTES >> 20} MiB", came)
        self.files.append(name)
        if b"\0" in text:
            zero = Line(name, text[: text.index(b"\0")].count(b"\n") + 1)
            what = "the file has zero bytes, as texts in UTF-16 have"
            self.findings.append(Finding(ERROR, what, "Save it as UTF-8.", zero, incomplete=True))
            return None
        try:
            parsed = syntax.parse(name, text)
        except syntax.Broken as broken:
            self._broken(broken, came)
            return None
        self._tell_dropped(name, parsed.dropped)
        return self._include(parsed.nodes, came)

    def _include(self, nodes: Sequence[Node], came: _From) -> list[Node] | None:
        """Replace each Include at the top of a file."""
        whole: list[Node] = []
        for node in nodes:
            if node.key.lower() != "include":
                whole.append(node)
                continue
            brought = self._brought_in(node, came)
            if brought is None:
                return None
            whole += brought
        return whole

    def _brought_in(self, node: Node, came: _From) -> list[Node] | None:
        """Read what an Include names; None where collectd gives up the file that it stands in."""
        path = node.values[0] if len(node.values) == 1 else None
        here = came._replace(at=node.at, pattern="", depth=came.depth + 1)
        if not isinstance(path, (str, bytes)):
            self._warn("Include needs one path in quotes, so collectd skips it", "Name one path.", here)
            return []
        for child in node.children:
            pattern = child.values[0] if len(child.values) == 1 else None
            if child.key.lower() == "filter" and isinstance(pattern, str):
                here = here._replace(pattern=pattern)
            else:
                what = f"{child.key} is not usable in an Include block, so collectd skips it"
                self._warn(what, 'Write Filter "*.conf", or remove the line.', here._replace(at=child.at))
        if here.depth >= DEEPEST_INCLUDE:
            what = f"files include each other more than {DEEPEST_INCLUDE - 1} deep"
            self._fail(what, "Include the files from fewer levels.", here)
            return None
        try:
            words = sorted(libc.expand(path))
        except ValueError as error:
            what = f"the path of Include, {_shown(path)}, cannot be expanded: {error}"
            self._fail(what, "Correct the path.", here)
            return None
        nodes: list[Node] = []
        for word in words:
            is_filtered = here.pattern and os.path.isfile(word)
            if is_filtered and not libc.matches(here.pattern, os.path.basename(word)):
                self._fail(
                    f"the Filter {quoted(here.pattern)} does not match {_shown(word)}, and then collectd gives up the"
                    " file that includes it",
                    "Include the folder instead of its files, or remove the Filter.",
                    here,
                )
                return None
            read = self.path(word, here)
            if read is None:
                return None
            nodes += read
        return nodes

    def _tell_dropped(self, file: str, dropped: Sequence[syntax.Dropped]) -> None:
        for at, text in dropped[:MOST_DROPPED_TOLD]:
            if at.number == 1 and text.startswith("\ufeff"):
                what = "the file begins with a byte order mark, which collectd drops"
                self.findings.append(Finding(NOTE, what, "Save it without one.", at))
            else:
                what = f"collectd drops {quoted(text)}, because it stands outside of quotes"
                self.findings.append(Finding(WARNING, what, "Put the whole text that it belongs to in quotes.", at))
        if len(dropped) > MOST_DROPPED_TOLD:
            what = "collectd drops characters outside of quotes in more lines, of which this is the next"
            self.findings.append(Finding(WARNING, what, "Put texts in quotes.", dropped[MOST_DROPPED_TOLD].at))

    def _too_much(self, what: str, came: _From) -> list[Node]:
        """Say that reading ends here, because there is too much."""
        self._full = True
        todo = "Name the files that you mean. Where links lead in circles, remove them."
        self.findings.append(Finding(ERROR, f"{what}, and the rest is not read", todo, came.at, incomplete=True))
        return []

    def _broken(self, broken: syntax.Broken, came: _From) -> None:
        """Say that a file was not understood."""
        cost = "collectd does not start with this"
        if came.left_out:
            cost = f"collectd leaves out {came.left_out}, and reads what is behind this line as a part of the next file"
        self.findings.append(Finding(ERROR, f"{broken.reason}; {cost}", broken.todo, broken.at, incomplete=True))

    def _unreadable(self, path: bytes, what: str, error: OSError, came: _From) -> None:
        """Say that a path cannot be read by whoever runs this. collectd may have the right to read it."""
        told = f"{_shown(path)} cannot be {what}: {error.strerror}"
        if isinstance(error, PermissionError):
            todo = "Run this as root, or as the user that collectd runs as."
            self.findings.append(Finding(ERROR, told, todo, came.at, incomplete=True))
        else:
            self._fail(told, "Correct the path.", came)

    def _fail(self, what: str, todo: str, came: _From) -> None:
        """Say why collectd gives up a file."""
        cost = f"collectd leaves out {came.left_out}" if came.left_out else "collectd does not start with this"
        self.findings.append(Finding(ERROR, f"{what}; {cost}", todo, came.at, incomplete=True))

    def _warn(self, what: str, todo: str, came: _From) -> None:
        self.findings.append(Finding(WARNING, what, todo, came.at))


def _shown(path: str | bytes) -> str:
    return printable(os.fsdecode(path), 200)


def bytes_in(nodes: Sequence[Node]) -> Iterator[Node]:
    """Give the nodes that have a text which is not UTF-8."""
    for node in nodes:
        if any(isinstance(value, bytes) for value in node.values):
            yield node
        yield from bytes_in(node.children)
