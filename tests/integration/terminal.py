"""A real terminal (tmux) for the tests of live views."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import virt2

ROOT = Path(virt2.__file__).parents[1]
SOON = 20.0
"""Seconds within which the terminal shows what takes it a tenth of one."""
LOOK = 0.05


class Terminal:
    """A terminal of its own, with a shell in it whose prompt is ``$``."""

    def __init__(self, folder: Path, width: int = 80, height: int = 24) -> None:
        self._tmux = ["tmux", "-S", str(folder / "tmux"), "-f", os.devnull]
        # Those two stand in the environment of tests that run beside others, and programs believe them.
        others = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        environment = {**others, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), "ENV": ""}
        size = ["-x", str(width), "-y", str(height)]
        self._run("new-session", "-d", *size, "-c", str(ROOT), "sh", env=environment)
        self._modes = folder / "modes"
        try:
            # A shell of root takes no prompt from its environment.
            self.command("PS1='$ '; clear")
            self.expect("$")
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Terminal {self._tmux[2]}>"

    def _run(self, *words: str, env: dict[str, str] | None = None) -> str:
        done = subprocess.run([*self._tmux, *words], capture_output=True, text=True, env=env, timeout=SOON, check=True)
        return done.stdout

    def type(self, *keys: str) -> None:
        self._run("send-keys", *keys)

    def command(self, line: str) -> None:
        self.type("-l", line)
        self.type("Enter")

    def resize(self, width: int, height: int) -> None:
        self._run("resize-window", "-x", str(width), "-y", str(height))

    @property
    def lines(self) -> list[str]:
        return self._run("capture-pane", "-p").rstrip("\n").splitlines()

    def ask(self, what: str) -> str:
        return self._run("display-message", "-p", what).strip()

    def expect(self, text: str, there: bool = True, within: float = SOON) -> list[str]:
        """Wait until a text is shown, or is not any more, and give the lines of that moment."""
        until = time.monotonic() + within
        while True:
            lines = self.lines
            if any(text in line for line in lines) is there:
                return lines
            assert time.monotonic() < until, "\n".join([f"{text!r} is {'not ' if there else ''}shown:", *lines])
            time.sleep(LOOK)

    def note_modes(self) -> None:
        """Remember the terminal's modes."""
        self.command(f"stty -a > {self._modes}")

    def check_restored(self) -> None:
        """Fail where the terminal is not as it was: its screen, its cursor, its modes."""
        assert self.ask("#{alternate_on} #{cursor_flag}") == "0 1"
        self.command(f"stty -a | cmp - {self._modes} && echo as''-it-was")
        self.expect("as-it-was")

    @property
    def process(self) -> int:
        """The process that the shell waits for."""
        shell = self.ask("#{pane_pid}")
        (child,) = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(child)

    def close(self) -> None:
        self._run("kill-server")
