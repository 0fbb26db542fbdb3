"""Everything a collectd wrote, as its recorder (collectd_modules/virt2_recorder.py) left it in files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODULES = Path(__file__).parent / "collectd_modules"


class Records:
    """Reads a recorder's folder while it grows.

    A record is a dictionary with the fields of collectd.Values, or, if it has a `message`, of a notification.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._offset = 0

    def new(self) -> list[dict[str, Any]]:
        """What was recorded since the last call, in the order it was written."""
        found: list[dict[str, Any]] = []
        for path in sorted(self._folder.glob("*.jsonl")):
            if self._path is not None and path < self._path:
                continue
            if path != self._path:
                self._path, self._offset = path, 0
            with open(path, "rb") as file:
                file.seek(self._offset)
                # The last line may still be on its way: it is for the next call.
                complete, newline, _ = file.read().rpartition(b"\n")
            self._offset += len(complete) + len(newline)
            found += [json.loads(line) for line in complete.splitlines()]
        return found
