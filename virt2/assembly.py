"""Builds everything from the settings, and lists what runs. It is the only module that knows all wings."""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

from virt2.agents import selectors as agent_selectors
from virt2.agents.connection import SharedConnection
from virt2.agents.reader import AgentReader
from virt2.capacity import Capacity, Needs, Pools
from virt2.config import reading
from virt2.config.settings import MOST_AUTOMATIC, Settings
from virt2.description.describer import Describer
from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.description.metadata import Pick
from virt2.domains.discovery import Discovery
from virt2.domains.entries import Describing
from virt2.domains.health import Healths
from virt2.domains.inventory import Inventory, Listeners, Schedule
from virt2.domains.link import Link
from virt2.metrics.selectors import Selection
from virt2.model.events import Event
from virt2.notifications.alarms import Alarms
from virt2.notifications.domain_events import DomainEvents
from virt2.notifications.notification import FAILURE, OKAY
from virt2.notifications.notifier import Mail, Notifier
from virt2.once import Conditions, Gatherer, Once
from virt2.output import collectd_host
from virt2.output.naming import Identity, Names
from virt2.output.sink import Sink
from virt2.parts import Callback, Running
from virt2.readers.context import Domains, Outputs, Timing, Workers
from virt2.readers.gate import Gate
from virt2.readers.groups import Groups, Readers
from virt2.readers.inactive import InactiveStates
from virt2.readers.outside import Outside
from virt2.readers.partition import Explicit
from virt2.readers.reader import HostSources, Reader
from virt2.readers.results import Results
from virt2.readers.sampling import Sampler
from virt2.readers.storage import StorageReader
from virt2.readers.turns import Shortage
from virt2.sources import admin, daemon, procfs
from virt2.sources.admin_poller import AdminPoller
from virt2.sources.hypervisor import Hypervisor
from virt2.sources.netdev import HostInterfaces
from virt2.sources.visibility import Visibility
from virt2.status.desk import Desk
from virt2.status.observer import Crews, Observer, Watched
from virt2.status.server import Server
from virt2.status.snapshot import About
from virt2.text import xpath
from virt2.threads import guarded
from virt2.workers import sizing
from virt2.workers.budget import Budget
from virt2.workers.connects import Connects
from virt2.workers.other_clients import OtherClients
from virt2.workers.pool import Pool, thread_name

log = logging.getLogger(__name__)

FIND_PATIENCE = 1.0
"""Seconds for which a notification waits for the metadata that its domain is named by; usually they take a tenth."""
HELD_INTERVALS = 1.5
"""Intervals for which something has to be right again before a line says so, because what changes with every read is
not over."""
FIRST_LIMITS = 0.3
"""Seconds for which the first plan waits for libvirtd's word on its workers, which takes 1 ms when all is well."""
LIMITS_AGE = 3
"""Intervals for which libvirtd's word on its workers holds: one reading may fail without a change of plan."""


class Assembly:
    """Everything that one virt2 consists of. Nothing runs before `start`.

    Arguments:
        settings: the configuration.
        collectd: its module.
        register: has collectd call something from now on.
    """

    def __init__(self, settings: Settings, collectd: Any, register: Callable[[Callback], None]) -> None:
        self.settings = settings
        self._collectd = collectd
        self._register = register
        self._failures = Once()
        self.running: list[Running] = []
        """Everything that runs, in the order in which it is started; it is stopped in the opposite order."""
        self._adjusting = threading.Lock()
        self._starting = threading.Lock()
        self.interval = settings.interval or collectd_host.interval_in_force() or collectd_host.DEFAULT_INTERVAL
        self._choose()
        self._build_output()
        self._build_sources()
        self._build_domains()
        self._build_readers()
        self._build_capacity()
        self._build_storage()
        self._build_agents()
        self._build_status()

    def __repr__(self) -> str:
        return f"<Assembly readers={sorted(self.readers)}>"

    def start(self) -> None:
        """Start the threads and have the readers called. The threads find out whether libvirt can be reached."""
        self.visibility.announce()
        self.running += [
            Running("virt2/notify", "when there is a notification", "itself alone; stop waits 0.5 s", self.notifier),
            Running(
                "virt2/events",
                "with events; every 0.1 s in a read",
                "itself alone; stop waits 0.5 s; the list finds what events do not tell",
                self.hypervisor.loop,
            ),
            Running("virt2/admin", "with every read", "itself alone; the limits are unknown then", self.poller),
            Running("virt2/list", "Interval, and with events", "itself alone; the last list is used", self.inventory),
            Running("virt2/look", "once for each connection, and while the list hangs", "itself alone"),
            Running("virt2/scout/*", "while the list hangs", "Workers", self.discovery_pool),
        ]
        if self.status is not None:
            bound = "2 s for each client; itself alone; stop waits 0.5 s"
            self.running.append(Running("virt2/status", "when somebody asks", bound, self.status))
        self._start_threads()
        self.poller.poke()
        if self._touches_storage:
            bound = "Workers, one for each storage domain"
            self.running.append(Running("virt2/stora/*", "StorageInterval", bound, self.storage_pool))
            # Not a name that a configured reader can have: collectd drops the second of a name and does not say so.
            self._register(Callback("virt2-storage", "storage", self._storage_tick, self.read_storage))
        if self._of_agents:
            bound = "Workers, never the last one"
            self.running.append(Running("virt2/agent/*", "GuestAgentInterval", bound, self.agent_pool))
            agent_selectors.announce(self._of_agents, self.settings.connection)
            self._register(Callback("virt2-agent", "agent", self._agent_tick, self.read_agents))
        self._add_readers(self.groups.sizes())

    def stop(self) -> None:
        """Let the threads go that can; those inside libvirt end with the process."""
        for running in reversed(self.running):
            if running.part is not None:
                try:
                    running.part.stop()
                except Exception as error:
                    log.error("%r could not be stopped: %r", running.part, error)

    def read(self, name: str) -> None:
        """Let one reader read."""
        reader = self.readers[name]
        self.other_clients.ask()
        with self.hypervisor.loop.undisturbed():
            reader.read()
        if not self.capacity.explains(reader.skipped):
            self._shortages[name].review(reader.skipped, reader.domains, reader.stuck, time.monotonic())
        self.troubles.say()
        if name == "0":
            if not self._touches_storage:
                # Otherwise the storage reader does.
                self.storage.watch()
            self.sink.dispatch(Identity("", "libvirtd"), self.capacity.metrics(), 0.0)
            self._inactive.report()
        self.adjust()

    def read_storage(self) -> None:
        """Let the storage reader read."""
        with self.hypervisor.loop.undisturbed():
            self.storage.read()
        self.storage.watch()

    def read_agents(self) -> None:
        """Let the guests' agents be asked."""
        with self.hypervisor.loop.undisturbed():
            self.agents.read()

    def adjust(self) -> None:
        """Follow libvirtd's limits and the domains: readers, budget and shares."""
        if self.inventory.listed and not self.capacity.is_announced:
            # Else the first plan would be made without the limits, and be said twice.
            self.poller.wait(FIRST_LIMITS)
        # A line of either may never be taken: the first keeps its own lock then, and the second has none.
        self._start_threads()
        sizes = self.groups.sizes()
        # One at a time; a reader that finds another at it leaves it to that one.
        if not self._adjusting.acquire(blocking=False):
            return
        try:
            self._add_readers(sizes)
            lines = self.capacity.follow(sizes, Pools(self.pools, self.storage_pool, self.agent_pool))
        finally:
            self._adjusting.release()
        # Only now, because a line that is never taken must not keep the other readers from all this.
        for level, text in lines:
            log.log(level, "%s", text)
        self.capacity.watch(waits_outside=self._outside.busy)

    def _choose(self) -> None:
        """What ExtraStats asks for, of all domains and of those of some readers."""
        settings = self.settings
        self._selection = Selection(settings.extra_stats)
        self._selections = {
            instance.name: Selection(instance.extra_stats)
            for instance in settings.explicit_instances
            if instance.extra_stats is not None
        }
        self._of_agents = agent_selectors.usable(settings.extra_stats, self._collectd)

    def _build_output(self) -> None:
        """Towards collectd: how domains and devices are called, values, notifications and what is said."""
        settings = self.settings
        self.notifier = Notifier(Mail(self._collectd, settings.plugin_name).send)
        self.sink = self._new_sink(self.interval)
        self.names = Names(
            settings.hostname_format,
            settings.plugin_instance_format,
            collectd_host.own_hostname(),
            reserved=reading.own_instances(settings),
        )
        self.filters = Filters(
            settings.domains, settings.block_devices, settings.interface_devices, settings.ignore_selected
        )
        self.labels = Labels(
            self.filters,
            settings.block_device_format,
            settings.block_device_format_basename,
            settings.interface_format,
            settings.report_block_devices,
            settings.report_network_interfaces,
        )
        self._pick = _wanted_metadata(settings)
        self.troubles = Gatherer()
        self.conditions = Conditions(HELD_INTERVALS * self.interval)
        self.alarms = Alarms(settings.stuck_after, self.notifier.notify)

    def _build_sources(self) -> None:
        """Towards libvirt and the host: connections, limits, processes and network devices."""
        settings = self.settings
        self._uri = daemon.resolve(settings.connection)
        self._place = daemon.place(self._uri)
        run_dir = self._place.qemu_run_dir
        self.hypervisor = Hypervisor(settings.connection, agents=bool(self._of_agents))
        self.budget = Budget(settings.workers or sizing.UNKNOWN_BUDGET, self._libvirtd)
        session = admin.Session(settings.admin_connection or self._uri)
        self.other_clients = OtherClients(self.budget, lambda: self.poller.poke())
        self.poller = AdminPoller(
            lambda: self.other_clients.reading(session.limits),
            max(LIMITS_AGE * self.interval, 10.0),
            leave=session.close,
            longest_retry=self.interval,
        )
        self.processes = procfs.Processes(run_dir) if settings.host_pre_scan and run_dir else None
        self.interfaces = HostInterfaces(lambda: self._libvirtd() if run_dir else None)
        self.visibility = Visibility(self._place, self.processes, self.interfaces)

    def _build_domains(self) -> None:
        """The active domains, and how each one is."""
        settings, run_dir = self.settings, self._place.qemu_run_dir
        tag = (settings.tag_namespace, settings.tag_element)
        describer = Describer(tag, self._pick, self.labels, procfs.read_mounts)
        self.domain_events = DomainEvents(
            self.notifier.put,
            self.names.of_any,
            lambda uuid: self.inventory.find(uuid, FIND_PATIENCE),
            wants=self.filters.domain,
            persistent=settings.persistent_notification,
        )
        self.inventory = Inventory(
            self.hypervisor,
            self.budget,
            Describing(
                describer.prepare,
                status_file=procfs.StatusFiles(run_dir) if run_dir else None,
                troubles=self.troubles,
                backups=self._touches_storage or settings.disk_stats == "bulk",
                idle=self._pick is not None,
                stopped=lambda uuid, name: self.processes.stopped(uuid, name) if self.processes is not None else "",
                surroundings=procfs.mounts_mark,
            ),
            schedule=Schedule(
                retry=self.interval,
                refresh=settings.refresh_interval,
                statuses_every=self.interval if settings.persistent_notification else None,
                inactive_every=self.interval if self._selection.state else None,
                paused=self.processes is not None,
            ),
            listeners=Listeners(
                on_link=guarded(self._failures, self._on_link),
                on_connect=guarded(self._failures, self._on_connect),
                on_list=guarded(self._failures, self._on_list),
                on_event=guarded(self._failures, self._on_event),
                on_statuses=guarded(self._failures, self.domain_events.take),
            ),
            wants=self.filters.domain,
        )
        self.discovery_pool = self._new_pool("scout")
        self.discovery = Discovery(
            self.inventory, self.budget, self.discovery_pool, lambda: procfs.guests(run_dir) if run_dir else ()
        )
        self.healths = Healths()
        self._inactive = InactiveStates(self.inventory, self.names, self.sink)

    def _build_readers(self) -> None:
        """Which reader has which domains, and what is asked of a domain. The readers themselves come with the list."""
        settings = self.settings
        self.readers: dict[str, Reader] = {}
        self.pools: dict[str, Pool] = {}
        self._shortages: dict[str, Shortage] = {}
        self.groups = Groups(
            self.inventory,
            Readers(
                [
                    Explicit(instance.name, tuple(match.matches for match in instance.tags))
                    for instance in settings.explicit_instances
                ],
                settings.instances,
                limit=lambda: min(MOST_AUTOMATIC, self.capacity.plan({}).budget),
                partition_by=settings.partition_by,
            ),
            interval=self.interval,
            on_change=guarded(self._failures, self._retain),
            afterwards=guarded(self._failures, self.alarms.retain),
        )
        self._outside = Outside()
        self._gate = Gate(
            processes=self.processes,
            pre_scan=settings.pre_scan,
            alone=self.other_clients.check,
            check_workers=self.inventory.check_workers,
            doubt=self.budget.doubt,
            stuck_after=settings.stuck_after,
        )
        self._sampler = functools.partial(
            Sampler,
            gate=self._gate,
            outside=self._outside,
            notice_move=self.inventory.notice_change if settings.disk_stats == "bulk" else None,
        )
        self._domains = Domains(self.inventory, self.discovery, self.groups, self.healths, self.names, self.alarms)

    def _build_capacity(self) -> None:
        settings = self.settings
        needs = Needs(
            connection=settings.connection,
            interval=self.interval,
            workers=settings.workers,
            storage=self._touches_storage,
            agents=bool(self._of_agents),
            patience=settings.stuck_after,
            cpu_source=self._cpu_source,
        )
        self.capacity = Capacity(needs, self.budget, self.poller, self.other_clients, self.inventory, self.conditions)

    def _build_storage(self) -> None:
        """What touches the storage, apart from everything else."""
        interval = self.settings.storage_interval
        self._storage_tick = tick = min(self.interval, interval)
        self.storage_pool = self._new_pool("storage")
        self.storage = StorageReader(
            domains=self._domains,
            workers=Workers(self.storage_pool, self.budget),
            results=Results(self.names, self._new_sink(interval), troubles=self.troubles),
            sampler=functools.partial(self._sampler, extra=self._selection_of),
            timing=Timing(self.settings.timeout_for(tick), interval, tick),
        )

    def _build_agents(self) -> None:
        """What only guests' agents can tell, apart from everything else."""
        settings = self.settings
        self._agent_tick = tick = min(self.interval, settings.guest_agent_interval)
        shared = SharedConnection(self.hypervisor.connect_agents)
        # Attempts of its own, because libvirtd authorizes the users of read-write connections and of no others: these
        # alone may be kept waiting.
        attempts = Connects()
        self.agent_pool = Pool("agent", self.budget, shared.hold, connects=attempts, silent=self._is_silent)

        def waits() -> str:
            """Why there is no read-write connection, where libvirtd only keeps it waiting; else empty."""
            since = attempts.since
            waited = 0.0 if since is None else time.monotonic() - since
            return "" if waited < settings.stuck_after else f"it has not come for {waited:.0f} s"

        self.agents = AgentReader(
            selectors=self._of_agents,
            domains=self._domains,
            workers=Workers(self.agent_pool, self.budget, refused=lambda: shared.refused or waits()),
            outputs=Outputs(self._new_sink(settings.guest_agent_interval), self.notifier.notify),
            timing=Timing(settings.timeout_for(tick), settings.guest_agent_interval, tick),
            patience=settings.guest_agent_timeout,
            gate=self._gate,
        )

    def _build_status(self) -> None:
        """What somebody who asks is told."""
        settings, touches_storage, asks_agents = self.settings, self._touches_storage, bool(self._of_agents)
        others = {"storage": self.storage_pool} if touches_storage else {}
        if asks_agents:
            others["agent"] = self.agent_pool
        about = About(
            os.getpid(),
            time.monotonic(),
            settings.connection,
            self.interval,
            settings.timeout_for(self.interval),
            settings.stuck_after,
            settings.partition_by,
            {one.name: tuple(match.text for match in one.tags) for one in settings.explicit_instances},
            (settings.tag_namespace, settings.tag_element),
            settings.workers,
            touches_storage,
            asks_agents,
        )
        crews = Crews(self.readers, self.pools, others)
        watched = Watched(self._domains, self.budget, self.poller, self.capacity.plan, self._is_silent, crews)
        self.observer = Observer(watched, about)
        path = settings.status_socket
        self.status = None if path is None else Server(path, Desk(self.observer.take))

    def _add_readers(self, names: Iterable[str]) -> None:
        """Make a reader of each name that has none yet, and have collectd call it."""
        for name in names:
            if name not in self.readers:
                # The whole budget, until the first plan: it bounds them together.
                self.pools[name] = pool = self._new_pool(name, share=self.budget.size)
                self._shortages[name] = Shortage(name)
                self.readers[name] = self._reader(name, pool)
                self.running.append(Running(thread_name(name, "*"), "Interval", "Workers", pool))
                read = functools.partial(self.read, name)
                self._register(Callback(f"virt2/{name}", name, self.interval, read))

    def _reader(self, name: str, pool: Pool) -> Reader:
        selection = self._selections.get(name, self._selection)
        return Reader(
            name,
            domains=self._domains,
            workers=Workers(pool, self.budget, self._is_silent),
            sampler=functools.partial(self._sampler, extra=lambda uuid: selection),
            outputs=Outputs(self._new_sink(self.interval), self.notifier.notify, self.troubles),
            timing=Timing(
                self.settings.timeout_for(self.interval),
                self.interval,
                self.interval,
                refresh=self.settings.refresh_interval,
            ),
            host=HostSources(self.interfaces.read, self.processes),
        )

    def _new_pool(self, name: str, share: int = 1) -> Pool:
        return Pool(name, self.budget, self.hypervisor.connect, share=share, silent=self._is_silent)

    def _new_sink(self, interval: float) -> Sink:
        """One for each thread that dispatches."""
        return Sink(self._collectd, self.settings.plugin_name, interval)

    def _start_threads(self) -> None:
        """Start those that are not started yet: at init, or later where there could be no thread then.

        Events first, because they need to be there before the first connection. Two readers must not start one twice.
        """
        if self._starting.acquire(blocking=False):
            try:
                self.notifier.start()
                self.hypervisor.start_events()
                self.inventory.start()
                if self.status is not None:
                    self.status.start()
            finally:
                self._starting.release()

    def _cpu_source(self) -> str:
        """Where CPU time comes from; empty where there is no domain yet that would show it."""
        if not self.inventory.domains()[1]:
            return ""
        return "read off the kernel" if self.processes is not None and self.processes.known else "asked of libvirt"

    def _is_silent(self) -> bool:
        return self.capacity.is_silent()

    def _libvirtd(self) -> daemon.Daemon | None:
        """Which libvirtd of this host is at the other end now; None where that cannot be known."""
        return daemon.identify(daemon.place(self._uri))

    @property
    def _touches_storage(self) -> bool:
        """Whether any domain may be asked for what touches its storage."""
        return any(selection.touches_storage for selection in (self._selection, *self._selections.values()))

    def _selection_of(self, uuid: str) -> Selection:
        """What ExtraStats says of a domain: its reader's own, or that of all."""
        reader = self.groups.reader_of(uuid) if self._selections else None
        return self._selection if reader is None else self._selections.get(reader, self._selection)

    def _on_list(self) -> None:
        """Told by the inventory's thread that all domains were looked at."""
        for complaint in self.filters.complaints():
            log.warning("%s", complaint)
        if self.inventory.domains()[1]:
            self.visibility.check()

    def _on_connect(self) -> None:
        """Told by the inventory's thread: this libvirtd may know what the one before did not."""
        self._gate.missing.forget()
        self.healths.reconnected()
        self.other_clients.reconnected()
        self.poller.forgive()
        self.interfaces.reconnected()
        self.visibility.reconnected()

    def _on_event(self, event: Event) -> None:
        """Told by libvirt's thread."""
        self.healths.tell(event, time.monotonic())
        self.domain_events.tell(event)

    def _on_link(self, link: Link) -> None:
        """Told by the inventory's thread."""
        if link.up:
            self.notifier.notify(OKAY, "libvirt is back", Identity("", "libvirtd"))
        else:
            self.notifier.notify(FAILURE, f"libvirt cannot be reached: {link.reason}", Identity("", "libvirtd"))

    def _retain(self, uuids: Collection[str]) -> None:
        """Told in the middle of a read which domains are active: what is known of others is forgotten."""
        self.names.retain(uuids)
        active = set(uuids)
        self.names.settle(domain for domain in self.inventory.domains()[1] if domain.uuid in active)
        self.healths.retain(uuids)
        if self.processes is not None:
            self.processes.keep(uuids)


def _wanted_metadata(settings: Settings) -> Pick | None:
    """What domains are named by, out of their metadata; None where no name is made of it."""
    if "metadata" not in settings.hostname_format + settings.plugin_instance_format:
        return None
    return Pick(settings.hostname_metadata_ns, xpath.Path(settings.hostname_metadata_xpath))
