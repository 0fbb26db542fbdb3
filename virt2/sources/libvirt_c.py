"""Calls of libvirt's C library that libvirt-python makes in more round trips than they need.

libvirt-python asks for the size of a reply before it asks for the reply. Here every reply of libvirt's has room, so the
size need not be asked for. (libvirt leaves out what does not fit; that is no error.) `blockStatsFlags` takes 2 round
trips instead of 4, and one of them goes to the QEMU monitor instead of two. `getCPUStats` takes 2 instead of 4, `vcpus`
takes 1 instead of 3. The functions return None where libvirt said no; its error is then the calling thread's last one,
as after any call of libvirt-python's.
"""

from __future__ import annotations

import ctypes
from typing import Any

_LIBRARY = "libvirt.so.0"
_NAME_BYTES = 80
"""VIR_TYPED_PARAM_FIELD_LENGTH."""
_ROOM = 16
"""Parameters that a reply has room for: as many as libvirt's protocol admits. A disk has 8, a CPU has 3."""
_TOTAL = -1
"""The number of the first CPU with which virDomainGetCPUStats gives the sum over all CPUs."""


class _Value(ctypes.Union):
    _fields_ = (
        ("i", ctypes.c_int),
        ("ui", ctypes.c_uint),
        ("l", ctypes.c_longlong),
        ("ul", ctypes.c_ulonglong),
        ("d", ctypes.c_double),
        ("b", ctypes.c_char),
        ("s", ctypes.c_void_p),
    )


class _Parameter(ctypes.Structure):
    """virTypedParameter."""

    _fields_ = (("field", ctypes.c_char * _NAME_BYTES), ("type", ctypes.c_int), ("value", _Value))


_MEMBERS = {1: "i", 2: "ui", 3: "l", 4: "ul", 5: "d"}
"""The member of the value, by virTypedParameterType. No reply to these calls has a text or a boolean."""


class _VcpuInfo(ctypes.Structure):
    """virVcpuInfo."""

    _fields_ = (
        ("number", ctypes.c_uint),
        ("state", ctypes.c_int),
        ("cpu_time", ctypes.c_ulonglong),
        ("cpu", ctypes.c_int),
    )


class CLibrary:
    """The library that libvirt-python works with. A domain is given as `virDomain.c_pointer` gives it.

    Raises:
        OSError: it cannot be loaded.
        AttributeError: it lacks one of the functions.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        self._block_stats = library.virDomainBlockStatsFlags
        self._block_stats.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint]
        self._cpu_stats = library.virDomainGetCPUStats
        self._cpu_stats.argtypes = [
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_uint,
            ctypes.c_uint,
        ]
        self._vcpus = library.virDomainGetVcpus
        self._vcpus.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_int]

    def block_stats(self, domain: int, target: str) -> dict[str, Any] | None:
        """Give what virDomainBlockStatsFlags says."""
        parameters = (_Parameter * _ROOM)()
        count = ctypes.c_int(_ROOM)
        if self._block_stats(domain, target.encode(), parameters, ctypes.byref(count), 0) < 0:
            return None
        return _values(parameters, count.value)

    def cpu_stats(self, domain: int) -> dict[str, Any] | None:
        """Give what virDomainGetCPUStats says, summed up over all CPUs."""
        parameters = (_Parameter * _ROOM)()
        count = self._cpu_stats(domain, parameters, _ROOM, _TOTAL, 1, 0)
        return None if count < 0 else _values(parameters, count)

    def vcpus(self, domain: int, count: int, host_cpus: int) -> list[tuple[int, int, int, tuple[bool, ...]]] | None:
        """Give what virDomainGetVcpus says: number, state, CPU time in ns, and which CPUs of the host may run it.

        Arguments:
            count: how many virtual CPUs of the domain are in use.
            host_cpus: how many CPUs of the host are asked about; 0 for none.
        """
        infos = (_VcpuInfo * count)()
        length = (host_cpus + 7) // 8
        maps = (ctypes.c_ubyte * (length * count))() if length else None
        found = self._vcpus(domain, infos, count, maps, length)
        if found < 0:
            return None
        return [
            (
                info.number,
                info.state,
                info.cpu_time,
                tuple(bool(maps[index * length + cpu // 8] >> cpu % 8 & 1) for cpu in range(host_cpus)) if maps else (),
            )
            for index, info in enumerate(infos[:found])
        ]


def _values(parameters: Any, count: int) -> dict[str, Any]:
    return {
        parameter.field.decode(errors="replace"): getattr(parameter.value, _MEMBERS[parameter.type])
        for parameter in parameters[:count]
        if parameter.type in _MEMBERS
    }
