"""libvirt's errors become ours: no `libvirtError` leaves `virt2.sources`."""

from __future__ import annotations

from typing import Any

import libvirt

from virt2 import errors

_GONE = frozenset({libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID, libvirt.VIR_ERR_INVALID_ARG})
_UNSUPPORTED = frozenset(
    getattr(libvirt, name)
    for name in (
        "VIR_ERR_NO_SUPPORT",
        "VIR_ERR_ARGUMENT_UNSUPPORTED",
        "VIR_ERR_CONFIG_UNSUPPORTED",
        "VIR_ERR_OPERATION_UNSUPPORTED",
    )
    if hasattr(libvirt, name)
)


class Translated:
    """Context in which a libvirt error becomes one of ours.

    It is a class and no generator, because it is entered at every call that we make.

    Arguments:
        raw: the connection of libvirt's over which the calls are made.
    """

    __slots__ = ("_raw",)

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, libvirt.libvirtError):
            raise self.translate(error) from None

    def translate(self, error: Any) -> errors.Error:
        """Give our error for one of libvirt's; the message stays libvirt's."""
        code = error.get_error_code()
        said = words(error)
        if not is_alive(self._raw):
            return errors.Disconnected(said)
        # libvirt keeps the last error of a thread, and an object of libvirt-python's that is freed just then resets it.
        # Then only the failure itself is known, and the next read finds its reason out again.
        if code is None or code in _GONE:
            return errors.DomainGone(said)
        if code == libvirt.VIR_ERR_OPERATION_TIMEOUT:
            return errors.DomainBusy(said)
        if code == libvirt.VIR_ERR_NO_SUPPORT:
            return errors.Missing(said)
        if code in _UNSUPPORTED:
            return errors.Unsupported(said)
        return errors.CallFailed(said, code)


def is_alive(raw: Any) -> bool:
    """Whether a connection of libvirt's still stands, as far as this side knows (no round trip)."""
    try:
        return bool(raw.isAlive())
    except libvirt.libvirtError:
        return False


def words(error: Any) -> str:
    """Give what libvirt itself says of an error of its own."""
    return str(error.get_error_message() or error)
