"""Where the views get their answers: from the virt2 that runs, or from a look at this host where none does.

Both give the same shapes. Which of them it was is told in one sentence.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from virt2.cli import client, commands, conffile, effective
from virt2.cli.bounded import Look
from virt2.config import reading
from virt2.config.settings import Settings

if TYPE_CHECKING:
    from virt2.cli.own_look import OwnLook

READING = 1.0
"""Seconds in which the configuration has to be read."""
BOUND = 2.2
"""Seconds from the start in which a look at the host ends. With the start and the end of Python that is under 3 s."""

PLUGIN, HOST = "plugin", "host"


class Configured(NamedTuple):
    """What counts of the configuration."""

    settings: Settings
    about: str
    """Which configuration it is, where that has to be said; empty otherwise."""


class Word(NamedTuple):
    """An answer, and where it is from."""

    answer: Any
    """As `virt2.status.answers` has it for the question."""
    source: str
    """`PLUGIN` or `HOST`."""
    about: str
    """The same in a sentence without its full stop."""
    missing: tuple[str, ...] = ()
    """What could not be found out: sentences without their full stops."""
    listed: bool = True
    """Whether it is known which domains there are."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the options that every view has."""
    named = parser.add_argument(
        "--config",
        action="append",
        metavar="FILE",
        help="a file or folder of collectd's configuration; may be repeated. Without it, the first that exists of "
        + ", ".join(conffile.USUAL),
    )
    commands.complete_with(named, commands.FILES)
    where = parser.add_mutually_exclusive_group()
    socket = where.add_argument(
        "--socket", metavar="PATH", help="the status socket of the virt2 to ask, whatever the configuration says"
    )
    commands.complete_with(socket, commands.FILES)
    where.add_argument(
        "--look", action="store_true", help="look at this host, even if a virt2 runs that could be asked"
    )


class Source:
    """Gives answers, one after the other.

    Arguments:
        arguments: the options of `declare`.
        start: when the command was started, monotonic seconds.

    Raises:
        virt2.cli.commands.CannotDo: the configuration cannot be read.
    """

    def __init__(self, arguments: argparse.Namespace, start: float) -> None:
        self._start: float | None = start
        """When the time of the next answer begins, where that is not the moment in which it is asked for."""
        self._path: str | None = None
        self._why = "because of --look"
        self._configured: Configured | None = None
        self._arguments = arguments
        self._look: OwnLook | None = None
        if arguments.socket is not None:
            self._path = arguments.socket
        else:
            self._configured = configured(arguments.config, start + READING)
            if not arguments.look:
                self._path = self._configured.settings.status_socket
                self._why = "because StatusSocket is none"

    def __repr__(self) -> str:
        return f"<Source {self._path or self._look!r}>"

    def ask(self, question: str, domain: str = "", patience: float = client.LIMIT) -> Word:
        """Ask one question.

        Arguments:
            patience: seconds that a virt2 which runs has for its answer.

        Raises:
            virt2.cli.commands.CannotDo: there is no answer. The message says why and what to do.
        """
        began, self._start = self._start, None
        if self._path is not None:
            try:
                reply = client.ask(self._path, question, domain, patience)
                # Where none ran before, one was started meanwhile.
                self._end_look()
                return Word(reply.answer, PLUGIN, f"virt2 {reply.virt2}, which runs, says this at {self._path}")
            except client.NotThere as error:
                if self._arguments.socket is not None:
                    raise commands.CannotDo(f"Nobody can be asked, because {error}.") from None
                self._why = f"because {error}"
            except client.BadAnswer as error:
                raise commands.CannotDo(
                    f"{error}. Look whether collectd hangs, and at its log. With --look this host is looked at instead."
                ) from None
            except client.Refused as error:
                raise commands.CannotDo(commands.as_sentence(str(error))) from None
        return self._by_looking(question, domain, time.monotonic() if began is None else began)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        """Let everything go."""
        self._end_look()

    def _end_look(self) -> None:
        look, self._look = self._look, None
        if look is not None:
            look.close()

    def _by_looking(self, question: str, domain: str, began: float) -> Word:
        from virt2.cli import asking, own_look
        from virt2.status.desk import find_answer
        from virt2.status.story import UnknownDomain
        from virt2.status.wire import Question

        assert self._configured is not None
        settings, about = self._configured
        until = began + BOUND
        if self._look is None:
            refused = asking.not_asked(settings.connection)
            if refused:
                raise commands.CannotDo(f"No virt2 was asked, {self._why}, and libvirt was not either: {refused}.")
            self._look = _made(settings, until)
        found = self._look.take(until)
        told = f"This host was looked at, {self._why}. {own_look.NOT_ASKED}"
        if about:
            told = f"{about}. {told}"
        if not found.listed and question != "limits":
            raise commands.CannotDo(" ".join((*map(commands.as_sentence, (*found.missing, told)), commands.UNFREEZE)))
        try:
            answer = find_answer(Question(question, domain), found.snapshot)
        except UnknownDomain as error:
            raise commands.CannotDo(commands.as_sentence(str(error))) from None
        return Word(answer, HOST, told, found.missing, found.listed)


def configured(named: Sequence[str] | None, until: float) -> Configured:
    """Read the configuration.

    Arguments:
        named: its files and folders; None for where collectd has it.
        until: the moment on the monotonic clock at which it has to be read.

    Raises:
        virt2.cli.commands.CannotDo: it cannot be read.
    """
    about = ""
    if not named:
        named = [path for path in conffile.USUAL if os.path.exists(path)][:1]
        if not named:
            return Configured(Settings(), "There is no configuration of collectd, so virt2's defaults count")
    try:
        read = Look("files", lambda: conffile.read(named or ())).result(until)
    except TimeoutError:
        raise commands.CannotDo(
            "The configuration was not read in time, because it is on storage that hangs, or has very many files. Name"
            " the socket with --socket, which leaves it out."
        ) from None
    unread = next((finding for finding in read.findings if finding.incomplete), None)
    if unread is not None:
        place = f"{unread.at}: " if unread.at is not None else ""
        raise commands.CannotDo(
            f"The configuration cannot be read: {place}{unread.what}. {unread.todo} Or name the socket of the virt2"
            " that runs with --socket."
        )
    collectd = effective.effective(read.nodes)
    settings = reading.trace(collectd.modules).settings
    if collectd.imported is None:
        about = "Nothing in the configuration imports virt2, so virt2's defaults count"
    if settings.interval is None:
        loading = collectd.loaded.get("python")
        settings = settings._replace(interval=loading.interval if loading is not None else None)
    return Configured(settings, about)


def _made(settings: Settings, until: float) -> OwnLook:
    """Make what looks at the host.

    Raises:
        virt2.cli.commands.CannotDo: that cannot be.
    """
    from virt2.cli import own_look

    try:
        return Look("look", lambda: own_look.OwnLook(settings)).result(until)
    except TimeoutError:
        raise commands.CannotDo(
            "The Python binding of libvirt was not loaded in time. Look whether /usr is on storage that hangs."
        ) from None
    except ImportError as error:
        raise commands.CannotDo(
            f"This host was not looked at, because this Python ({sys.executable}) cannot load the binding of libvirt:"
            f" {error}. Install python3-libvirt, and run this with the system's Python: /usr/bin/python3 -m virt2.cli."
        ) from None
