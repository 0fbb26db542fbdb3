"""The command ``virt2``: ``virt2 COMMAND``, or ``python3 -m virt2.cli COMMAND`` where it is not installed."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Do what the command line asks for, and give the exit status. No traceback reaches the operator.

    Ctrl-C and a closed pipe end the process by their signals, as they end other programs.
    """
    # Before anything else is imported, because that takes a moment too. Who ignores it goes on ignoring it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from virt2.cli import process

    return process.run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
