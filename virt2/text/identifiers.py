"""Texts made fit for the parts of collectd's identifiers.

What names a domain or a device is hostile: libvirt admits newlines, ``..`` and 240 bytes; collectd's writers make
paths and lines of it, and collectd cuts what is too long without a word.
"""

from __future__ import annotations

import functools
import hashlib
import unicodedata

LONGEST = 127
"""Bytes in a part of an identifier: collectd's DATA_MAX_NAME_LEN of 128, less the final zero."""
MARK = 8
"""Digits of the mark that keeps shortened or equal names apart; a ``~`` stands before it."""
_UNFIT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories that break a line, a path or an encoding: controls, surrogates, line and paragraph ends."""


def whole(name: str) -> str:
    """What a name becomes as host or as plugin instance, slashes included: collectd changes nothing in it any more.

    So two of them are one and the same to collectd only where they are equal here, and a notification, in which
    collectd leaves slashes as they are, bears the same identity as the values.
    """
    # In this order: what collectd makes of "/.." is "..", the folder above.
    return presentable(written(name))


@functools.lru_cache(maxsize=4096)
def presentable(name: str) -> str:
    """A name that collectd and its writers take: no control characters, no path of dots, not over `LONGEST` bytes.

    A pure function of the name, so that a domain keeps its series; different long names stay different.
    """
    safe = "".join("_" if unicodedata.category(char) in _UNFIT else char for char in name)
    if safe and not safe.strip("."):
        safe = "_" * len(safe)
    if len(safe.encode()) > LONGEST:
        safe = marked(safe, digest(name)[:MARK])
    return safe


def digest(text: str) -> str:
    """Hexadecimal digits that any other text is most unlikely to have."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def marked(name: str, mark: str) -> str:
    """Put a mark behind a name, cut so that both fit and no character is torn."""
    return name.encode()[: LONGEST - len(mark.encode()) - 1].decode(errors="ignore") + "~" + mark


def written(part: str) -> str:
    """What collectd makes of a part of an identifier that holds slashes, before any writer sees it."""
    return "root" if part == "/" else part.removeprefix("/").replace("/", "_")
