"""An inventory over a fake libvirt, for the tests of this wing."""

from __future__ import annotations

from collections.abc import Callable

from tests.unit.fake_time import BOUND, Clock
from tests.unit.fakes import TAG_NAMESPACE, FakeHypervisor
from virt2.description import domainxml, storage
from virt2.domains.entries import Describe, Describing
from virt2.domains.inventory import Inventory, Listeners, Schedule
from virt2.domains.link import Link
from virt2.model.domain import Description
from virt2.workers.budget import Budget

REFRESH = 7200.0
"""Longer than a test, because a domain is due at some time of it."""
RETRY = 10.0


def describer() -> Describe:
    mounts = storage.Mounts.parse("")

    def describe(name: str, xml: str, fetch: Callable[[str], str], backup: str) -> Description:
        return domainxml.describe(
            xml, namespace=TAG_NAMESPACE, element="tag", mounts=mounts, metadata=fetch, backup=backup
        )

    return describe


class StatusFiles:
    """What libvirt keeps of running domains in files: a number of changes, and the XML."""

    def __init__(self, hypervisor: FakeHypervisor) -> None:
        self._hypervisor = hypervisor
        self.changes: dict[str, int] = {}
        self.readable = False

    def stamp(self, name: str) -> object:
        return self.changes.get(name)

    def xml(self, name: str) -> str:
        return self._hypervisor.domains[name].xml if self.readable else ""


def _taken(options: dict[str, object], record: type[Describing | Schedule | Listeners]) -> dict[str, object]:
    """Take those of a bench's options that are fields of a record."""
    return {name: options.pop(name) for name in list(options) if name in record._fields}


class Bench:
    """An inventory with its thread, on a clock that the test moves."""

    def __init__(self, hypervisor: FakeHypervisor, **options: object) -> None:
        self.hypervisor = hypervisor
        self.clock = Clock(hypervisor.stage)
        self.budget = Budget(4, lambda: hypervisor.daemon)
        self.links: list[Link] = []
        self.describer: Callable[[], Describe] = describer
        self.files = StatusFiles(hypervisor)
        self.stopped: set[str] = set()
        """Names of domains whose process is stopped."""
        self.inventory = Inventory(
            hypervisor,
            self.budget,
            Describing(
                lambda: self.describer(),
                status_file=self.files,
                stopped=lambda uuid, name: "T" if name in self.stopped else "",
                **_taken(options, Describing),
            ),
            schedule=Schedule(**{"retry": RETRY, "refresh": REFRESH, **_taken(options, Schedule)}),
            listeners=Listeners(**{"on_link": self.links.append, **_taken(options, Listeners)}),
            clock=self.clock,
            **options,
        )

    def start(self) -> None:
        self.inventory.start()

    def attempt(self) -> bool:
        """Have one attempt made and wait until it is over."""
        self.clock.now += 0.001
        return self.inventory.refresh(max_age=0.0, timeout=BOUND) or self.inventory.listed

    def await_attempts(self, count: int) -> None:
        changed = self.inventory._changed
        with changed:
            assert changed.wait_for(lambda: self.inventory._attempts >= count, BOUND)

    def wake(self) -> None:
        """Have the thread look at the clock."""
        self.inventory.tell(None)

    @property
    def names(self) -> list[str]:
        return sorted(domain.name for domain in self.inventory.domains()[1])

    @property
    def tags(self) -> dict[str, str]:
        return {domain.name: domain.description.tag for domain in self.inventory.domains()[1]}
