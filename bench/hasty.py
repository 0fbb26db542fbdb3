"""Has every read of virt2 ask for a list of domains, as it does at any real interval.

A read takes a list that is younger than a quarter of a second for its own. Reads that follow one another without a
pause would take that of the read before.
"""

from __future__ import annotations

import time

from virt2.domains.inventory import Inventory


def ask_for_each_list() -> None:
    """Have it so from now on, in this process."""
    refresh = Inventory.refresh

    def ask(inventory: Inventory, max_age: float, timeout: float) -> bool:
        """Ask for a list, and wait for it; returns whether there is one that was asked for since."""
        asked = time.monotonic()
        refresh(inventory, 0.0, timeout)
        return inventory.listed_at is not None and inventory.listed_at >= asked

    Inventory.refresh = ask
