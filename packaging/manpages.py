"""Makes the man pages, out of the tables that the code and the documentation are made of or compared with.

No page is kept: packages have them made when they are built, and tests look at what comes out.
"""

from __future__ import annotations

import command_page
import plugin_page
from checkout import date_of, read

from virt2.cli import commands
from virt2.version import VERSION


def texts() -> dict[str, str]:
    """Give the text of every man page by the name of its file."""
    date = date_of(VERSION, read("CHANGELOG.md"))
    options, metrics, agents = (read(f"docs/{name}.md") for name in ("options", "metrics", "guest-agent"))
    return {
        "collectd-virt2.5": plugin_page.page(options, metrics, agents, date),
        "virt2.1": command_page.page(commands.parser(), date),
    }
