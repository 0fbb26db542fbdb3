"""Which selectors ask guests' agents, and what is said of that at the start."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable
from typing import Any

from virt2.agents.guestinfo import AGENT_SELECTORS, FILE_SYSTEM, FS_INFO
from virt2.output import collectd_host

log = logging.getLogger(__name__)


def usable(wanted: Collection[str], collectd: Any) -> list[str]:
    """Give those of the wanted selectors that need agents; without those whose type collectd does not know.

    Arguments:
        wanted: what ExtraStats says.
        collectd: its module.
    """
    selectors = [selector for selector in AGENT_SELECTORS if selector in wanted]
    if FS_INFO in selectors and not collectd_host.knows_type(collectd, FILE_SYSTEM):
        selectors.remove(FS_INFO)
        log.warning(
            "%s is left out, because collectd knows no type %s: name %s with TypesDB, and collectd's own types.db too",
            FS_INFO,
            FILE_SYSTEM,
            os.path.join(os.path.dirname(os.path.dirname(__file__)), "types.db"),
        )
    return selectors


def announce(selectors: Iterable[str], connection: str) -> None:
    """Say once that agents are asked, because that takes a connection that could do anything.

    Arguments:
        selectors: those that need agents.
        connection: URI of the connection.
    """
    log.info(
        "%s: one read-write connection to %s is opened, because libvirt lets nobody else ask guests' agents; nothing"
        " else is done on it",
        ", ".join(selectors),
        connection,
    )
