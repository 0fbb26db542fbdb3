"""A real RabbitMQ, inside a lab: with a node name and folders of its own, and gone with the lab."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .waiting import wait_for

if TYPE_CHECKING:
    from .machine import Lab
    from .process import Process

SCRIPTS = Path("/usr/lib/rabbitmq/bin")
"""Where RabbitMQ's own programs lie. Those on the PATH become another user first, and insist on Debian's folders."""
NODE = "virt2@localhost"
PORT = 5672
START_TIMEOUT = 90.0
"""Seconds; it takes four on a machine that does nothing else."""
STOP_TIMEOUT = 60.0
CTL_TIMEOUT = 60.0
"""Seconds for one command to the broker, which starts a virtual machine of its own; it takes two."""
STARTED = "Server startup complete"


class Broker:
    """A RabbitMQ that listens on a lab's loopback interface; a context manager that starts and stops it.

    Erlang starts a name server (epmd) for it, on the same interface. It ends with the lab.

    Arguments:
        lab: where it runs.
        folder: an existing folder of its own. What it keeps there outlives it.
    """

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._folder = folder.resolve()
        self._log = self._folder / "output"
        self._process: Process | None = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def process(self) -> Process:
        """The broker that runs, or ran last."""
        if self._process is None:
            raise RuntimeError("the broker was not started")
        return self._process

    def start(self) -> None:
        """Start it and return when it takes connections."""
        starts = self.log.count(STARTED)
        self._process = self._lab.popen(self._command("rabbitmq-server"), log=self._log)

        def started() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError(f"the broker ended with {self.process.exit_code}: {self.log}")
            return self.log.count(STARTED) > starts

        wait_for(started, START_TIMEOUT, "the broker takes connections")

    def stop(self) -> None:
        """End it, however stuck."""
        if self.process.poll() is None:
            self.thaw()
            self.process.stop(STOP_TIMEOUT)

    def kill(self) -> None:
        """End it without a chance to put anything in order; returns when it is gone."""
        self.process.signal(signal.SIGKILL)
        self.process.wait(STOP_TIMEOUT)

    def freeze(self) -> None:
        """Stop it: it answers nobody until `thaw`, and its connections stay open."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def ctl(self, *args: str) -> str:
        """Run rabbitmqctl and return what it printed."""
        return self._lab.run(self._command("rabbitmqctl", "--quiet", "--node", NODE, *args), CTL_TIMEOUT)

    @property
    def log(self) -> str:
        """All that it said."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def _command(self, program: str, *args: str) -> Sequence[str]:
        settings = {
            # The secret that rabbitmqctl shares with the broker lies here.
            "HOME": self._folder,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": PORT,
            "RABBITMQ_MNESIA_BASE": self._folder / "data",
            "RABBITMQ_LOG_BASE": self._folder / "log",
            "RABBITMQ_LOGS": "-",
            # None of the host's own, if it has a broker.
            "RABBITMQ_CONF_ENV_FILE": self._folder / "no-environment",
            "RABBITMQ_CONFIG_FILE": self._folder / "no-configuration",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self._folder / "enabled-plugins",
            "RABBITMQ_PID_FILE": self._folder / "pid",
            # So the script becomes the broker instead of waiting for it: signals reach what they are meant for.
            "RUNNING_UNDER_SYSTEMD": "true",
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), str(SCRIPTS / program), *args]
