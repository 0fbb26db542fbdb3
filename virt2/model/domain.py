"""Records: what is known of a domain, and what one call said of it."""

from __future__ import annotations

from typing import NamedTuple

NO_ID = -1
"""libvirt's id of a domain that is not active. Here it also stands for an id that is not known."""


class Disk(NamedTuple):
    """One disk of a domain, as its XML describes it."""

    target: str
    """Device name seen by the guest, such as ``vda``; what libvirt's block calls take."""
    source: str
    """Path or device of the image, or its name on its storage (``pool/image``); empty where the disk has no image."""
    storage: str
    """The storage domain that the image lies on; empty where it could not be inferred."""
    label: str = ""
    """Its type instance (see `virt2.description.labels`); empty for the target."""
    reported: bool = True
    """Whether its values are asked for and go to collectd."""
    alias: str = ""
    """libvirt's own name for it while the domain runs, such as ``virtio-disk0``. libvirt's events have this name."""
    backing: tuple[str, ...] = ()
    """The storage domains of its other images: those it is based on, those it is being copied to, and their data files.
    QEMU touches these too."""


class Nic(NamedTuple):
    """One network interface of a domain, as its XML describes it."""

    target: str
    """Device name on the host, such as ``vnet3``; what libvirt's interface calls take."""
    mac: str
    """Hardware address, as the XML has it."""
    tap: bool = False
    """Whether it is a tap device of the host. libvirt reads its counters off the host and turns directions round."""
    number: int = 1
    """Its place among the domain's interfaces that have a target, from 1."""
    label: str = ""
    """Its type instance (see `virt2.description.labels`); empty for the target."""
    outside: bool = False
    """Whether libvirt asks another program of the host for its counters, and holds the domain's lock meanwhile."""


class Description(NamedTuple):
    """What a domain's XML says of it. To learn it costs a call, so it is kept until something changes."""

    tag: str = ""
    """The tag from the metadata, trimmed; empty where the domain has none that can be used."""
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    problems: tuple[str, ...] = ()
    """What an operator should hear once, in words without the domain's name."""
    agent: bool = False
    """Whether an agent may answer: the guest has its channel open, or libvirt does not tell."""
    others: tuple[str, ...] = ()
    """The storage domains of images that QEMU touches although the guest does not see them as disks: its firmware, the
    firmware's variables, what a backup writes to."""
    complete: bool = True
    """Whether all of the domain's disks and interfaces are known. Where they are not, its sample is never complete."""
    metadata: str | None = None
    """What is picked out of its metadata for its identity; empty where there is nothing, None where that is unknown."""

    @property
    def storage(self) -> tuple[str, ...]:
        """The storage domains that QEMU touches when it is asked for sizes, each once.

        Those of the disks come first, in the disks' order. Then come those of their other images, and those of others.
        """
        return tuple(dict.fromkeys((*self._of_disks, *self.others)))

    @property
    def placement(self) -> str:
        """The storage domain that places a domain without a tag: that of its first disk; empty where there is none."""
        return next(iter(self._of_disks), "")

    @property
    def _of_disks(self) -> list[str]:
        own = [disk.storage for disk in self.disks]
        based = [storage for disk in self.disks for storage in disk.backing]
        return [storage for storage in (*own, *based) if storage]


class Domain(NamedTuple):
    """One active domain."""

    uuid: str
    name: str
    id: int
    """libvirt's number for this run of the domain: it changes when the domain is started again."""
    description: Description = Description()

    @property
    def placement(self) -> str:
        """What places the domain into a group where it has no tag: the storage domain of its first disk."""
        return self.description.placement


class Status(NamedTuple):
    """What libvirt says of the state of a domain, active or not."""

    uuid: str
    name: str
    id: int
    """As in `Domain`; `NO_ID` where the domain is not active."""
    persistent: bool
    """Whether it stays defined when it is not active."""
    state: int
    """virDomainState."""
    reason: int
    """Why it is in this state. Each state has numbers of its own for this."""

    @property
    def active(self) -> bool:
        """Whether it has a QEMU, or what stands in for one."""
        return self.id >= 0
