"""A collectd write plugin that keeps everything collectd writes, meta data included, as lines of JSON.

Settings: `Folder`, where numbered files are written; a new one is begun after FILE_SIZE, and only the last FILES are
kept, so that it can run for ever. Runs inside collectd, on its write threads.
"""

from __future__ import annotations

import itertools
import json
import threading
from pathlib import Path
from typing import Any, TextIO

import collectd

FILE_SIZE = 1 << 20
"""Bytes."""
FILES = 16


class Recorder:
    """Appends records to the files of a folder, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count()
        self._folder: Path
        """Known once it is configured."""
        self._file: TextIO | None = None

    def configure(self, config: Any) -> None:
        for node in config.children:
            if node.key.lower() == "folder":
                self._folder = Path(node.values[0])
        collectd.register_write(self.write, name="virt2_recorder")
        collectd.register_notification(self.notify, name="virt2_recorder")

    def write(self, values: Any) -> None:
        names = ("time", "interval", "host", "plugin", "plugin_instance", "type", "type_instance", "meta")
        record = {name: getattr(values, name) for name in names}
        self._append({**record, "values": list(values.values)})

    def notify(self, notification: Any) -> None:
        names = ("time", "host", "plugin", "plugin_instance", "type", "type_instance", "severity", "message", "meta")
        self._append({name: getattr(notification, name) for name in names})

    def _append(self, record: dict[str, Any]) -> None:
        line = json.dumps(record) + "\n"
        with self._lock:
            file = self._file
            if file is None or file.tell() > FILE_SIZE:
                file = self._begin_file()
            file.write(line)
            file.flush()

    def _begin_file(self) -> TextIO:
        if self._file is not None:
            self._file.close()
        number = next(self._numbers)
        self._file = open(self._folder / f"{number:08}.jsonl", "a", encoding="utf-8")  # noqa: SIM115 - until the next one
        if number >= FILES:
            (self._folder / f"{number - FILES:08}.jsonl").unlink(missing_ok=True)
        return self._file


collectd.register_config(Recorder().configure, name="virt2_recorder")
