"""What collectd imports: registers the callbacks, builds everything at init. Decides nothing.

The life of the plugin: `configure` is called once per ``<Module virt2>`` block, `init` once, then `read` once per
reader and interval on threads of collectd's, `shutdown` after the last read returned. No thread is started before
init (collectd forks after its configuration is read), and no exception leaves a callback (collectd would call it less
and less often), but for `configure` where StrictConfig asks for it.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from virt2 import admin, config, connects, daemon, domainxml, procfs, sizing, threads, xpath
from virt2.agentline import AgentLine
from virt2.agentreader import AgentReader
from virt2.alarms import Alarms
from virt2.budget import MONITOR, SERVER, Budget
from virt2.company import Company
from virt2.connects import Connects
from virt2.dispatch import Mail, Sink
from virt2.domain import Description
from virt2.errors import BadSetting
from virt2.filters import Filters
from virt2.guestinfo import AGENT_SELECTORS, FILE_SYSTEM, FS_INFO
from virt2.herald import Herald
from virt2.hypervisor import Hypervisor
from virt2.inactive import InactiveStates
from virt2.inventory import Describe, Inventory, Link
from virt2.labels import Labels
from virt2.log import Handler
from virt2.metrics import gauge
from virt2.naming import Identity, Names
from virt2.netdev import HostInterfaces
from virt2.notifier import Notifier
from virt2.once import Conditions, Gatherer
from virt2.outbox import Outbox
from virt2.outside import Outside
from virt2.partition import Explicit
from virt2.picking import Pick
from virt2.pool import Pool
from virt2.reader import Reader
from virt2.roster import Roster
from virt2.sampling import MissingCalls, Sampler
from virt2.scout import Scout
from virt2.selectors import Selection
from virt2.settings import Settings
from virt2.severity import FAILURE, OKAY
from virt2.storagereader import StorageReader
from virt2.stuck import Ward
from virt2.turns import Shortage
from virt2.version import VERSION

log = logging.getLogger("virt2")

DEFAULT_INTERVAL = 10.0
"""Seconds: collectd's own default, where the one in force cannot be learnt."""
_CDTIME_SECOND = 2**30
"""collectd counts time in units of 2^-30 s."""
CHANGES_SAID = 3
CHANGES_WITHIN = 60.0
"""So many changes of plan are said in so many seconds at the most."""
FIND_PATIENCE = 1.0
"""Seconds for which a notification waits for the metadata that its domain is named by; usually they take a tenth."""
MOST_SAID = 20
"""Unexpected failures that are said at the most, each once."""
HELD_INTERVALS = 1.5
"""Intervals for which something is right again before that is said: what changes with every read is not over."""
LIMITS_AGE = 3
"""Intervals for which libvirtd's word on its workers holds: one reading may fail without a change of plan."""


def register(collectd: Any) -> Plugin:
    """Register with collectd; `collectd` is the module that only its own interpreter has."""
    plugin = Plugin(collectd)
    collectd.register_config(plugin.configure, name="virt2")
    collectd.register_init(plugin.init, name="virt2")
    collectd.register_shutdown(plugin.shutdown, name="virt2")
    return plugin


class Plugin:
    """The callbacks, and everything they work on."""

    def __init__(self, collectd: Any) -> None:
        self._collectd = collectd
        self._blocks: list[Any] = []
        self._readers: dict[str, Reader] = {}
        self._pools: dict[str, Pool] = {}
        self._shortages: dict[str, Shortage] = {}
        self._adjusting = threading.Lock()
        self._plan: sizing.Plan | None = None
        """The plan that was said last."""
        self._changes: deque[float] = deque(maxlen=CHANGES_SAID)
        self._failures: set[str] = set()
        self._parts: list[Any] = []
        """What has threads and has to be stopped, in the order of its making."""
        self._broken = False
        """Whether init failed: nothing is read then."""
        self._suspended: frozenset[str] = frozenset()
        """Storage domains that were said not to answer."""
        _log_to(collectd)

    def configure(self, block: Any) -> None:
        """Take one ``<Module virt2>`` block."""
        self._blocks.append(block)
        settings, problems = config.parse(self._blocks)
        stopping = config.stopping(settings, problems)
        for problem in stopping:
            log.error("%s", problem.text)
        if stopping:
            raise BadSetting("StrictConfig", True, "a configuration without bad values and unknown keys")

    def init(self) -> None:
        """Build everything and start the threads; whether libvirt can be reached is found out by them."""
        try:
            self._init()
        except Exception as error:
            # Half of it would look well and report half of what it should.
            self._broken = True
            log.error("virt2 could not start, and nothing is reported until collectd is restarted: %r", error)
            self.shutdown()

    def _init(self) -> None:
        settings, problems = config.parse(self._blocks)
        for problem in problems:
            log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem.text)
        self._build(settings)
        if self._place.reason:
            log.info(
                "%s: so processes and network devices of this host are not looked at. Interfaces are asked of libvirt,"
                " one call each; a domain whose process is stopped is found out only by a call that does not come back;"
                " and while libvirt's list hangs, domains that are new are not found",
                self._place.reason,
            )
        self._parts = [self._notifier, self._limits, self._inventory, self._scouts]
        self._start_threads()
        self._limits.poke()
        self._build_storage()
        self._build_agents()
        self._register_readers(self._roster.sizes())

    def read(self, name: str) -> None:
        """Let one reader read."""
        if self._broken:
            return
        try:
            reader = self._readers[name]
            self._company.ask()
            reader.read()
            if not self._is_excused(reader.skipped):
                self._shortages[name].review(reader.skipped, reader.domains, reader.stuck, time.monotonic())
            self._troubles.say()
            if name == "0":
                if not self._touches_storage:
                    # Otherwise the storage reader does.
                    self._watch_storage()
                self._report_limits()
                self._inactive.report()
            self._adjust()
        except Exception as error:
            self._say_once(name, error)

    def read_storage(self) -> None:
        """Let the storage reader read."""
        if self._broken:
            return
        try:
            self._storage.read()
            self._watch_storage()
        except Exception as error:
            self._say_once("storage", error)

    def read_agents(self) -> None:
        """Let the guests' agents be asked."""
        if self._broken:
            return
        try:
            self._agents.read()
        except Exception as error:
            self._say_once("agent", error)

    def shutdown(self) -> None:
        """Let the threads go that can; those inside libvirt end with the process."""
        for part in (*self._pools.values(), *reversed(self._parts)):
            try:
                part.stop()
            except Exception as error:
                log.error("%r could not be stopped: %r", part, error)

    def _build(self, settings: Settings) -> None:
        self._settings = settings
        self._selection = Selection(settings.extra_stats)
        self._selections = {
            instance.name: Selection(instance.extra_stats)
            for instance in settings.explicit_instances
            if instance.extra_stats is not None
        }
        self._of_agents = self._agent_selectors(settings)
        self._interval = settings.interval or _interval_in_force() or DEFAULT_INTERVAL
        self._notifier = Notifier(Mail(self._collectd, settings.plugin_name).send)
        self._hypervisor = Hypervisor(settings.connection, agents=bool(self._of_agents))
        self._uri = daemon.resolve(settings.connection)
        self._place = daemon.place(self._uri)
        run_dir = self._place.qemu_run_dir
        self._budget = Budget(settings.workers or sizing.UNKNOWN_BUDGET, self._libvirtd)
        self._agent_connects = Connects()
        self._held = 0
        self._session = admin.Session(settings.admin_connection or self._uri)
        self._limits = admin.AdminPoller(
            self._read_limits,
            max(LIMITS_AGE * self._interval, 10.0),
            leave=self._session.close,
            longest_retry=self._interval,
        )
        self._company = Company(lambda: self._budget.used, self._limits.poke)
        self._filters = Filters(
            settings.domains, settings.block_devices, settings.interface_devices, settings.ignore_selected
        )
        self._labels = Labels(
            self._filters,
            settings.block_device_format,
            settings.block_device_format_basename,
            settings.interface_format,
            settings.report_block_devices,
            settings.report_network_interfaces,
        )
        self._names = Names(
            settings.hostname_format,
            settings.plugin_instance_format,
            _own_hostname(),
            reserved=config.own_instances(settings),
        )
        self._pick = _wanted_metadata(settings)
        self._troubles = Gatherer()
        self._herald = Herald(
            self._notifier.put,
            self._names.of_any,
            lambda uuid: self._inventory.find(uuid, FIND_PATIENCE),
            wants=self._filters.domain,
            persistent=settings.persistent_notification,
        )
        self._inventory = Inventory(
            self._hypervisor,
            self._budget,
            self._describer,
            retry=self._interval,
            refresh=settings.refresh_interval,
            on_link=self._guarded(self._on_link),
            on_connect=self._guarded(self._on_connect),
            wants=self._filters.domain,
            on_list=self._guarded(self._check_filters),
            on_event=self._guarded(self._herald.tell),
            on_statuses=self._guarded(self._herald.take),
            statuses_every=self._interval if settings.persistent_notification else None,
            inactive_every=self._interval if self._selection.state else None,
            describes_idle=self._pick is not None,
            status_file=procfs.StatusFiles(run_dir) if run_dir else None,
            troubles=self._troubles,
            backups=self._touches_storage or settings.disk_stats == "bulk",
            stopped=lambda uuid, name: self._processes.stopped(uuid, name) if self._processes is not None else "",
        )
        self._scouts = Pool("scout", self._budget, self._hypervisor.connect, silent=self._silent)
        self._scout = Scout(
            self._inventory, self._budget, self._scouts, lambda: procfs.guests(run_dir) if run_dir else ()
        )
        self._processes = procfs.Processes(run_dir) if settings.host_pre_scan and run_dir else None
        self._interfaces = HostInterfaces(lambda: self._libvirtd() if run_dir else None)
        self._is_diagnosed = False
        self._diagnoses: set[str] = set()
        """What was said not to be seen of this host."""
        self._ward = Ward()
        explicit = [
            Explicit(instance.name, tuple(match.matches for match in instance.tags))
            for instance in settings.explicit_instances
        ]
        self._roster = Roster(
            self._inventory,
            explicit=explicit,
            automatic=settings.instances,
            limit=lambda: self._make_plan({}).budget,
            partition_by=settings.partition_by,
            interval=self._interval,
            on_change=self._guarded(self._retain),
        )
        self._sink = self._new_sink(self._interval)
        self._inactive = InactiveStates(self._inventory, self._names, self._sink)
        self._missing = MissingCalls()
        self._outside = Outside()
        self._sampler = functools.partial(
            Sampler,
            processes=self._processes,
            pre_scan=settings.pre_scan,
            alone=self._company.away,
            out_of_workers=self._inventory.check_workers,
            missing=self._missing,
            outside=self._outside,
            bulk=settings.disk_stats == "bulk",
            is_changed=self._inventory.notice_change,
            stuck_after=settings.stuck_after,
        )
        self._alarms = Alarms(settings.stuck_after, self._notifier.notify)
        self._conditions = Conditions(HELD_INTERVALS * self._interval)

    def _libvirtd(self) -> daemon.Daemon | None:
        """Which libvirtd of this host is at the other end now; None where that cannot be known."""
        return daemon.identify(daemon.place(self._uri))

    def _new_sink(self, interval: float) -> Sink:
        """One for each thread that dispatches."""
        return Sink(self._collectd, self._settings.plugin_name, interval)

    def _start_threads(self) -> None:
        """Start those that are not started yet: at init, or later where there could be no thread then.

        Events first, for they need to be there before the first connection.
        """
        self._notifier.start()
        self._hypervisor.start_events()
        self._inventory.start()

    def _is_excused(self, skipped: Collection[str]) -> bool:
        """Whether what a read left out has a reason that is said of libvirtd as a whole."""
        return bool(skipped) and (
            self._silent()
            or self._inventory.out_of_workers
            or self._budget.calls_wait
            or bool(self._lack_of_connections())
        )

    def _guarded(self, callback: Callable[..., None]) -> Callable[..., None]:
        """The same for threads that must not end by it: libvirt's, the inventory's, one in the middle of a read."""

        @functools.wraps(callback)
        def guarded(*arguments: Any) -> None:
            try:
                callback(*arguments)
            except Exception as error:
                failure = f"{callback.__qualname__} {type(error).__name__}"
                if failure not in self._failures:
                    self._failures.add(failure)
                    log.exception("unexpected failure in %s, said once", callback.__qualname__)

        return guarded

    def _say_once(self, reader: str, error: Exception) -> None:
        if repr(error) not in self._failures and len(self._failures) < MOST_SAID:
            self._failures.add(repr(error))
            log.exception("unexpected failure of reader %s, said once", reader)

    def _build_storage(self) -> None:
        """What touches the storage, apart from everything else."""
        interval = self._settings.storage_interval
        tick = min(self._interval, interval)
        self._storage_pool = Pool("storage", self._budget, self._hypervisor.connect, silent=self._silent, strict=True)
        self._parts.append(self._storage_pool)
        self._storage = StorageReader(
            inventory=self._inventory,
            budget=self._budget,
            pool=self._storage_pool,
            ward=self._ward,
            outbox=Outbox(self._names, self._new_sink(interval), troubles=self._troubles),
            sampler=functools.partial(self._sampler, extra=self._selection_of),
            interval=interval,
            tick=tick,
            timeout=self._settings.timeout_for(tick),
        )
        if self._touches_storage:
            # Not a name that a configured reader can have: collectd drops the second of a name without a word.
            self._collectd.register_read(self.read_storage, tick, name="virt2-storage")

    def _agent_selectors(self, settings: Settings) -> list[str]:
        """The selectors that are on and need agents; without those whose type collectd does not know."""
        selectors = [selector for selector in AGENT_SELECTORS if selector in settings.extra_stats]
        if FS_INFO in selectors and not self._is_known(FILE_SYSTEM):
            selectors.remove(FS_INFO)
            log.warning(
                "%s is left out, for collectd knows no type %s: name %s with TypesDB, and collectd's own types.db too",
                FS_INFO,
                FILE_SYSTEM,
                Path(__file__).with_name("types.db"),
            )
        return selectors

    def _is_known(self, type: str) -> bool:
        """Whether a type is in one of the types.db that collectd has loaded."""
        try:
            self._collectd.get_dataset(type)
        except TypeError:
            return False
        return True

    def _build_agents(self) -> None:
        """What only guests' agents can tell, apart from everything else."""
        settings = self._settings
        tick = min(self._interval, settings.guest_agent_interval)
        line = AgentLine(self._hypervisor.connect_agents)
        # Of its own: libvirtd may keep a read-write connection waiting, for whom it authorizes, and no other.
        self._agent_pool = Pool(
            "agent", self._budget, line.hold, connects=self._agent_connects, silent=self._silent, strict=True
        )
        self._parts.append(self._agent_pool)
        self._agents = AgentReader(
            selectors=self._of_agents,
            inventory=self._inventory,
            budget=self._budget,
            pool=self._agent_pool,
            ward=self._ward,
            names=self._names,
            sink=self._new_sink(settings.guest_agent_interval),
            notify=self._notifier.notify,
            interval=settings.guest_agent_interval,
            tick=tick,
            patience=settings.guest_agent_timeout,
            timeout=settings.timeout_for(tick),
            refused=lambda: line.refused or self._agents_wait(),
            processes=self._processes,
        )
        if self._of_agents:
            log.info(
                "%s: one read-write connection to %s is opened, for libvirt lets nobody else ask guests' agents;"
                " nothing else is done on it",
                ", ".join(self._of_agents),
                settings.connection,
            )
            self._collectd.register_read(self.read_agents, tick, name="virt2-agent")

    def _agents_wait(self) -> str:
        """Why there is no read-write connection, where libvirtd only keeps it waiting; else empty."""
        since = self._agent_connects.since
        waited = 0.0 if since is None else time.monotonic() - since
        return "" if waited < self._settings.stuck_after else f"it has not come for {waited:.0f} s"

    @property
    def _touches_storage(self) -> bool:
        """Whether any domain may be asked for what touches its storage."""
        return any(selection.touches_storage for selection in (self._selection, *self._selections.values()))

    def _selection_of(self, uuid: str) -> Selection:
        """What ExtraStats says of a domain: its reader's own, or that of all."""
        reader = self._roster.reader_of(uuid) if self._selections else None
        return self._selection if reader is None else self._selections.get(reader, self._selection)

    def _register_readers(self, names: Iterable[str]) -> None:
        """Register a read callback for every reader that has none yet."""
        for name in names:
            if name not in self._readers:
                # All there is, until the first plan: the budget bounds them together.
                share = self._budget.size
                self._pools[name] = Pool(name, self._budget, self._hypervisor.connect, share=share, silent=self._silent)
                self._shortages[name] = Shortage(name)
                self._readers[name] = self._reader(name, self._pools[name])
                callback = functools.partial(self.read, name)
                self._collectd.register_read(callback, self._interval, name=f"virt2/{name}")

    def _reader(self, name: str, pool: Pool) -> Reader:
        selection = self._selections.get(name, self._selection)
        return Reader(
            name,
            inventory=self._inventory,
            scout=self._scout,
            roster=self._roster,
            budget=self._budget,
            pool=pool,
            ward=self._ward,
            names=self._names,
            sampler=functools.partial(self._sampler, extra=lambda uuid: selection),
            interfaces=self._interfaces.read,
            alarms=self._alarms,
            silent=self._silent,
            troubles=self._troubles,
            sink=self._new_sink(self._interval),
            notify=self._notifier.notify,
            timeout=self._settings.timeout_for(self._interval),
        )

    def _adjust(self) -> None:
        """Follow libvirtd's limits and the domains: readers, budget and shares."""
        # One at a time; a reader that finds another at it leaves it to that one.
        if not self._adjusting.acquire(blocking=False):
            return
        try:
            self._start_threads()
            sizes = self._roster.sizes()
            self._register_readers(sizes)
            lines = self._apply(self._make_plan(sizes), sizes)
        finally:
            self._adjusting.release()
        # Only now: a line that is never taken must not keep the other readers from all this.
        for level, text in lines:
            log.log(level, "%s", text)
        self._watch_libvirtd()

    def _silent(self) -> bool:
        """Whether libvirtd seems to answer nobody."""
        age = self._limits.age
        return self._inventory.silent and (age is None or age > self._inventory.hung_for())

    def _lack_of_connections(self) -> str:
        """In words that workers do not get connections; empty where they do."""
        return connects.lack(
            self._budget.connects,
            time.monotonic(),
            self._settings.stuck_after,
            self._limits.limits(),
            self._limits.reason,
        )

    def _watch_connections(self, silent: bool) -> None:
        """Say that connections do not come, where libvirtd is not silent altogether.

        That one comes is no end as long as another one is waited for: with slow connections they come one by one.
        """
        link = self._inventory.link
        down = link is not None and not link.up
        lack = "" if silent or down else self._lack_of_connections()
        if link is not None and lack:
            lack += "; the domains are asked over the connections there are"
        if lack or not self._budget.connects.pending:
            self._conditions.update(bool(lack), lack, "libvirtd answers attempts to connect again")

    def _watch_libvirtd(self) -> None:
        silent, hung, wait = self._silent(), self._inventory.hung_for(), self._budget.calls_wait
        full = self._inventory.out_of_workers or wait
        # A call of ours that waits for another program holds a domain's lock: that is said there.
        overdue = hung > self._settings.stuck_after and not self._outside.busy
        self._watch_connections(silent)
        self._conditions.update(
            overdue and silent, f"libvirtd has not answered for {hung:.0f} s", "libvirtd answers again"
        )
        self._conditions.update(
            overdue and not silent and not full and not self._budget.connects.includes(self._inventory),
            f"libvirt's list of domains hangs for {hung:.0f} s, because a domain's lock is held: the last one is used",
            "libvirt's list of domains is back",
        )
        # A call for a domain that is being destroyed waits for a moment, and may be the only one.
        since = self._budget.stalled_since((SERVER, MONITOR)) if wait else self._budget.stalled_since()
        lasting = since is not None and time.monotonic() - since > self._settings.stuck_after
        self._conditions.update(
            full and lasting,
            "libvirtd has no worker left for us: only what needs none (interfaces) is reported until it has",
            "libvirtd has workers again",
        )

    def _watch_storage(self) -> None:
        suspended = self._storage.suspended
        for name in suspended | self._suspended:
            self._conditions.update(
                name in suspended,
                f"storage domain {name}: what was asked of it does not come back, nothing else is asked there",
                f"storage domain {name} answers again",
            )
        self._suspended = suspended

    def _check_filters(self) -> None:
        """Told by the inventory's thread that all domains were looked at."""
        for complaint in self._filters.complaints():
            log.warning("%s", complaint)
        if not self._is_diagnosed and self._inventory.domains()[1]:
            self._is_diagnosed = True
            try:
                # On a thread of its own: the kernel may keep whoever reads a command line waiting.
                threads.start("virt2/look", self._diagnose)
            except RuntimeError as error:
                log.warning("what cannot be seen of this host is not found out: no thread can be started: %s", error)

    def _diagnose(self) -> None:
        """Say what cannot be seen of this host's domains, and what that costs."""
        problem = self._processes.problem() if self._processes is not None else ""
        if problem and problem not in self._diagnoses:
            self._diagnoses.add(problem)
            log.warning(
                "the QEMUs of the domains cannot be seen: %s; one that is stopped is found out only by a call that does"
                " not come back, and holds one of libvirtd's workers then; let collectd see them, or set HostPreScan"
                " false",
                problem,
            )
        self._interfaces.read()
        problem = self._interfaces.problem
        if problem and self._place.qemu_run_dir and problem not in self._diagnoses:
            self._diagnoses.add(problem)
            log.info("counters of interfaces are asked of libvirt, one call each, not read off this host: %s", problem)

    def _on_connect(self) -> None:
        """Told by the inventory's thread: this libvirtd may know what the one before did not."""
        self._missing.forget()
        self._ward.reconnected()
        self._company.reconnected()
        self._limits.forgive()
        # What can be seen may have changed with it; said again only where it has.
        self._is_diagnosed = False

    def _on_link(self, link: Link) -> None:
        """Told by the inventory's thread."""
        if link.up:
            self._notifier.notify(OKAY, "libvirt is back", Identity("", "libvirtd"))
        else:
            self._notifier.notify(FAILURE, f"libvirt cannot be reached: {link.reason}", Identity("", "libvirtd"))

    def _make_plan(self, sizes: Mapping[str, int]) -> sizing.Plan:
        return sizing.plan(
            self._settings.workers,
            self._limits.limits(),
            self._limits.reason,
            self._held,
            sizes,
            storage=self._touches_storage,
            agents=bool(self._of_agents),
        )

    def _apply(self, plan: sizing.Plan, sizes: Mapping[str, int]) -> list[tuple[int, str]]:
        """Put a plan into effect; gives the lines that are to be said of it, with their level."""
        self._budget.resize(plan.budget)
        for name, share in plan.shares.items():
            self._pools[name].share = share
        self._storage_pool.share = plan.quarantine
        self._agent_pool.share = plan.agents
        before = self._plan
        lines: list[tuple[int, str]] = []
        if not self._inventory.listed:
            return lines
        if before is None:
            lines.append((logging.INFO, self._start_line(plan, sizes)))
        elif (before.budget, before.turns) != (plan.budget, plan.turns):
            if not self._note_change():
                return lines
            text = f"budget of libvirtd workers now {plan.budget}, was {before.budget}: {plan.reason}"
            lines.append((logging.INFO, text))
        self._plan = plan
        if plan.turns and (before is None or not before.turns):
            text = (
                f"{len(plan.shares)} readers share {plan.budget} of libvirtd's workers and take turns: a storage domain"
                " that hangs delays others"
            )
            lines.append((logging.WARNING, text))
        return lines

    def _note_change(self) -> bool:
        """Remember a change of plan that is said; returns False where it must not be, after many of them lately.

        Where others come and go, the next one is said later.
        """
        now = time.monotonic()
        if len(self._changes) == CHANGES_SAID and now - self._changes[0] < CHANGES_WITHIN:
            return False
        self._changes.append(now)
        return True

    def _start_line(self, plan: sizing.Plan, sizes: Mapping[str, int]) -> str:
        readers = ", ".join(f"{name} ({size} domains, {plan.shares[name]} workers)" for name, size in sizes.items())
        weak = "" if plan.budget > sizing.GUARANTEED_ABOVE else ", too few to set one aside for domains that answer"
        return (
            f"version {VERSION}, libvirt {self._inventory.libvirt_version} at {self._settings.connection},"
            f" {sum(sizes.values())} domains every {self._interval:g} s, readers: {readers};"
            f" budget {plan.budget} of libvirtd's workers: {plan.reason}{weak}"
        )

    def _read_limits(self) -> admin.Limits:
        began = time.monotonic()
        limits = self._company.reading(self._session.limits)
        self._held = self._budget.used
        self._budget.see_queue(began if limits.job_queue_depth and limits.available <= 0 else None)
        return limits

    def _report_limits(self) -> None:
        limits = self._limits.limits()
        values = [gauge("budget", self._budget.size)]
        if limits is not None:
            values += [
                gauge("workers_max", limits.max_workers),
                gauge("workers_current", limits.workers),
                gauge("workers_free", limits.free_workers),
                gauge("workers_priority", limits.priority_workers),
                gauge("job_queue_depth", limits.job_queue_depth),
            ]
        self._sink.dispatch(Identity("", "libvirtd"), values, 0.0)

    def _describer(self) -> Describe:
        """What turns XML into descriptions, with the mounts as they are now."""
        mounts = procfs.read_mounts()
        settings = self._settings

        def describe(name: str, xml: str, fetch: Any, backup: str) -> Description:
            description = domainxml.describe(
                xml,
                namespace=settings.tag_namespace,
                element=settings.tag_element,
                mounts=mounts,
                metadata=fetch,
                pick=self._pick,
                backup=backup,
            )
            return self._labels.apply(name, description)

        return describe

    def _retain(self, uuids: Collection[str]) -> None:
        self._names.retain(uuids)
        active = set(uuids)
        self._names.settle(domain for domain in self._inventory.domains()[1] if domain.uuid in active)
        self._ward.retain(uuids)
        self._alarms.retain(uuids)
        if self._processes is not None:
            self._processes.keep(uuids)


def _log_to(collectd: Any) -> None:
    handler = Handler({logging.ERROR: collectd.error, logging.WARNING: collectd.warning, logging.INFO: collectd.info})
    log.handlers = [handler]
    log.setLevel(logging.INFO)
    log.propagate = False


def _wanted_metadata(settings: Settings) -> Pick | None:
    """What domains are named by, out of their metadata; None where no name is made of it."""
    if "metadata" not in settings.hostname_format + settings.plugin_instance_format:
        return None
    return Pick(settings.hostname_metadata_ns, xpath.Path(settings.hostname_metadata_xpath))


def _interval_in_force() -> float | None:
    """The interval of the LoadPlugin block or the global one; valid during config and init only.

    Not in collectd's Python API, but exported by the daemon. None where it is not.
    """
    try:
        function = ctypes.CDLL(None).plugin_get_interval
    except AttributeError:
        return None
    function.restype = ctypes.c_uint64
    function.argtypes = []
    return float(function()) / _CDTIME_SECOND


def _own_hostname() -> str:
    """The host's name as collectd has it (its Hostname option), else as the system has it.

    The daemon exports it as ``hostname_g``, a pointer since the version that also exports ``hostname_set``.
    """
    daemon = ctypes.CDLL(None)
    if hasattr(daemon, "hostname_g") and hasattr(daemon, "hostname_set"):
        name = ctypes.c_char_p.in_dll(daemon, "hostname_g").value
        if name:
            return name.decode(errors="replace")
    return socket.gethostname()
