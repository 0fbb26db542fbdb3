"""The story of one domain: who reads it and why, what is asked of it, what it waits for, and what to do. It is pure."""

from __future__ import annotations

from virt2.errors import Error
from virt2.status.answers import Explain
from virt2.status.snapshot import Snapshot


class UnknownDomain(Error):
    """Nobody knows a domain of that name or UUID. The text is a sentence with the nearest names.

    Attributes:
        wanted: what was asked for.
        nearest: the names that come nearest, the nearest first.
    """

    def __init__(self, wanted: str, nearest: tuple[str, ...]) -> None:
        self.wanted, self.nearest = wanted, nearest
        super().__init__(f"there is no domain {wanted}")


def explain(snapshot: Snapshot, wanted: str) -> Explain:
    """Tell the story of one domain, given its name or UUID.

    Raises:
        UnknownDomain: there is no such domain.
    """
    raise UnknownDomain(wanted, ())
