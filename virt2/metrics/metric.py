"""The record that collectd is given, and the metrics that more than one wing makes."""

from __future__ import annotations

from typing import NamedTuple

KIB = 1024


class Metric(NamedTuple):
    """One of collectd's value lists, without its identity and time."""

    type: str
    """A name in types.db, such as ``disk_octets``."""
    type_instance: str
    """Which disk, which interface, and so on; empty where there is only one."""
    values: tuple[int | float, ...]
    """In the order of the type's data sources."""


def monitor_blocked(seconds: float) -> Metric:
    """Give for how many seconds the domain's monitor has not been usable; 0 when it is well."""
    return Metric("duration", "monitor_blocked", (seconds,))


def sample_age(seconds: float) -> Metric:
    """Give how many seconds ago all questions about the domain were last answered in one read."""
    return Metric("duration", "sample_age", (seconds,))


def state(number: int, reason: int) -> Metric:
    """Give the state of a domain and its reason, in libvirt's numbers."""
    return Metric("domain_state", "", (number, reason))


def gauge(name: str, value: float) -> Metric:
    """Give a number that virt2 reports about itself or about libvirtd."""
    return Metric("gauge", name, (value,))


def known(*metrics: Metric) -> list[Metric]:
    """Leave out what libvirt does not know, for which it says -1."""
    return [metric for metric in metrics if -1 not in metric.values]
