"""What disks and interfaces are called in their type instance, and which of them are reported.

This is decided when a domain's XML is read, not when its values are. libvirt is always asked by the target. Only what
is given to collectd has the label.
"""

from __future__ import annotations

import itertools
import posixpath
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from virt2.description.filters import Filters
from virt2.model.domain import Description, Disk, Nic
from virt2.text.identifiers import MARK, digest, marked, presentable, written

LONGEST_MARK = 32
"""Most bytes of a target that is put behind a label; libvirt's own targets have 3 to 15."""

LAYER = "-layer_"
"""What is between a disk's label and the number of one of its images (`virt2.metrics.extras.from_layers`)."""

_Device = TypeVar("_Device", Disk, Nic)


class Labels:
    """Gives descriptions their labels.

    Arguments:
        filters: which devices are reported.
        disk_format: ``target``, or ``source`` for the path or name of the image. A disk without one is called by its
            target.
        basename: whether the label is only the last part of the source. Filters always see all of it.
        nic_format: ``name``, ``address`` or ``number``.
        report_disks, report_nics: whether any are reported.
    """

    def __init__(
        self,
        filters: Filters,
        disk_format: str = "target",
        basename: bool = False,
        nic_format: str = "name",
        report_disks: bool = True,
        report_nics: bool = True,
    ) -> None:
        self._filters = filters
        self._by_source = disk_format == "source"
        self._basename = basename
        self._nic_format = nic_format
        self._report_disks = report_disks
        self._report_nics = report_nics

    def __repr__(self) -> str:
        return f"<Labels disks={self._report_disks} nics={self._report_nics}>"

    def apply(self, domain: str, description: Description) -> Description:
        """Label the disks and interfaces of a domain of this name.

        All disks are kept, because they tell which storage the domain uses, and because they may fail. Those that are
        not reported are marked. Interfaces that are not reported are dropped.
        """
        disks = [disk for disk in description.disks if self._wants_disk(domain, disk)]
        nics = [nic for nic in description.nics if self._wants_nic(domain, nic)]
        disk_labels = _distinct(disks, self._disk_label)
        nic_labels = _distinct(nics, self._nic_label)
        return description._replace(
            disks=tuple(
                disk._replace(label=disk_labels.get(disk.target, ""), reported=disk.target in disk_labels)
                for disk in description.disks
            ),
            nics=tuple(nic._replace(label=nic_labels[nic.target]) for nic in nics),
        )

    def _wants_disk(self, domain: str, disk: Disk) -> bool:
        return self._report_disks and self._filters.disk(domain, self._disk_name(disk))

    def _wants_nic(self, domain: str, nic: Nic) -> bool:
        if not self._report_nics:
            return False
        names = {"name": nic.target, "address": nic.mac, "number": str(nic.number)}
        return self._filters.nic(domain, names[self._nic_format])

    def _disk_name(self, disk: Disk) -> str:
        return (self._by_source and disk.source) or disk.target

    def _disk_label(self, disk: Disk) -> str:
        name = self._disk_name(disk)
        if self._by_source and self._basename:
            return posixpath.basename(name.rstrip("/")) or name
        return name

    def _nic_label(self, nic: Nic) -> str:
        return {"name": nic.target, "address": nic.mac, "number": f"interface-{nic.number}"}[self._nic_format]


def _distinct(devices: Iterable[_Device], name: Callable[[_Device], str]) -> dict[str, str]:
    """Give each device, by its target, a label of its own.

    If several devices would have the same label, the device with the first target has it. The others have their target
    behind it as a mark: ``disk.img``, ``disk.img~vdb``. So a new disk does not change the labels of those before it.
    """
    labels: dict[str, str] = {}
    taken: set[str] = set()
    layered: set[str] = set()

    def is_taken(label: str) -> bool:
        return not taken.isdisjoint(_written(label) | _layered(label)) or not layered.isdisjoint(_written(label))

    for device in sorted(devices, key=lambda device: (len(device.target), device.target)):
        if device.target in labels:
            # libvirt has no two devices of one target. Each would try all marks of those before it.
            continue
        plain = label = presentable(name(device))
        marks = _marks(device.target)
        while is_taken(label):
            label = marked(plain, next(marks))
        taken |= _written(label)
        layered |= _layered(label)
        labels[device.target] = label
    return labels


def _written(label: str) -> set[str]:
    """Give what collectd turns a label into, alone and behind another word such as ``flush-``."""
    return {written(label), label.replace("/", "_")}


def _layered(label: str) -> set[str]:
    """Give the label that the selector `disk_layers` could make this label from: ``vda`` for ``vda-layer_0``.

    Most labels cannot be made from another one. Nothing is given for them.
    """
    stem, layer, number = label.rpartition(LAYER)
    return {stem.replace("/", "_")} if layer and number.isdecimal() else set()


def _marks(target: str) -> Iterator[str]:
    """Give marks without end: first the target where it is suitable, then different digits."""
    if presentable(target) == target and len(target.encode()) <= LONGEST_MARK:
        yield target
    for attempt in itertools.count():
        yield digest(f"{target} {attempt}")[:MARK]
