"""What disks and interfaces are called in their type instance, and which of them are reported.

Decided when a domain's XML is read, never while its values are. libvirt is always asked by the target; only what goes
out carries the label.
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
"""Characters in a target that may stand behind a label; libvirt's own have 3 to 15."""

LAYER = "-layer_"
"""Stands between a disk's label and the number of one of its images (`virt2.metrics.extras.from_layers`)."""

_Device = TypeVar("_Device", Disk, Nic)


class Labels:
    """Gives descriptions their labels.

    Arguments:
        filters: which devices are reported.
        disk_format: ``target``, or ``source`` for the path or name of the image; a disk without one has its target.
        basename: whether the label is the last part of the source only; filters see all of it in any case.
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

    def apply(self, domain: str, description: Description) -> Description:
        """Label the disks and interfaces of a domain of this name.

        All disks stay, for they tell what the domain's storage is and may fail; those that are not reported are marked.
        Interfaces that are not reported are dropped.
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

    Of several that would be called the same, the one with the first target is, and the others bear their target as a
    mark: ``disk.img``, ``disk.img~vdb``. So a disk that is added changes no label of those before it.
    """
    labels: dict[str, str] = {}
    taken: set[str] = set()
    layered: set[str] = set()

    def is_taken(label: str) -> bool:
        return not taken.isdisjoint({*_written(label), _layered(label)}) or not layered.isdisjoint(_written(label))

    for device in sorted(devices, key=lambda device: (len(device.target), device.target)):
        plain = label = presentable(name(device))
        marks = _marks(device.target)
        while is_taken(label):
            label = marked(plain, next(marks))
        taken |= _written(label)
        layered.add(_layered(label))
        labels[device.target] = label
    return labels


def _written(label: str) -> set[str]:
    """What collectd makes of a label alone, and behind another word such as ``flush-``."""
    return {written(label), label.replace("/", "_")}


def _layered(label: str) -> str:
    """The label of which this one could be an image of the selector `disk_layers`: ``vda`` of ``vda-layer_0``."""
    stem, _, number = label.rpartition(LAYER)
    return stem.replace("/", "_") if number.isdecimal() else ""


def _marks(target: str) -> Iterator[str]:
    """The target; where that is unfit or taken as well, digits without end."""
    if presentable(target) == target and len(target) <= LONGEST_MARK:
        yield target
    for attempt in itertools.count():
        yield digest(f"{target} {attempt}")[:MARK]
