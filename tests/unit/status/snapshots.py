"""Snapshots for tests, and a small host to make answers of."""

from __future__ import annotations

from typing import Any

from virt2.domains.health import Known
from virt2.domains.link import Link
from virt2.domains.states import Statuses
from virt2.metrics import defaults
from virt2.model.domain import NO_ID, Description, Disk, Domain, Nic, Status
from virt2.model.limits import Limits
from virt2.model.replies import DiskStats, Info, NicStats
from virt2.output.naming import Identity
from virt2.readers.records import Sample
from virt2.status.snapshot import About, Crew, Facts, Moment, Server, Slots, Snapshot
from virt2.workers import sizing

NOW, WALL = 1000.0, 1.7e9
NAMESPACE = "http://ovirt.org/ovirtmap/tag/1.0"
LIMITS = Limits(5, 20, 6, 4, 5, 0, max_clients=5000, clients=3)
PLAN = sizing.plan(None, LIMITS, "", 0, {"0": 2, "fast": 1})


def uuid_of(name: str) -> str:
    return f"00000000-0000-4000-8000-{name.encode(errors='replace').hex():0>12.12}"


def domain(
    name: str, id: int = 1, tag: str = "", storage: tuple[str, ...] = ("sd-1",), uuid: str = "", complete: bool = True
) -> Domain:
    disks = tuple(Disk(f"vd{chr(ord('a') + number)}", f"/images/{number}", one) for number, one in enumerate(storage))
    nics = (Nic("vnet0", "52:54:00:00:00:01", tap=True),)
    return Domain(uuid or uuid_of(name), name, id, Description(tag, disks, nics, complete=complete))


def sample(one: Domain, call: str, device: str, reply: Any, taken: float = NOW - 4) -> Sample:
    return Sample(one.uuid, call, device, taken, WALL - (NOW - taken), reply)


def well(one: Domain, **changes: Any) -> Facts:
    """The facts of a domain that answered everything 4 s ago, whose CPU time is the kernel's."""
    samples = [
        sample(one, defaults.CPU_TIME, "", 5_000_000_000),
        sample(one, defaults.BALLOON_SIZE, "", 2048),
        sample(one, defaults.DISK, "vda", DiskStats(1, 512, 2, 1024, 0)),
        sample(one, defaults.NIC, "vnet0", NicStats(10, 1, 0, 0, 20, 2, 0, 0)),
    ]
    facts = Facts(
        first_seen=NOW - 600,
        answered=NOW - 3.9,
        complete=NOW - 4,
        known=Known(Info(1, 4096, 2048, 2, 4_000_000_000), NOW - 60),
        newest={(one.call, one.device): one.taken for one in samples},
        last={(one.call, one.device): one for one in samples},
    )
    return facts._replace(**changes)


def about(**changes: Any) -> About:
    return About(
        4711,
        NOW - 3600,
        "qemu:///system",
        10.0,
        1.5,
        2.0,
        explicit={"fast": ("sd-fast",)},
        tag_place=(NAMESPACE, "tag"),
    )._replace(**changes)


def server(**changes: Any) -> Server:
    link = Link(True, NOW - 3000, "")
    return Server("9.0.0", link, limits=LIMITS, limits_age=0.5)._replace(**changes)


def inactive(name: str, state: int = 5) -> Status:
    return Status(uuid_of(name), name, NO_ID, True, state, 1)


def snapshot(*domains: Domain, **changes: Any) -> Snapshot:
    """A host where all is well, with these domains in reader 0."""
    made = Snapshot(
        Moment(NOW, WALL),
        about(),
        server(),
        Slots(10, 0, 1),
        PLAN,
        domains,
        listed_at=NOW - 3,
        paused=frozenset(),
        readers={one.uuid: "0" for one in domains},
        facts={one.uuid: well(one) for one in domains},
        identities={one.uuid: Identity(one.name, "") for one in domains},
        crews=(
            Crew("fast", 3, 1, 0, 0, 0, domains=1, began=NOW - 4, took=0.02),
            Crew("0", 6, 2, 1, 0, 0, domains=2, began=NOW - 4, took=0.05),
        ),
    )
    return made._replace(**changes)


def statuses(*domains: Status, asked: float = NOW - 100) -> Statuses:
    return Statuses(domains, asked)
