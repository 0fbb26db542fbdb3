"""Pure: when a domain is due for what is asked once in a while, so that not all domains are due at the same time."""

from __future__ import annotations

import math
import zlib

_NUMBERS = 1 << 32


def due_since(uuid: str, every: float, now: float) -> float:
    """When a domain was last due for what is asked every `every` seconds, monotonic seconds, at `now` at the latest.

    Each domain is due at moments of its own. So domains that came together, as all do at start, are not due together,
    and each read has about the same number of them.

    Arguments:
        every: more than 0; infinite for what is never due.
    """
    if math.isinf(every):
        return -math.inf
    own = zlib.crc32(uuid.encode("utf-8", "surrogatepass")) / _NUMBERS * every
    return now - (now - own) % every
