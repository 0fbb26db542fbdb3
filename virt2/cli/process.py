"""One run of the command as a process: what it prints reaches the terminal, and every failure is a sentence."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from virt2.cli import commands
from virt2.cli.findings import FAILED
from virt2.text.printable import printable

TRACEBACK = "VIRT2_TRACEBACK"
"""An environment variable. Where it is set, an unexpected failure prints its traceback."""


def run(words: Sequence[str]) -> int:
    """Do a command, given its words without the program's name. Gives the exit status; never raises."""
    # Whoever closed these does not want to read anything, and still wants the exit status.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal may not know every character of a domain's name.
            stream.reconfigure(errors="backslashreplace")
    try:
        status = guarded(lambda: _do(words))
        sys.stdout.flush()
    except BrokenPipeError:
        return _end_by(signal.SIGPIPE)
    except KeyboardInterrupt:
        return _end_by(signal.SIGINT)
    except OSError as error:
        _drop(sys.stdout)
        status = failed(f"the output cannot be written: {error.strerror or error}.")
    try:
        sys.stderr.flush()
    except OSError:
        # There is nobody left to be told. Whoever looks at the exit status is told by that.
        _drop(sys.stderr)
    return status


def unforeseen(error: Exception) -> str:
    """Give the sentences on a failure that nobody foresaw."""
    return f"{_unexpected(error)}. Please report this, with what {TRACEBACK}=1 in the environment prints."


def guarded(do: Callable[[], int]) -> int:
    """Do something, and make a sentence and an exit status of every failure except one to write the output."""
    try:
        return do()
    except SystemExit as exit:
        # argparse has said what is wrong, or has printed the help.
        return exit.code if isinstance(exit.code, int) else FAILED
    except commands.CannotDo as error:
        return failed(str(error))
    except (BrokenPipeError, KeyboardInterrupt):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            raise
        if os.environ.get(TRACEBACK):
            import traceback

            traceback.print_exc()
        return failed(unforeseen(error))


def failed(sentence: str) -> int:
    """Say why something could not be done, and give the exit status for that."""
    with contextlib.suppress(OSError):
        # What cannot be said there can be said nowhere.
        print(f"virt2: {printable(sentence, 4000)}", file=sys.stderr)
    return FAILED


def _do(words: Sequence[str]) -> int:
    wanted = next((word for word in words if not word.startswith("-")), "")
    arguments = commands.parser(wanted).parse_args(words)
    return commands.runner(arguments.command)(arguments)


def _unexpected(error: Exception) -> str:
    """Describe a failure that nobody foresaw, with the last line of virt2's own that it came through."""
    import traceback

    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "virt2" in frame.filename]
    place = ""
    if frames:
        file = frames[-1].filename.rpartition("virt2/")
        place = f" in virt2/{file[2]}:{frames[-1].lineno}"
    return f"an unexpected failure{place}: {type(error).__name__}: {error}"


def _end_by(number: signal.Signals) -> int:
    """End this process by a signal, as it ends a program that does not handle it."""
    _drop(sys.stdout)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return FAILED


def _drop(stream: TextIO) -> None:
    """Let nothing be written to a stream any more. Otherwise Python tries that again at its end, and complains."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
