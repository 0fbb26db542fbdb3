"""Pure: the domains of a simulated host, and what is always the same of each."""

from __future__ import annotations

import uuid
from typing import NamedTuple

TAG_NAMESPACE = "http://ovirt.org/ovirtmap/tag/1.0"
LETTERS = "abcdefgh"
MEMORY = 16384
"""KiB"""


class Domain(NamedTuple):
    """One domain. All of it follows from its number, so that every process of the simulation knows it."""

    id: int
    """From 1."""
    name: str
    uuid: str
    disks: tuple[str, ...]
    nics: tuple[str, ...]
    tag: str = ""


def made(count: int, disks: int = 2, nics: int = 2, tag: str = "") -> list[Domain]:
    """Make so many domains."""
    return [
        Domain(
            number,
            f"guest-{number}",
            str(uuid.uuid5(uuid.NAMESPACE_OID, f"guest-{number}")),
            tuple(f"vd{letter}" for letter in LETTERS[:disks]),
            tuple(f"sim{number}n{nic}" for nic in range(nics)),
            tag,
        )
        for number in range(1, count + 1)
    ]


def xml(domain: Domain) -> str:
    """What libvirt says of such a domain: recorded from libvirt 9.0, with its names put in."""
    metadata = f"""<o:tag xmlns:o="{TAG_NAMESPACE}">{domain.tag}</o:tag>""" if domain.tag else ""
    disks = "".join(
        _DISK.format(id=domain.id, number=number, target=target) for number, target in enumerate(domain.disks)
    )
    nics = "".join(
        _NIC.format(
            target=target,
            number=number,
            mac=f"52:54:00:{domain.id >> 8 & 255:02x}:{domain.id & 255:02x}:{number:02x}",
        )
        for number, target in enumerate(domain.nics)
    )
    return _XML.format(
        id=domain.id, name=domain.name, uuid=domain.uuid, metadata=metadata, memory=MEMORY, disks=disks, nics=nics
    )


_DISK = """\
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/var/lib/lab/images/{id}-{number}.img' index='{number}'/>
      <backingStore/>
      <target dev='{target}' bus='ide'/>
      <alias name='ide0-0-{number}'/>
      <address type='drive' controller='0' bus='0' target='0' unit='{number}'/>
    </disk>
"""
_NIC = """\
    <interface type='ethernet'>
      <mac address='{mac}'/>
      <target dev='{target}'/>
      <model type='ne2k_pci'/>
      <alias name='net{number}'/>
      <rom enabled='no'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x0{number}' function='0x0'/>
    </interface>
"""
_XML = """\
<domain type='qemu' id='{id}'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <metadata>{metadata}</metadata>
  <memory unit='KiB'>{memory}</memory>
  <currentMemory unit='KiB'>{memory}</currentMemory>
  <vcpu placement='static'>1</vcpu>
  <resource>
    <partition>/machine</partition>
  </resource>
  <os>
    <type arch='x86_64' machine='pc-i440fx-7.2'>hvm</type>
    <boot dev='hd'/>
  </os>
  <features>
    <acpi/>
  </features>
  <cpu mode='custom' match='exact' check='full'>
    <model fallback='forbid'>qemu64</model>
    <feature policy='require' name='hypervisor'/>
    <feature policy='require' name='lahf_lm'/>
  </cpu>
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
{disks}\
    <controller type='usb' index='0' model='none'>
      <alias name='usb'/>
    </controller>
    <controller type='pci' index='0' model='pci-root'>
      <alias name='pci.0'/>
    </controller>
    <controller type='ide' index='0'>
      <alias name='ide'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x01' function='0x1'/>
    </controller>
{nics}\
    <input type='mouse' bus='ps2'>
      <alias name='input0'/>
    </input>
    <input type='keyboard' bus='ps2'>
      <alias name='input1'/>
    </input>
    <audio id='1' type='none'/>
    <memballoon model='virtio'>
      <alias name='balloon0'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x04' function='0x0'/>
    </memballoon>
  </devices>
  <seclabel type='dynamic' model='dac' relabel='yes'>
    <label>+0:+0</label>
    <imagelabel>+0:+0</imagelabel>
  </seclabel>
</domain>
"""
