"""Other clients of libvirtd: programs of their own, which may wait for it as long as it takes."""

from __future__ import annotations

import threading

from tests.lab import CommandFailed, Lab

from .journal import Journal

VIRSH = ("virsh", "--quiet", "--connect", "qemu:///system")
LONGEST = 120.0
"""Seconds for a call: longer than everything that holds one back lasts."""


class Call:
    """A call that is under way on a thread of its own."""

    def __init__(self, clients: Clients, words: tuple[str, ...]) -> None:
        self._clients = clients
        self._words = words
        self.error = "it has no answer"
        """Why it failed, in words; empty where it did not."""
        self._thread = threading.Thread(target=self._run, name=f"chaos/{words[0]}", daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def wait(self) -> bool:
        """Wait for its end; returns whether it succeeded."""
        self._thread.join(LONGEST + 10)
        return self.is_over and not self.error

    def _run(self) -> None:
        self.error = self._clients.run(*self._words)


class Clients:
    """Starts clients, and notes when they were in libvirtd.

    Arguments:
        lab: where.
        journal: where that is noted.
    """

    def __init__(self, lab: Lab, journal: Journal) -> None:
        self._lab = lab
        self._journal = journal

    def run(self, *words: str) -> str:
        """Run virsh with these words; returns why it failed, in words, or nothing where it did not."""
        with self._journal.visit():
            try:
                self._lab.run([*VIRSH, *words], LONGEST)
            except (CommandFailed, TimeoutError, ProcessLookupError) as error:
                # The last one: it ended just when it was to be killed, because it took too long.
                return str(error) or repr(error)
        return ""

    def begin(self, *words: str) -> Call:
        """Begin to run virsh with these words."""
        return Call(self, words)
