"""Calls that a libvirt or its driver does not have, or that a domain cannot answer: not made again, and said once."""

from __future__ import annotations

import logging

from virt2.domains.health import Health
from virt2.errors import Missing, Refused, Unsupported

log = logging.getLogger(__name__)

CONTROL_INFO = "controlInfo"
"""The call that asks who is inside a monitor: libvirtd answers it at once, except for a domain whose lock is held."""

CONSEQUENCES = {
    CONTROL_INFO: "whether somebody is inside a domain's monitor is found out only by a call that does not come back",
}
"""What a missing call costs, where that is more than the values it serves."""


class MissingCalls:
    """Calls that this libvirt, or its driver, does not have: made for no other domain until there is a new connection.

    Xen and LXC have no control info and no bulk statistics, for example. What such a call serves is left out, and
    everything else goes on.
    """

    def __init__(self) -> None:
        self._calls: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"<MissingCalls {sorted(self._calls)}>"

    def __contains__(self, call: str) -> bool:
        return call in self._calls

    def add(self, call: str, words: str) -> None:
        """Remember a call, and say so; two that find out at the same time may both say it."""
        if self._calls.get(call) is None:
            self._calls[call] = words
            cost = CONSEQUENCES.get(call, "what it serves is not reported")
            log.warning("this libvirt does not have the call %s, so %s: %s", call, cost, words)

    def covers(self, what: str, device: str, health: Health) -> bool:
        """Whether a call need not be made for a device, because this libvirt or this domain cannot answer it."""
        return (what, device) in health.unsupported or what in self._calls

    def note(self, error: Unsupported, what: str, device: str, health: Health) -> bool:
        """Remember that a call could not be answered; returns whether that is a trouble of this domain to report.

        A call that libvirt refuses as invalid gets a second chance: it may be invalid only for now.
        """
        if isinstance(error, Missing):
            self.add(what, str(error))
            return False
        if isinstance(error, Refused) and (what, device) not in health.refused:
            health.refused.add((what, device))
            return False
        health.unsupported.add((what, device))
        return True

    def forget(self) -> None:
        """There is a new connection, maybe to another libvirt."""
        self._calls = {}
