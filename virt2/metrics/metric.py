"""A metric: what collectd is given, and those that more than one wing makes."""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024


class Metric(NamedTuple):
    """One value list of collectd's, without its identity and time."""

    type: str
    """A name in types.db, such as ``disk_octets``."""
    type_instance: str
    """Which disk, interface, ...; empty where there is but one."""
    values: tuple[int | float, ...]
    """In the order of the type's data sources."""


def monitor_blocked(seconds: float) -> Metric:
    """How long the domain's monitor has not been usable; 0 when well."""
    return Metric("duration", "monitor_blocked", (seconds,))


def sample_age(seconds: float) -> Metric:
    """How long ago everything that is asked of the domain was last answered in one read."""
    return Metric("duration", "sample_age", (seconds,))


def state(number: int, reason: int) -> Metric:
    """State of a domain and its reason, libvirt's numbers."""
    return Metric("domain_state", "", (number, reason))


def gauge(name: str, value: float) -> Metric:
    """A number that virt2 says of itself or of libvirtd."""
    return Metric("gauge", name, (value,))


def known(*metrics: Metric) -> list[Metric]:
    """Leave out what libvirt does not know: it says -1."""
    return [metric for metric in metrics if -1 not in metric.values]
