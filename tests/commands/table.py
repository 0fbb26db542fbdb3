"""How a command line of the documentation is known to work."""

from __future__ import annotations

import importlib
import pkgutil
from typing import NamedTuple, Union

from tests.commands import pages


class Lab(NamedTuple):
    """tests/integration/test_commands_of_docs.py runs it in a lab, as it stands on the page.

    The lab has the guests `web-1` and `web-2`, a collectd with virt2 that reads them, and the command `virt2`.
    """

    prints: str
    """A pattern of what it must print, errors included."""
    status: int = 0
    """The exit status that is right."""
    state: str = "well"
    """How the lab must be (see `STATES` there)."""


class Script(NamedTuple):
    """A script of this repository: tests/unit/test_commands_of_docs.py runs the program that it becomes."""

    prints: str
    """A pattern of what it must print."""


class Elsewhere(NamedTuple):
    """Another test runs it."""

    test: str
    """The test's file."""
    by: str = ""
    """What stands there to run it; the line itself or the name of its page where this is left out."""


class Never(NamedTuple):
    """No test runs it."""

    reason: str
    """A sentence that says why it cannot be."""


How = Union[Lab, tuple[Lab, ...], Script, Elsewhere, Never]
"""How a line is run; in several states of a lab, one after the other, where there are several."""


def labs(how: How) -> tuple[Lab, ...]:
    """Give how a line is run in labs; nothing where it is not."""
    if isinstance(how, Lab):
        return (how,)
    return how if type(how) is tuple else ()


def alike(line: str) -> str:
    """Give a command line with one blank between words, whatever stands there on the page."""
    return " ".join(line.replace("\\\n", " ").split())


def tables() -> dict[str, dict[str, How]]:
    """Give the table of each page, by the page's path, with its lines as `alike` gives them.

    Raises:
        ValueError: two modules are about one page.
    """
    found: dict[str, dict[str, How]] = {}
    for module in pkgutil.iter_modules(pages.__path__):
        page = importlib.import_module(f"{pages.__name__}.{module.name}")
        if page.PAGE in found:
            raise ValueError(f"two modules are about {page.PAGE}")
        found[page.PAGE] = {alike(line): how for line, how in page.LINES.items()}
    return found
