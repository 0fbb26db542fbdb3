"""Configurations written as texts, for the tests of what is made of them."""

from __future__ import annotations

from virt2.cli import syntax
from virt2.cli.effective import Effective, effective
from virt2.config import reading
from virt2.config.reading import Traced

FILE = "/etc/collectd/collectd.conf"


def collectd(text: str) -> Effective:
    """What is in force after a text."""
    return effective(syntax.parse(FILE, text.encode()).nodes)


def virt2(options: str = "", before: str = "", inside: str = "") -> Effective:
    """What is in force with virt2 loaded and these options, below other lines, with lines in the Python block."""
    return collectd(
        f"{before}\nLoadPlugin python\n<Plugin python>\n{inside}\nImport virt2\n<Module virt2>\n{options}\n</Module>\n"
        "</Plugin>\n"
    )


def traced(options: str) -> Traced:
    """The settings from options, with their places."""
    return reading.trace(virt2(options).modules)
