"""Turns any text into one that may be a part of a collectd identifier.

The names of domains and devices are hostile: libvirt accepts newlines, ``..`` and 240 bytes. collectd's writers make
paths and lines of these names, and collectd cuts a name that is too long without saying so.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata

LONGEST = 127
"""Bytes in a part of an identifier: collectd's DATA_MAX_NAME_LEN of 128 without the final zero."""
MARK = 8
"""Digits of the mark that makes shortened or equal names different; a ``~`` stands before it."""
LONGEST_REMEMBERED = 1024
"""Most characters of a name for which the result is remembered. The image of a disk may have a name of megabytes."""
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that break a line, a path or an encoding: control characters, surrogates, line and paragraph
ends."""


def whole(name: str) -> str:
    """Give the host or plugin instance that a name becomes. Its slashes are replaced too, so collectd changes nothing.

    So two identities are the same to collectd only if they are equal here. And a notification has the same identity as
    the values, although collectd leaves slashes as they are in notifications.
    """
    # The order matters: collectd turns "/.." into "..", which is the folder above.
    return presentable(written(name))


def presentable(name: str) -> str:
    """Give a name that collectd and its writers accept.

    It has no control characters, it is not a path of dots, and it has `LONGEST` bytes at most. It depends on the given
    name alone, so that a domain keeps its series. Different long names stay different.
    """
    return _remembered(name) if len(name) <= LONGEST_REMEMBERED else _presentable(name)


def _presentable(name: str) -> str:
    # No character has less than a byte. Only the mark tells names apart that begin with the same ones.
    start = name[: LONGEST + 1]
    safe = "".join("_" if unicodedata.category(char) in _UNFIT else char for char in start)
    if name and not name.strip("."):
        safe = "_" * len(safe)
    if len(safe.encode()) > LONGEST:
        safe = marked(safe, digest(name)[:MARK])
    return safe


_remembered = functools.lru_cache(maxsize=4096)(_presentable)


def digest(text: str) -> str:
    """Give hexadecimal digits for a text. It is very unlikely that another text has the same digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def marked(name: str, mark: str) -> str:
    """Put a mark behind a name. The name is cut so that both fit, but never within a character."""
    return name.encode()[: LONGEST - len(mark.encode()) - 1].decode(errors="ignore") + "~" + mark


def written(part: str) -> str:
    """Give what collectd turns a part of an identifier with slashes into, before any writer sees it."""
    return "root" if part == "/" else part.removeprefix("/").replace("/", "_")
