"""Names of domains and devices: what they become in collectd's identifiers and in log lines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

from hypothesis import strategies as st

from tests.fuzz import hostile, mutation
from tests.fuzz.mutation import Mutator, below, pick
from tests.fuzz.target import Plain, Target, require
from tests.unit.output.test_naming import FORMATS
from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.model.domain import NO_ID, Description, Disk, Domain, Nic
from virt2.output import naming
from virt2.output.naming import Names
from virt2.text import identifiers, printable
from virt2.text.identifiers import LONGEST

NAMES = (
    "web-1",
    "web-2",
    "shop/db",
    "shop_db",
    "/",
    "root",
    "..",
    "/..",
    "driver",
    "0",
    "x" * 200,
    "x" * 199 + "y",
    "\n",
    "",
)
TARGETS = ("vda", "vdb", "sda", "vnet0", "vda-layer_0", "flush-vda", "\U0001f600" * 31, "\U0001f600" * 31 + "\u20ac")
UUIDS = tuple(f"{at % 3:08x}-0000-4000-8000-{at:012x}" for at in range(8))
DEVICE_FORMATS = (("target", False, "name"), ("source", False, "address"), ("source", True, "number"))

Step = tuple[int, str, Plain, bool]
"""Which domain, its name, its metadata, whether it is active."""


class Identities(Target):
    """An input is the format of identities, a history of domains, and the devices of one of them."""

    name = "identities"
    share = 12
    what = "names of domains that come, go and are renamed, their metadata, names of devices; texts for log lines"

    def __init__(self) -> None:
        self._labels = [Labels(Filters(), *chosen) for chosen in DEVICE_FORMATS]
        self._was_disabled = naming.log.disabled
        # Each name that is changed is logged, which is the log's business.
        naming.log.disabled = True
        logging.lastResort = None

    def close(self) -> None:
        naming.log.disabled = self._was_disabled

    def corpus(self) -> Sequence[Plain]:
        steps = tuple((at % len(UUIDS), name, None if at % 2 else name, at % 3 > 0) for at, name in enumerate(NAMES))
        devices = tuple((target, f"/srv/{target}.img") for target in TARGETS)
        return [(at, steps[at : at + 6], devices[at : at + 3]) for at in range(len(FORMATS))]

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts((*NAMES, *TARGETS, "~", "_", "a" * 118, "-layer_")), strange=0.0)

    def fresh(self) -> st.SearchStrategy[Plain]:
        name = st.sampled_from((*NAMES, *hostile.TEXTS)) | st.text(max_size=140)
        step = st.tuples(st.integers(0, len(UUIDS) - 1), name, st.none() | name, st.booleans())
        device = st.tuples(st.sampled_from(TARGETS) | name, name)
        return st.tuples(
            st.integers(0, len(FORMATS) - 1),
            st.lists(step, max_size=8).map(tuple),
            st.lists(device, max_size=5).map(tuple),
        )

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        number, steps, devices = base
        chance = random.random()
        if chance < 0.04:
            return below(random, len(FORMATS)), steps, devices
        if chance < 0.7 or not devices:
            return number, _other_steps(random, steps, other[1], mutator), devices
        at = below(random, len(devices))
        pair = list(devices[at])
        side = below(random, 2)
        pair[side] = mutator.strings.change(random, pair[side], pick(random, NAMES), mutator.styles)
        extra = (devices[at],) if chance > 0.95 and len(devices) < 8 else ()
        return number, steps, (*devices[:at], tuple(pair), *extra, *devices[at + 1 :])

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        number, steps, devices = base
        longer = mutator.inflate(random, pick(random, NAMES), size)
        if random.random() < 0.5 or not devices:
            return number, (*steps[1:], (below(random, 8), longer, longer if size % 3 else None, True)), devices
        return number, steps, (*devices[1:], ("vda", longer))

    def run(self, data: Plain) -> None:
        number, steps, devices = data
        self._texts([text for _, name, metadata, _ in steps for text in (name, metadata or "")])
        self._history(FORMATS[number], steps)
        self._devices(number, devices)

    def _texts(self, texts: Sequence[str]) -> None:
        for text in texts:
            for part in (
                identifiers.whole(text),
                identifiers.presentable(text),
                identifiers.marked("x" * 127, "12345678"),
            ):
                require(len(part.encode()) <= LONGEST, "a part of an identifier is too long")
                require("\0" not in part and "\n" not in part, "a part of an identifier has control characters")
            whole = identifiers.whole(text)
            require("/" not in whole and whole not in (".", ".."), "a part of an identifier leads to another folder")
            require(identifiers.whole(whole) == whole, "a part of an identifier is not the same the second time")
            line = printable.printable(text, 100)
            require(line.isprintable() and len(line.encode()) <= 100 + 3, "a line is not printable, or too long")
            require(printable.quoted(text).isprintable(), "what is quoted is not printable")

    def _history(self, formats: tuple[tuple[str, ...], tuple[str, ...]], steps: Sequence[Step]) -> None:
        names = Names(*formats, "node1", reserved=("0", "libvirtd"))
        known: dict[str, Domain] = {}
        for at, (which, name, metadata, active) in enumerate(steps):
            uuid = UUIDS[which]
            known[uuid] = Domain(uuid, name, at if active else NO_ID, Description(metadata=metadata))
            running = [domain for domain in known.values() if domain.id >= 0]
            idle = [domain for domain in known.values() if domain.id < 0]
            names.retain(domain.uuid for domain in running)
            if at % 2:
                names.settle(running)
                names.settle_idle(idle)
            found = {domain.uuid: names.of(domain) for domain in running}
            require({domain.uuid: names.of(domain) for domain in running} == found, "an identity does not stay")
            found.update((domain.uuid, names.of_any(domain)) for domain in idle)
            as_written = [(identifiers.written(host) or "node1", instance) for host, instance in found.values()]
            require(len(set(as_written)) == len(known), "two domains share an identity")
            require(not {("node1", "0"), ("node1", "libvirtd")} & set(as_written), "a domain has virt2's own identity")
            for identity in found.values():
                require(all(len(part.encode()) <= LONGEST for part in identity), "an identity is too long")
                require(not any("\0" in part or "/" in part for part in identity), "an identity is unfit for a path")

    def _devices(self, number: int, devices: Sequence[tuple[str, str]]) -> None:
        # libvirt lets no two devices of a domain have one target, and gives each a target.
        by_target = {target: source for target, source in devices if target}
        disks = tuple(Disk(target, source, "") for target, source in by_target.items())
        nics = tuple(Nic(target, source, number=at + 1) for at, (target, source) in enumerate(by_target.items()))
        labelled = self._labels[number % len(self._labels)].apply("web-1", Description(disks=disks, nics=nics))
        for made in (labelled.disks, labelled.nics):
            labels = {device.label for device in made}
            require(len(labels) == len(made), "two devices share a label")
            require(all(len(label.encode()) <= LONGEST for label in labels), "a label is too long")
            require(not any("\0" in label or "\n" in label for label in labels), "a label has control characters")


def _other_steps(random: Random, steps: Sequence[Step], other: Sequence[Step], mutator: Mutator) -> tuple[Step, ...]:
    made = list(steps)
    chance = random.random()
    if not made or chance < 0.1:
        made.insert(below(random, len(made) + 1), pick(random, other) if other else (0, "web-1", None, True))
        return tuple(made[:10])
    at = below(random, len(made))
    which, name, metadata, active = made[at]
    if chance < 0.2:
        del made[at]
        return tuple(made)
    if chance < 0.6:
        name = mutator.strings.change(random, name, pick(random, NAMES), mutator.styles)
    elif chance < 0.8:
        metadata = (
            None if random.random() < 0.3 else mutator.strings.change(random, metadata or "", name, mutator.styles)
        )
    elif chance < 0.9:
        active = not active
    else:
        which = below(random, len(UUIDS))
    made[at] = which, name, metadata, active
    return tuple(made)
