"""Bulk statistics, job replies and records of other calls, from which metrics are made."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below, pick
from tests.fuzz.target import Plain, Target, require
from tests.unit.fake_collectd import TYPES
from virt2.metrics import defaults, extras, rates
from virt2.metrics.metric import Metric
from virt2.metrics.selectors import SELECTORS
from virt2.model.replies import CpuTimes, DiskStats, DiskTimes, NicStats, Vcpu
from virt2.text.identifiers import LONGEST

REPLIES = Path(__file__).resolve().parents[2] / "unit" / "replies"
DEVICES = ("vda", "\u00e9" * 63, "x" * 127, "/a/b", "vda-layer_0", "")

BULK = {
    "balloon.current": 1048576, "balloon.maximum": 2097152, "balloon.swap_in": 12, "balloon.swap_out": 34,
    "balloon.major_fault": 185, "balloon.minor_fault": 94063, "balloon.last-update": 1700000000,
    "balloon.rss": 500000, "balloon.hugetlb_pgalloc": 7, "vcpu.current": 2, "vcpu.0.state": 1, "vcpu.0.time": 6,
    "vcpu.0.wait": 3, "vcpu.0.delay": 4, "vcpu.0.halted": True, "vcpu.1.wait": 5, "vcpu.1.halted": "no",
    "vcpu.0.exits.sum": 7, "vcpu.0.halt_poll.max": 2**63, "vm.remote_tlb_flush.sum": 8,
    "vm.max_mmu_page_hash_collisions.max": 2, "iothread.count": 1, "iothread.1.poll-max-ns": 9,
    "iothread.1.poll-grow": 0, "cpu.haltpoll.success.time": 3, "cpu.haltpoll.fail.time": 4,
    "cpu.cache.monitor.count": 1, "cpu.cache.monitor.0.name": "vcpus_0-1", "cpu.cache.monitor.0.bank.count": 1,
    "cpu.cache.monitor.0.bank.0.id": 0, "cpu.cache.monitor.0.bank.0.bytes": 5, "memory.bandwidth.monitor.count": 1,
    "memory.bandwidth.monitor.0.name": "vcpus_0", "memory.bandwidth.monitor.0.node.0.id": 0,
    "memory.bandwidth.monitor.0.node.0.bytes.local": 1, "memory.bandwidth.monitor.0.node.0.bytes.total": 2,
    "dirtyrate.calc_status": 2, "dirtyrate.calc_start_time": 13645, "dirtyrate.megabytes_per_second": 7,
    "dirtyrate.vcpu.0.megabytes_per_second": 3, "perf.cpu_clock": 11308389, "perf.page.faults": 68, "block.count": 3,
    "block.0.name": "vda", "block.0.path": "/a", "block.0.allocation": 1024, "block.0.capacity": 1048576,
    "block.0.physical": 4096, "block.0.threshold": 65536, "block.1.name": "vda", "block.1.backingIndex": 1,
    "block.1.capacity": 5, "block.2.name": "sda",
}  # fmt: skip
JOB = {
    "type": 2, "operation": 5, "time_elapsed": 3001, "data_total": 1091379200, "memory_bps": 132120576, "success": True,
    "memory_dirty_rate": 2.5, "disk_bps": 2**64 - 1, "errmsg": "connection reset", "": 1,
}  # fmt: skip
TOKENS = (
    *BULK, *JOB, "vcpu.", "block.", "vm.", "perf.", ".wait", ".sum", ".max", ".cur", ".name", ".bytes", ".id",
    "monitor.", "0", "00", "1", ".", "..", "balloon.",
)  # fmt: skip

# libvirt's binding gives these records whole numbers only.
RECORDS: dict[str, tuple[type[Any], int]] = {
    defaults.DISK: (DiskStats, 5),
    defaults.NIC: (NicStats, 8),
    "disk": (DiskTimes, 8),
    "pcpu": (CpuTimes, 2),
}
COUNTED = {"domain_state": 2, defaults.ERRORS: 1, defaults.CPU_TIME: 1, defaults.BALLOON_SIZE: 1, defaults.RSS: 1}
OF_VCPUS = ("vcpu", "vcpu_state", "vcpupin")
OF_IMAGES = ("disk_layers", "disk_threshold")
OF_BULK = tuple(
    selector.name
    for selector in SELECTORS
    if selector.name in extras.MAPPING and selector.call.startswith("bulk ") and selector.name not in OF_IMAGES
)
OF_JOBS = ("job_stats_background", "job_stats_completed")
NUMBERS = tuple(number for number in hostile.INTEGERS if -(2**63) <= number < 2**63)
"""What a record of a reply may have. Times in ns could be larger, but not before a domain has run for 292 years."""


def check_metrics(metrics: Iterable[Metric], may_be_nan: bool = False) -> None:
    """Check that collectd takes these metrics, and that each makes a series of its own."""
    for metric in metrics:
        kind, instance, values = metric
        require(kind in TYPES, "a metric has a type that is none of collectd's")
        require(len(values) == len(TYPES[kind]), "a metric has more or fewer values than its type")
        require(isinstance(instance, str), "a type instance is no text")
        require(len(instance.encode()) <= LONGEST, "a type instance is too long")
        require("\0" not in instance and "\n" not in instance, "a type instance has control characters")
        for value, source in zip(values, TYPES[kind]):
            require(isinstance(value, (int, float)), "a value is no number")
            if isinstance(value, float):
                require(math.isfinite(value) or (may_be_nan and math.isnan(value)), "a value is not finite")
            if source == "derive":
                require(isinstance(value, int), "a counter is no whole number")
                require(-(2**63) <= value < 2**63, "a counter is larger than collectd's")
            else:
                require(not abs(value) > 1e308, "a gauge is larger than any float")


class Statistics(Target):
    """An input is a selector or call, its reply, and the device it is of. Two replies make a rate."""

    name = "statistics"
    share = 16
    what = "bulk statistics and replies on jobs under odd names and with odd values; counters of every size"

    def corpus(self) -> Sequence[Plain]:
        bulk = [BULK]
        for path in sorted(REPLIES.glob("*.json")):
            for domain in json.loads(path.read_text(encoding="utf-8"))["domains"].values():
                bulk.append(
                    {key: value for group in domain["bulk"].values() for key, value in group.get("value", {}).items()}
                )
        made: list[Plain] = [(name, bulk[at % len(bulk)], "vda") for name in OF_BULK for at in range(5)]
        made += [("layers", reply, "vda") for reply in bulk]
        made += [(name, JOB, "") for name in OF_JOBS]
        made += [(name, tuple(range(count)), "vda") for name, (_, count) in RECORDS.items()]
        made += [(name, tuple(range(count)), "vda") for name, count in COUNTED.items()]
        made += [(name, ((0, 1, 60000000, 3), (1, 0, 0, 0), (7, 2, 2**63 - 1, 255)), "") for name in OF_VCPUS]
        made += [
            ("disk_latency", (*range(8), *range(3, 11), 10), "vda"),
            ("cpu_util", (10**9, 2, 4, 3 * 10**9, 2, 4, 10), ""),
        ]
        made += [(defaults.SIZES, {"disk_capacity": 5, "disk_allocation": 2**63 - 1, "disk_physical": 0}, "vda")]
        return made

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts(TOKENS), strange=0.2)

    def fresh(self) -> st.SearchStrategy[Plain]:
        key = st.sampled_from(tuple(BULK)) | st.text(max_size=20)
        value = st.sampled_from(NUMBERS) | st.sampled_from(hostile.FLOATS) | st.text(max_size=10) | st.booleans()
        reply = st.dictionaries(key, value, max_size=20)
        return st.tuples(st.sampled_from((*OF_BULK, *OF_JOBS, "layers")), reply, st.sampled_from(DEVICES))

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        name, reply, device = base
        if random.random() < 0.03:
            return name, reply, pick(random, DEVICES)
        if name in OF_VCPUS:
            return name, _other_vcpus(random, reply), device
        if isinstance(reply, tuple):
            at = below(random, len(reply))
            return name, (*reply[:at], _other_number(random, reply[at]), *reply[at + 1 :]), device
        if name == defaults.SIZES:
            key = pick(random, tuple(reply))
            return name, {**reply, key: _other_number(random, reply[key])}, device
        if random.random() < 0.1 and isinstance(other[1], dict):
            return name, other[1], device
        return name, mutator.change(random, reply, other[1]), device

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        name, reply, device = base
        if isinstance(reply, tuple) or name == defaults.SIZES:
            return base
        # As many as libvirt's protocol lets through: 20 disks with 200 images each have about 50,000.
        count = min(size, 1 << 18) // 32
        for prefix in random.sample(
            ("block.{}.name", "vcpu.{}.wait", "cpu.cache.monitor.{}.name", "perf.{}", "vm.{}.sum"), 2
        ):
            value = "vda" if prefix.endswith("name") else 1
            reply = {**reply, **{prefix.format(number): value for number in range(count)}}
        return name, reply, device

    def run(self, data: Plain) -> None:
        name, reply, device = data
        if name == "layers":
            self._layers(reply, device)
        elif name == "disk_latency":
            before, now = DiskTimes._make(reply[:8]), DiskTimes._make(reply[8:16])
            check_metrics(rates.disk_latency(before, now, _elapsed(reply[16]), device), may_be_nan=True)
        elif name == "cpu_util":
            earlier, later = rates.CpuUse(*reply[:3]), rates.CpuUse(*reply[3:6])
            check_metrics(rates.cpu_util(earlier, later, _elapsed(reply[6]), device))
        elif name in RECORDS:
            self._map(name, RECORDS[name][0]._make(reply), device)
        elif name in COUNTED:
            self._map(name, reply[0] if COUNTED[name] == 1 else reply, device)
        elif name in OF_VCPUS:
            vcpus = [
                Vcpu(number, state, used, tuple(bool(on >> at & 1) for at in range(8)))
                for number, state, used, on in reply
            ]
            self._map(name, vcpus, device)
        elif name in OF_JOBS:
            self._map(name, reply, "completed_")
            for instance, words in extras.notes_of_job(reply, "completed_"):
                require(isinstance(instance, str) and isinstance(words, str), "a note of a job is malformed")
        else:
            self._map(name, reply, device)

    def _map(self, name: str, reply: Any, device: str) -> None:
        mapping = extras.MAPPING.get(name) or defaults.MAPPING[name]
        check_metrics(mapping(reply, device))

    def _layers(self, reply: Plain, device: str) -> None:
        for target, images in extras.layers(reply).items():
            require(isinstance(target, str) and images, "a disk has no target or no images")
            for selector in OF_IMAGES:
                check_metrics(extras.MAPPING[selector](images, device))


def _elapsed(number: int) -> float:
    """Give seconds between two samples, which are positive."""
    return abs(number) % 86400 + 0.001


def _within(number: int) -> int:
    """Give a number that libvirt's types for counters can hold."""
    return max(-(2**63), min(number, 2**63 - 1))


def _other_number(random: Random, number: int) -> int:
    chance = random.random()
    if chance < 0.5:
        return int(pick(random, NUMBERS))
    if chance < 0.7:
        return _within(number + pick(random, (1, -1)))
    return below(random, 1 << below(random, 63))


def _other_vcpus(random: Random, vcpus: Sequence[Sequence[int]]) -> Plain:
    made = [tuple(vcpu) for vcpu in vcpus]
    chance = random.random()
    if not made or (chance < 0.1 and len(made) < 512):
        made.append((len(made), 1, 5, 3))
    elif chance < 0.2:
        del made[below(random, len(made))]
    else:
        at, field = below(random, len(made)), below(random, 4)
        vcpu = list(made[at])
        vcpu[field] = _other_number(random, vcpu[field])
        made[at] = tuple(vcpu)
    return tuple(made)
