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
        # Of a domain without a channel for one.
        libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    }
)


class AgentConnection:
    """A read-write connection, on which guests' agents are asked and nothing else is done. For any number of threads.

    The calls wait for the guest: without the monitor or the domain's lock, but holding a worker of libvirtd's. Whoever
    else asks the same agent waits for it too.

    They wait without limit. libvirt has one, but as a setting of the domain, for everybody: a freeze for a backup that
    waits behind our call would fail by it, and it would stay if we died in the call.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self._translated = Translated(raw)

    @property
    def alive(self) -> bool:
        """Whether the connection still stands, as far as this side knows (no round trip)."""
        return is_alive(self._raw)

    def close(self) -> None:
        """Give the connection back. May block like any call; never raises."""
        with contextlib.suppress(libvirt.libvirtError):
            self._raw.close()

    def guest_info(self, uuid: str) -> dict[str, Any]:
        """All that the agent can tell, by libvirt's names.

        With a last look at the domain, for which the monitor must be free: class B in that. The values are the guest's
        own, of any size and sense.

        Raises:
            AgentSilent: there is none, or it does not answer.
            CallFailed: what it said is none of what an agent says.
        """
        return dict(self._ask("guestInfo", uuid, 0, 0))

    def fs_info(self, uuid: str) -> list[tuple[Any, ...]]:
        """Mount point, name, type and disks of each of the guest's file systems; otherwise as `guest_info`."""
        return [tuple(line) for line in self._ask("fsInfo", uuid)]

    def _ask(self, call: str, uuid: str, *arguments: int) -> Any:
        try:
            with self._translated:
                domain = self._raw.lookupByUUIDString(uuid)
                if not hasattr(domain, call):
                    raise errors.Unsupported(f"libvirt's Python binding has no {call}")
                try:
                    return getattr(domain, call)(*arguments)
                except libvirt.libvirtError as error:
                    if error.get_error_code() in _NO_AGENT and self.alive:
                        raise errors.AgentSilent(words(error)) from None
                    raise
        except (SystemError, UnicodeError) as error:
            # The binding's way to say that the guest's bytes, or an error of libvirt's that quotes them, are no text.
            raise errors.CallFailed("the reply is no text") from error
