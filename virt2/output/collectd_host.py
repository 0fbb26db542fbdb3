"""The collectd that virt2 runs in: its log, and what its Python API does not offer."""

from __future__ import annotations

import ctypes
import logging
import socket
from typing import Any

from virt2.output.log import Handler

DEFAULT_INTERVAL = 10.0
"""Seconds. This is collectd's own default. It is used where the interval of collectd cannot be read."""
_CDTIME_SECOND = 2**30
"""collectd counts time in units of 2^-30 s."""


def log_to(collectd: Any) -> None:
    """Have everything that virt2 logs written to collectd's log."""
    log = logging.getLogger("virt2")
    log.handlers = [
        Handler({logging.ERROR: collectd.error, logging.WARNING: collectd.warning, logging.INFO: collectd.info})
    ]
    log.setLevel(logging.INFO)
    log.propagate = False


def knows_type(collectd: Any, type: str) -> bool:
    """Whether a type is in one of the types.db that collectd has loaded."""
    try:
        collectd.get_dataset(type)
    except TypeError:
        return False
    return True


def interval_in_force() -> float | None:
    """Give the interval of the LoadPlugin block or the global one, in seconds. Valid only during config and init.

    It is not in collectd's Python API, but the daemon exports it. None where the daemon does not.
    """
    try:
        function = ctypes.CDLL(None).plugin_get_interval
    except AttributeError:
        return None
    function.restype = ctypes.c_uint64
    function.argtypes = []
    return float(function()) / _CDTIME_SECOND


def own_hostname() -> str:
    """Give the host's name in collectd (its Hostname option), else the system's name.

    The daemon exports the name as ``hostname_g``. This is a pointer since the version that also exports
    ``hostname_set``.
    """
    daemon = ctypes.CDLL(None)
    if hasattr(daemon, "hostname_g") and hasattr(daemon, "hostname_set"):
        name = ctypes.c_char_p.in_dll(daemon, "hostname_g").value
        if name:
            return name.decode(errors="replace")
    return socket.gethostname()
