"""Imported by collectd in place of `virt2`: the same plugin, but its first read is followed by some more at once.

Each of virt2's connections looks each domain up when it first comes to it, at random. At an interval that would take
minutes until all is as it stays. Afterwards nothing is different from the plugin as it is.

Its own setting `Threads` names a file that is written after those reads: the names of all threads that Python knows, by
the kernel's numbers, because the kernel itself calls a thread of Python's by the name of the thread that started it.
"""

import json
import sys
import threading
import types
from pathlib import Path

import collectd

MORE = 8
"""Reads that follow the first one, as many as warm virt2 up that reads back to back."""


class Warmed:
    """Warms readers up."""

    def __init__(self):
        self._file = None

    def configure(self, config):
        """Take the settings."""
        for node in config.children:
            if node.key == "Threads":
                self._file = Path(node.values[0])

    def register_read(self, callback, interval, name):
        """Register a reader whose first read is several."""
        is_cold = True

        def read():
            nonlocal is_cold
            callback()
            if is_cold and name.startswith("virt2/"):
                for _ in range(MORE):
                    callback()
                self.name_threads()
            is_cold = False

        collectd.register_read(read, interval, name=name)

    def name_threads(self):
        """Write which threads there are."""
        if self._file is not None:
            names = {thread.native_id: thread.name for thread in threading.enumerate()}
            # Whoever waits for the file must find all of it.
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(names))
            part.rename(self._file)


warmed = Warmed()
collectd.register_config(warmed.configure, name="virt2_warmed")

gentle = types.ModuleType("collectd")
gentle.__dict__.update(collectd.__dict__)
gentle.register_read = warmed.register_read
sys.modules["collectd"] = gentle

import virt2  # noqa: E402, F401 - it registers itself with what it finds as collectd
