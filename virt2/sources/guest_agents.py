"""What guests' agents are asked, over a read-write connection of their own."""

from __future__ import annotations

import contextlib
from typing import Any

import libvirt

from virt2 import errors
from virt2.sources.translation import Translated, is_alive, words

_NO_AGENT = frozenset(
    {
        libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
        getattr(libvirt, "VIR_ERR_AGENT_UNSYNCED", 88),
        # libvirt says this of a domain without a channel for an agent.
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    }
)
KNOWN_DOMAINS = 4096
"""Look-ups that a connection remembers before it forgets them all, because domains may come and go for months."""


class AgentConnection:
    """A read-write connection, on which guests' agents are asked and nothing else is done. Any thread may use it.

    A call waits for the guest. Meanwhile it holds a worker of libvirtd's, but neither the monitor nor the lock of the
    domain. Whoever else asks the same agent waits for our call too.

    The calls wait without limit. libvirt has a limit, but it is a setting of the domain and so one for everybody: a
    freeze for a backup that waits behind our call would fail by it, and it would stay if we died in the call.

    Arguments:
        raw: the connection of libvirt's.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._translated = Translated(raw)
        self._domains: dict[str, Any] = {}
        """Look-ups, so that a call takes one message: each may wait (see `hypervisor.SHARED_KEEPALIVE_INTERVAL`)."""

    def __repr__(self) -> str:
        return f"<AgentConnection alive={self.alive}>"

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side knows (no round trip)."""
        return is_alive(self._raw)

    def close(self) -> None:
        """Give the connection back. This may block like any call, and never raises."""
        # Each holds a reference to the connection, which would stay open.
        self._domains.clear()
        with contextlib.suppress(libvirt.libvirtError):
            self._raw.close()

    def guest_info(self, uuid: str) -> dict[str, Any]:
        """Ask for all that the agent can tell, under libvirt's names.

        In the end libvirt looks at the domain itself, and the monitor must be free for that: this part is class B. The
        values are the guest's own, so their size and their sense are not certain.

        Raises:
            AgentSilent: there is no agent, or it does not answer.
            CallFailed: what came is not what an agent says.
        """
        return dict(self._ask("guestInfo", uuid, 0, 0))

    def fs_info(self, uuid: str) -> list[tuple[Any, ...]]:
        """Ask for mount point, name, type and disks of each file system of the guest; otherwise like `guest_info`."""
        return [tuple(line) for line in self._ask("fsInfo", uuid)]

    def _ask(self, call: str, uuid: str, *arguments: int) -> Any:
        try:
            with self._translated:
                domain = self._domains.get(uuid)
                if domain is None:
                    domain = self._raw.lookupByUUIDString(uuid)
                    if len(self._domains) >= KNOWN_DOMAINS:
                        self._domains.clear()
                    self._domains[uuid] = domain
                if not hasattr(domain, call):
                    raise errors.Unsupported(f"libvirt's Python binding has no {call}")
                try:
                    return getattr(domain, call)(*arguments)
                except libvirt.libvirtError as error:
                    if error.get_error_code() in _NO_AGENT and self.alive:
                        raise errors.AgentSilent(words(error)) from None
                    raise
        except (SystemError, UnicodeError) as error:
            # So the binding says that the guest's bytes, or an error of libvirt's that quotes them, are no text.
            raise errors.CallFailed("the reply is no text") from error
