"""Looks at this host as the plugin does, where no plugin runs: an assembly of its own, whose values go nowhere.

Nothing is asked that needs a domain's monitor or touches its storage, so nothing that is asked can hang or freeze a
guest. Everything runs on threads that may be lost to it, and is waited for within bounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from virt2.agents.guestinfo import AGENT_SELECTORS
from virt2.cli import quiet
from virt2.cli.bounded import Look
from virt2.config.settings import Settings
from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.metrics.selectors import Selection
from virt2.parts import Callback
from virt2.status.snapshot import Slots, Snapshot
from virt2.workers import sizing

if TYPE_CHECKING:
    from virt2.assembly import Assembly

WORKERS = 4
"""Most of libvirtd's workers that a look holds. Each call takes a fraction of a millisecond, if it comes back."""
TIMEOUT = 1.0
"""Seconds that one read may take."""
LISTING = 0.6
"""The part of the time in which there has to be a list. The rest is left to the reads."""
NOT_ASKED = "No monitor, disk or interface was asked, so only monitors that are seen to be blocked are told as such"
"""What a look leaves out, as a sentence without its full stop."""


class _Nothing:
    """Stands for collectd's Values and Notification: takes everything, and gives it to nobody."""

    def __init__(self, *_arguments: object, **_fields: object) -> None:
        pass

    def dispatch(self) -> None:
        """Nobody is given anything."""


class _Nowhere:
    """Stands for collectd's module."""

    NOTIF_OKAY, NOTIF_WARNING, NOTIF_FAILURE = 4, 2, 1
    Values = Notification = _Nothing

    def get_dataset(self, type: str) -> None:
        """Every type is known."""


class Found(NamedTuple):
    """What a look has found."""

    snapshot: Snapshot
    missing: tuple[str, ...]
    """What could not be found out, and what follows from that: sentences without their full stops."""
    listed: bool
    """Whether it is known which domains there are."""


class OwnLook:
    """Looks at a host, as often as is wanted. Building it blocks while the binding of libvirt is loaded.

    Arguments:
        settings: the configuration.
        build: makes an assembly of settings, a module of collectd, and what registers reads; None for the real one.

    Raises:
        ImportError: there is no Python binding of libvirt.
    """

    def __init__(self, settings: Settings, build: Callable[..., Assembly] | None = None) -> None:
        if build is None:
            from virt2.assembly import Assembly

            build = Assembly
        quiet.hush()
        self._settings = settings
        self._callbacks: dict[str, Callback] = {}
        self._assembly = build(_harmless(settings), _Nowhere(), self._register)
        self._reads: dict[str, Look[None]] = {}
        self._listing: Look[bool] | None = None
        self._is_started = False

    def __repr__(self) -> str:
        return f"<OwnLook {self._assembly!r}>"

    def _register(self, callback: Callback) -> None:
        self._callbacks[callback.reader] = callback

    def take(self, until: float) -> Found:
        """Read once with each reader, and give what is known at the end.

        Arguments:
            until: the moment on the monotonic clock at which it ends at the latest.
        """
        assembly, began = self._assembly, time.monotonic()
        if not self._is_started:
            self._is_started = True
            assembly.start()
        if self._listing is None or self._listing.wait(began):
            patience = max(until - began, 0.0) * LISTING
            self._listing = Look("list", lambda: assembly.inventory.refresh(0.0, patience))
        self._listing.wait(began + (until - began) * LISTING)
        if assembly.inventory.listed:
            assembly.adjust()
        # Where the list hangs, because the lock of one domain is held, a read finds the others by another way.
        for name, callback in tuple(self._callbacks.items()):
            # A read that is still under way is not begun a second time.
            if name not in self._reads or self._reads[name].wait(began):
                self._reads[name] = Look(f"read/{name}"[:9], callback.read)
        for look in self._reads.values():
            look.wait(until)
        return self._found(assembly.observer.take())

    def close(self) -> None:
        """Let the threads go that can."""
        self._assembly.stop()

    def _found(self, snapshot: Snapshot) -> Found:
        meant = _as_configured(snapshot, self._settings)
        return Found(meant, tuple(_missing(meant)), snapshot.listed_at is not None or bool(meant.domains))


def _harmless(settings: Settings) -> Settings:
    """Change settings so that nothing asks a monitor, touches a storage, waits for another program, or is told."""
    return settings._replace(
        status_socket=None,
        extra_stats=(),
        explicit_instances=tuple(one._replace(extra_stats=None) for one in settings.explicit_instances),
        report_block_devices=False,
        report_network_interfaces=False,
        persistent_notification=False,
        disk_stats=Settings().disk_stats,
        workers=min(settings.workers or WORKERS, WORKERS),
        timeout=min(settings.timeout or TIMEOUT, TIMEOUT),
    )


def _as_configured(snapshot: Snapshot, settings: Settings) -> Snapshot:
    """Give a snapshot the plan and the devices that the plugin would have with the settings as they are."""
    selections = [settings.extra_stats, *(one.extra_stats or () for one in settings.explicit_instances)]
    touches_storage = any(Selection(names).touches_storage for names in selections)
    asks_agents = any(name in AGENT_SELECTORS for name in settings.extra_stats)
    server = snapshot.server
    held = len([call for call in snapshot.calls if not call.cut_off])
    plan = sizing.plan(
        settings.workers,
        server.limits,
        server.limits_reason,
        held,
        {crew.name: crew.domains for crew in snapshot.crews if crew.domains is not None},
        storage=touches_storage,
        agents=asks_agents,
    )
    set_aside = 1 if plan.budget > sizing.GUARANTEED_ABOVE else 0
    labels = Labels(
        Filters((), settings.block_devices, settings.interface_devices, settings.ignore_selected),
        settings.block_device_format,
        settings.block_device_format_basename,
        settings.interface_format,
        settings.report_block_devices,
        settings.report_network_interfaces,
    )
    return snapshot._replace(
        about=snapshot.about._replace(
            workers=settings.workers, touches_storage=touches_storage, asks_agents=asks_agents
        ),
        plan=plan,
        slots=Slots(
            plan.budget,
            snapshot.slots.used,
            set_aside,
            snapshot.slots.connects,
            snapshot.slots.connects_since,
            snapshot.slots.refusal,
        ),
        domains=[
            domain._replace(description=labels.apply(domain.name, domain.description)) for domain in snapshot.domains
        ],
    )


def _missing(snapshot: Snapshot) -> list[str]:
    server, told = snapshot.server, []
    if server.link is None:
        told.append("libvirt did not answer in time, so it is not known which domains there are")
    elif not server.link.up:
        told.append(f"libvirt cannot be reached: {server.link.reason}")
    elif snapshot.listed_at is None and snapshot.domains:
        told.append(
            "libvirt did not list its domains in time, because the lock of one is held, or it is overloaded. These were"
            " found one by one, and others may be missing"
        )
    elif snapshot.listed_at is None:
        told.append("libvirt did not list its domains in time, so it is not known which domains there are")
    unseen = sum(1 for domain in snapshot.domains if domain.uuid not in snapshot.facts)
    if unseen:
        told.append(f"{unseen} of {len(snapshot.domains)} domains could not be looked at in time")
    waiting = {call.uuid for call in snapshot.calls if not call.cut_off}
    skipped = {name for crew in snapshot.crews for name in crew.skipped}
    late = sum(1 for domain in snapshot.domains if domain.uuid in waiting or domain.name in skipped)
    if late:
        why = ", because libvirtd has no worker left for them" if server.out_of_workers else ""
        told.append(f"{late} of {len(snapshot.domains)} domains did not answer in time{why}")
    bare = sum(1 for domain in snapshot.domains if not domain.description.complete)
    if bare:
        told.append(f"{bare} of {len(snapshot.domains)} domains could not be described, so their tags are not known")
    return told
