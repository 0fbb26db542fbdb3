"""Whether collectd may see what virt2 looks at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from virt2.cli.findings import ERROR, NOTE, WARNING, Finding
from virt2.metrics.selectors import AGENT, SELECTORS

_AGENTS = frozenset(selector.name for selector in SELECTORS if selector.kind == AGENT)


class Rights(NamedTuple):
    """What was tried as the user that runs this."""

    user: str
    """Who that is."""
    daemon_user: str
    """Who collectd runs as now; empty where that is not known."""
    admin: str
    """Why libvirtd does not tell its limits, in words; empty where it does, or was not asked."""
    processes: str
    """Why the domains' processes cannot be seen, in words; empty where they can, or were not looked for."""
    read_write: str
    """The socket for connections that may ask agents; empty where it is not known, or this user may use it."""
    selinux: bool
    """Whether SELinux is enforcing."""


def rights(found: Rights, selectors: frozenset[str]) -> Iterator[Finding]:
    """Tell what is missing.

    Args:
        selectors: what ExtraStats asks for.
    """
    if found.daemon_user not in ("", found.user):
        what = f"collectd runs as {found.daemon_user}, and this runs as {found.user}: so rights were not looked at"
        yield Finding(NOTE, what, f"Run it again as {found.daemon_user}.")
        return
    who = f"{found.user} (as whom collectd runs)" if found.daemon_user else found.user
    if found.admin:
        yield Finding(
            WARNING,
            f"libvirtd does not tell {who} how many workers it has: {found.admin}. virt2 then holds at most 4 of them",
            "Run collectd as root, set AdminConnection, or set Workers to half of libvirtd's max_workers.",
        )
    if found.processes:
        yield Finding(
            WARNING,
            f"{who} does not see the domains' processes: {found.processes}. So CPU time is asked of libvirt, one call"
            " each, and a stopped QEMU is only found by a call that does not come back",
            "Run collectd as root, and mount /proc so that it sees all processes (without hidepid).",
        )
    if found.read_write and selectors & _AGENTS:
        wanted = ", ".join(sorted(selectors & _AGENTS))
        yield Finding(
            ERROR,
            f"{who} may not use {found.read_write}, without which {wanted} cannot ask any agent",
            "Run collectd as root, or as a member of the group libvirt.",
        )
    if found.selinux:
        yield Finding(
            NOTE,
            "SELinux is enforcing, and its policy for collectd may forbid what was allowed here",
            "Where virt2 reports a right that is missing, look for it with: ausearch -m avc -c collectd.",
        )
