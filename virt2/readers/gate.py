"""How a domain's monitor is approached: what shows that it would not answer, without asking it."""

from __future__ import annotations

from typing import Protocol

CONTROL_INFO = "controlInfo"
"""The call that asks who is inside a monitor: libvirtd answers it at once, but for a domain whose lock is held."""
CONTROL_BROKEN = 2
"""libvirt's VIR_DOMAIN_CONTROL_ERROR_REASON_MONITOR: the detail of state ERROR where it cannot talk to the monitor."""
CONTROL_INTERNAL = 3
"""VIR_DOMAIN_CONTROL_ERROR_REASON_INTERNAL: the detail while somebody has the domain's job and is not in the monitor,
as libvirt 9.0 says while a device removal waits for the guest."""
CONTROL_OK, CONTROL_JOB, CONTROL_OCCUPIED, CONTROL_ERROR = range(4)
"""libvirt's virDomainControlState."""

LOOKS = (0.02, 0.08, 0.3)
"""Seconds until the next look at a monitor that somebody else is in. Their calls take 1 to 100 ms: a domain that a
management system happens to talk to keeps its point; together well under the deadline of a read."""
WAIT_FOR_STATE = 0.02
"""Seconds until a domain's class B job is tried again when its class A job has not come back yet."""


class Processes(Protocol):
    """What is seen of a domain's QEMU without asking anybody (see `virt2.sources.procfs`)."""

    def stopped(self, uuid: str, name: str) -> str:
        """T or D where its main thread is stopped or in uninterruptible sleep, else empty."""
