"""Pure: what libvirtd alone has to be asked of a domain in a read, given what is known without it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from virt2.domains.health import Health
from virt2.metrics.selectors import Ask, Selection
from virt2.model.domain import Domain, Nic


class ServerNeeds(NamedTuple):
    """What libvirtd alone has to be asked of a domain, apart from what its selectors and interfaces need."""

    info: bool = True
    """The whole domain: what is not known of its CPU time, its memory and its state is found there."""
    state: bool = False
    """Why it is paused."""
    memory: bool = True
    """Whether its memory is not known yet."""
    times: bool = True
    """Whether its CPU time in user and in kernel mode is not known yet."""
    is_look: bool = False
    """Whether nothing is asked but whether its monitor is blocked, and that only because no slot was left for its
    monitor."""


def server_needs(
    domain: Domain, health: Health, extra: Selection, interfaces: Collection[str], known: ServerNeeds
) -> ServerNeeds | None:
    """What libvirtd alone has to be asked of a domain; None where it need not be asked anything.

    Arguments:
        extra: what is asked because of ExtraStats.
        interfaces: names of the devices whose counters were read off the host.
        known: what has to be asked because it is not known otherwise.
    """
    needs = known._replace(info=True) if extra.needs_vcpus else known
    if needs.info or needs.state or extra.state or asks(extra, known):
        return needs
    # No other job looks whether its monitor is blocked.
    if not health.monitored:
        return needs
    for nic in domain.description.nics:
        if is_of_libvirt(nic, interfaces, health):
            return needs
    return needs._replace(is_look=True) if health.skipped else None


def asks(extra: Selection, needs: ServerNeeds) -> Sequence[Ask]:
    """The calls of class A that only ExtraStats selectors need."""
    return extra.server if needs.times else extra.server_without_times


def is_of_libvirt(nic: Nic, interfaces: Collection[str], health: Health) -> bool:
    """Whether libvirt is asked for the counters of an interface, and knows them by itself."""
    return not (nic.tap and nic.target in interfaces) and not (nic.outside or nic.target in health.slow)
