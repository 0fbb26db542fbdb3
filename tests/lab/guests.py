"""Guests of a lab: what to start, and what can be done to one that runs."""

from __future__ import annotations

import itertools
import os
import signal
import uuid as uuids
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from .boot_sector import BOOT_SECTOR

if TYPE_CHECKING:
    from .machine import Lab
    from .storage import HangingStorage

TAG_NAMESPACE = "http://ovirt.org/ovirtmap/tag/1.0"
EMULATOR = "/usr/bin/qemu-system-x86_64"
IMAGE_SIZE = 1 << 20
"""Bytes of each disk image, sparse."""
IDE_DISKS = 4
"""Disks the boot sector can drive; more of them are there but idle."""
DISK_LETTERS = "abcdefghijklmnopqrstuvwxyz"

_numbers = itertools.count()


@dataclass(frozen=True)
class Guest:
    """What to start."""

    name: str
    tag: str | None = None
    """Put into the metadata as oVirt does; None for no tag."""
    metadata: str = ""
    """XML put into `<metadata>` as it is, after the tag."""
    doctype: str = ""
    """A document type declaration put before everything, for metadata that uses entities of its own."""
    disks: int = 2
    """Named vda, vdb and so on; 0 leaves the firmware searching, and a core busy."""
    nics: int = 2
    storage: HangingStorage | None = None
    """Where the images lie; None for the lab's own folder."""
    uuid: str = field(default_factory=lambda: str(uuids.uuid4()))
    memory: int = 16
    """MiB."""
    paused: bool = False
    """Created, but its virtual CPUs do not run until `resume`."""
    elements: str = ""
    """XML put into `<domain>` as it is, such as `<vcpu>` or `<perf>`."""
    devices: str = ""
    """XML put into `<devices>` as it is, after the disks and interfaces."""
    emulator: str = EMULATOR
    """The program that is QEMU, or ends in being it."""


class Images:
    """A folder for disk images, under the path by which this process and the one by which the lab reaches it."""

    def __init__(self, outside: Path, inside: Path) -> None:
        self._outside = outside
        self._inside = inside

    def create(self) -> Path:
        """Make a new bootable image; return its path inside the lab."""
        name = f"{next(_numbers)}.img"
        with open(self._outside / name, "wb") as image:
            image.write(BOOT_SECTOR)
            image.truncate(IMAGE_SIZE)
        return self._inside / name


class RunningGuest:
    """A guest that was started; its methods act on it through the lab's libvirtd, or behind its back."""

    def __init__(self, lab: Lab, spec: Guest, nics: list[str]) -> None:
        self._lab = lab
        self.spec = spec
        self.name = spec.name
        self.uuid = spec.uuid
        self.disks = [f"vd{letter}" for letter in DISK_LETTERS[: spec.disks]]
        self.nics = nics

    def __repr__(self) -> str:
        return f"<RunningGuest {self.name!r}>"

    @property
    def domain(self) -> Any:
        """Its `libvirt.virDomain`, on the lab's own connection; each call may block as libvirt does."""
        return self._lab.connection.lookupByUUIDString(self.uuid)

    @property
    def pid(self) -> int:
        """Its QEMU's pid as seen from outside."""
        # Not by libvirt's pid file: its name is the guest's, which may be markup, or `driver`, which is libvirtd's own.
        wanted = f"\0-uuid\0{self.uuid}\0".encode()
        for pid in self._lab.pids().values():
            try:
                arguments = Path("/proc", str(pid), "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                # It ended while we looked.
                continue
            if wanted in arguments:
                return pid
        raise ProcessLookupError(f"no QEMU runs for {self!r}")

    def freeze(self) -> None:
        """Stop its QEMU process: it answers nobody until `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let its QEMU process go on."""
        os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill its QEMU process."""
        os.kill(self.pid, signal.SIGKILL)

    def pause(self) -> None:
        """Suspend its virtual CPUs; QEMU goes on answering."""
        self.domain.suspend()

    def resume(self) -> None:
        """Let its virtual CPUs run."""
        self.domain.resume()

    def stop(self) -> None:
        """Destroy it."""
        self.domain.destroy()

    def retag(self, tag: str | None) -> None:
        """Change or remove its tag while it runs."""
        import libvirt

        element = None if tag is None else f"<tag>{escape(tag)}</tag>"
        flags = libvirt.VIR_DOMAIN_AFFECT_LIVE
        kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
        self.domain.setMetadata(kind, element, "ovirtmap", TAG_NAMESPACE, flags)

    def plug_disk(self, storage: HangingStorage | None = None) -> str:
        """Add a disk while it runs; return its target. Blocks while the storage hangs, and holds the domain's lock."""
        target = f"vd{DISK_LETTERS[len(self.disks)]}"
        image = self._lab.images(storage).create()
        self.domain.attachDevice(_disk_xml(target, image, "virtio"))
        self.disks.append(target)
        return target

    def plug_nic(self) -> str:
        """Add a network interface while it runs; return its target."""
        nic = new_nic()
        self.domain.attachDevice(_nic_xml(nic))
        self.nics.append(nic)
        return nic


def new_nic() -> str:
    """A device name that no other guest of this process has; at most 15 characters, as Linux wants."""
    return f"lab{next(_numbers)}"


def domain_xml(spec: Guest, images: Images, nics: list[str]) -> str:
    """The XML that starts a guest; creates its images."""
    devices = []
    for number in range(spec.disks):
        bus = "ide" if number < IDE_DISKS else "virtio"
        devices.append(_disk_xml(f"vd{DISK_LETTERS[number]}", images.create(), bus))
    devices += [_nic_xml(nic) for nic in nics]
    tag = "" if spec.tag is None else f"<o:tag xmlns:o={quoteattr(TAG_NAMESPACE)}>{escape(spec.tag)}</o:tag>"
    return f"""{spec.doctype}
<domain type='qemu'>
  <name>{escape(spec.name)}</name>
  <uuid>{spec.uuid}</uuid>
  <memory unit='MiB'>{spec.memory}</memory>
  <metadata>{tag}{spec.metadata}</metadata>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  {spec.elements}
  <devices>
    <emulator>{spec.emulator}</emulator>
    <controller type='usb' model='none'/>
    {"".join(devices)}
    {spec.devices}
  </devices>
</domain>"""


def _disk_xml(target: str, image: Path, bus: str) -> str:
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file={quoteattr(str(image))}/>
      <target dev='{target}' bus='{bus}'/>
    </disk>"""


def _nic_xml(nic: str) -> str:
    # Of QEMU's cards this one takes frames from the host without a driver in the guest; without its ROM the guest
    # boots at once.
    return f"""
    <interface type='ethernet'>
      <target dev='{nic}'/>
      <model type='ne2k_pci'/>
      <rom enabled='no'/>
    </interface>"""
