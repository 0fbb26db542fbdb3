"""Records: what is known of a domain, and what one call said of it."""

from __future__ import annotations

from typing import NamedTuple

NO_ID = -1
"""libvirt's id of a domain that is not active; here also of one whose id is not known."""


class Disk(NamedTuple):
    """One disk of a domain, as its XML describes it."""

    target: str
    """Device name seen by the guest, such as ``vda``; what libvirt's block calls take."""
    source: str
    """Path or device of the image, or what it is called on its storage (``pool/image``); empty where it has none."""
    storage: str
    """The storage domain the image lies on, empty where it could not be inferred."""
    label: str = ""
    """Its type instance (see `virt2.description.labels`); empty for the target."""
    reported: bool = True
    """Whether its values are asked for and go out."""
    alias: str = ""
    """libvirt's own name for it while the domain runs, such as ``virtio-disk0``: what its events carry."""
    backing: tuple[str, ...] = ()
    """The storage domains of its other images: those it is based on, those it is being copied to, and their data files.
    QEMU touches these as well."""


class Nic(NamedTuple):
    """One network interface of a domain, as its XML describes it."""

    target: str
    """Device name on the host, such as ``vnet3``; what libvirt's interface calls take."""
    mac: str
    """Hardware address, as written in the XML."""
    tap: bool = False
    """It is a tap device of the host, whose counters libvirt reads off the host and turns round."""
    number: int = 1
    """Its place among the domain's interfaces that have a target, from 1."""
    label: str = ""
    """Its type instance (see `virt2.description.labels`); empty for the target."""
    outside: bool = False
    """libvirt asks another program of the host for its counters, and holds the domain's lock until that answers."""


class Description(NamedTuple):
    """What a domain's XML says of it; costs a call, so it is kept until something changes."""

    tag: str = ""
    """The tag from the metadata, trimmed; empty when the domain has none that can be used."""
    disks: tuple[Disk, ...] = ()
    nics: tuple[Nic, ...] = ()
    problems: tuple[str, ...] = ()
    """What an operator should hear once, in words without the domain's name."""
    agent: bool = False
    """An agent may answer: the guest has its channel open, or libvirt does not tell."""
    others: tuple[str, ...] = ()
    """The storage domains of images that are no disks to the guest, and are to QEMU: its firmware, the firmware's
    variables, what a backup writes to."""
    complete: bool = True
    """All of the domain's disks and interfaces are known. Where that is False the domain's sample is never complete."""
    metadata: str | None = None
    """What is picked out of its metadata for its identity, empty where there is none; None where that is unknown."""

    @property
    def storage(self) -> tuple[str, ...]:
        """The storage domains that QEMU touches when it is asked for sizes, each once.

        Those of the disks come first, in the disks' order, then those of their other images, and of others.
        """
        return tuple(dict.fromkeys((*self._of_disks, *self.others)))

    @property
    def placement(self) -> str:
        """The storage domain that places the domain where it has no tag: that of its first disk; empty without one."""
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
    """libvirt's number for this run of the domain: it changes when the domain is started anew."""
    description: Description = Description()

    @property
    def placement(self) -> str:
        """What places the domain into a group when it has no tag: the storage domain of its first disk."""
        return self.description.placement


class Status(NamedTuple):
    """What libvirt says of the state of a domain, active or not."""

    uuid: str
    name: str
    id: int
    """As in `Domain`; `NO_ID` for a domain that is not active."""
    persistent: bool
    """Whether it is still defined when it is not active."""
    state: int
    """virDomainState."""
    reason: int
    """Of the numbers that belong to this state."""

    @property
    def active(self) -> bool:
        """Whether it has a QEMU, or what stands in for one."""
        return self.id >= 0
