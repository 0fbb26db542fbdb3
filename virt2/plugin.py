"""What collectd imports: registers the callbacks, and has everything built at init. Decides nothing.

The life of the plugin: `configure` is called once per ``<Module virt2>`` block, `init` once, then a read callback once
per reader and interval on threads of collectd's, `shutdown` after the last read returned. No thread is started before
init, because collectd forks after its configuration is read. No exception leaves a callback, because collectd would
call it less and less often; only `configure` raises, where StrictConfig asks for it.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from virt2.assembly import Assembly
from virt2.config import reading
from virt2.errors import BadSetting
from virt2.once import Once
from virt2.output import collectd_host
from virt2.parts import Callback

log = logging.getLogger("virt2")

MOST_SAID = 20
"""Unexpected failures that are said at the most, each once."""


def register(collectd: Any) -> Plugin:
    """Register with collectd; `collectd` is the module that only its own interpreter has."""
    plugin = Plugin(collectd)
    collectd.register_config(plugin.configure, name="virt2")
    collectd.register_init(plugin.init, name="virt2")
    collectd.register_shutdown(plugin.shutdown, name="virt2")
    return plugin


class Plugin:
    """The callbacks."""

    def __init__(self, collectd: Any) -> None:
        self._collectd = collectd
        self._blocks: list[Any] = []
        self.assembly: Assembly | None = None
        """Everything the callbacks work on; None before init."""
        self._is_broken = False
        """Whether init failed: nothing is read then."""
        self._failures = Once(MOST_SAID, silent_when_full=True)
        collectd_host.log_to(collectd)

    def __repr__(self) -> str:
        return f"<Plugin {self.assembly!r}>"

    def configure(self, block: Any) -> None:
        """Take one ``<Module virt2>`` block.

        Raises:
            BadSetting: StrictConfig is on, and what was configured so far has a bad value or an unknown key.
        """
        self._blocks.append(block)
        settings, problems = reading.parse(self._blocks)
        stopping = reading.stopping(settings, problems)
        for problem in stopping:
            log.error("%s", problem.text)
        if stopping:
            raise BadSetting("StrictConfig", True, "a configuration without bad values and unknown keys")

    def init(self) -> None:
        """Build everything and start the threads; whether libvirt can be reached is found out by them."""
        try:
            settings, problems = reading.parse(self._blocks)
            for problem in problems:
                log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem.text)
            self.assembly = Assembly(settings, self._collectd, self._register)
            self.assembly.start()
        except Exception as error:
            # Half of it would look well and report half of what it should.
            self._is_broken = True
            log.error("virt2 could not start, and nothing is reported until collectd is restarted: %r", error)
            self.shutdown()

    def shutdown(self) -> None:
        """Let the threads go that can; those inside libvirt end with the process."""
        if self.assembly is not None:
            self.assembly.stop()

    def _register(self, callback: Callback) -> None:
        """Have collectd call something at its interval."""
        self._collectd.register_read(functools.partial(self._read, callback), callback.interval, name=callback.name)

    def _read(self, callback: Callback) -> None:
        if self._is_broken:
            return
        try:
            callback.read()
        except Exception as error:
            if self._failures.first(repr(error)):
                log.exception("unexpected failure of reader %s, said once", callback.reader)
