"""A command that runs inside a lab, seen from outside."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .machine import Lab

START_TIMEOUT = 10.0
"""Seconds in which a lab's first process must answer; it only forks, so this is met even on a busy machine."""

Streams = tuple[IO[Any], IO[Any], IO[Any]]
"""A command's stdin, stdout and stderr."""


class CommandFailed(Exception):
    """A command inside the lab ended with another exit code than 0."""


class Process:
    """A running or ended command; its streams go where the caller said."""

    def __init__(
        self,
        lab: Lab,
        control: socket.socket,
        argv: Sequence[str],
        streams: Streams,
        cwd: Path,
        env: Mapping[str, str],
    ) -> None:
        self._lab = lab
        self._argv = list(argv)
        self._outer_pid = 0
        self.exit_code: int | None = None
        """As `subprocess` has it: negative for the signal that ended it; None while it runs."""
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        self._report = os.fdopen(read_end, "r")
        message = {"argv": self._argv, "cwd": str(cwd), "env": dict(env)}
        try:
            descriptors = [*(stream.fileno() for stream in streams), write_end]
            socket.send_fds(control, [json.dumps(message).encode()], descriptors)
        finally:
            os.close(write_end)
        line = self._read_line(START_TIMEOUT)
        if not line.isdigit():
            self._report.close()
            raise CommandFailed(f"{self._argv[0]} was not started: {line or 'the lab is gone'}")
        self.inner_pid = int(line)
        """Its pid as the lab's own processes see it."""

    def __repr__(self) -> str:
        return f"<Process {self._argv[0]} pid={self.inner_pid} exit_code={self.exit_code}>"

    @property
    def pid(self) -> int:
        """Its pid as seen from outside; ProcessLookupError when it has ended."""
        if not self._outer_pid:
            self._outer_pid = self._lab.outer_pid(self.inner_pid)
        return self._outer_pid

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._collect(0.0)

    def wait(self, timeout: float) -> int:
        """The exit code, waiting for it; TimeoutError after `timeout` seconds."""
        code = self._collect(timeout)
        if code is None:
            raise TimeoutError(f"{self!r} still runs after {timeout:g} s")
        return code

    def signal(self, number: int) -> None:
        """Send it a signal; ProcessLookupError when it has ended."""
        if self.poll() is not None:
            raise ProcessLookupError(f"{self!r} has ended")
        os.kill(self.pid, number)

    def stop(self, timeout: float) -> float:
        """Ask it to end with SIGTERM and return the seconds it took; a process that does not is killed and an error."""
        if self.poll() is not None:
            return 0.0
        began = time.monotonic()
        try:
            self.signal(signal.SIGTERM)
            self.wait(timeout)
        except TimeoutError:
            self.signal(signal.SIGKILL)
            self.wait(START_TIMEOUT)
            raise
        except ProcessLookupError:
            # It ended by itself just now; its exit code is on the way.
            self.wait(START_TIMEOUT)
        return time.monotonic() - began

    def _collect(self, timeout: float) -> int | None:
        if self.exit_code is None and select.select([self._report], [], [], timeout)[0]:
            line = self._read_line(START_TIMEOUT)
            # Without a line the lab's first process is gone, and took every other with it by SIGKILL.
            self.exit_code = int(line) if line else -signal.SIGKILL
            self._report.close()
        return self.exit_code

    def _read_line(self, timeout: float) -> str:
        if not select.select([self._report], [], [], timeout)[0]:
            raise TimeoutError(f"no word from the lab's first process within {timeout:g} s")
        return self._report.readline().rstrip("\n")
