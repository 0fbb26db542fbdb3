"""Record what a libvirt says of its domains, to be replayed by the unit tests (tests/unit/replies).

    python -m tests.record_replies --lab FILE              root; guests made for this, in a private lab
    python -m tests.record_replies FILE [DOMAIN...]        your own domains: all that are active, or those named

Every call that concerns statistics is made once per domain, disk and interface, and what it returned is written down
as it was, or the error it raised. Calls that touch the storage (blockInfo, bulk BLOCK) are among them. Names,
addresses and paths of the domains end up in the file: look through it before you hand it on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import libvirt

from tests.lab import Guest, Lab, wait_for

CONSTANTS = (
    "VIR_ERR_",
    "VIR_CONNECT_GET_ALL_DOMAINS_STATS_",
    "VIR_CONNECT_LIST_DOMAINS_",
    "VIR_DOMAIN_EVENT_ID_",
    "VIR_DOMAIN_GUEST_INFO_",
    "VIR_DOMAIN_JOB_STATS_",
    "VIR_DOMAIN_METADATA_",
    "VIR_DOMAIN_STATS_",
)
"""Beginnings of the names whose numbers are written down too: they tell what this version knows."""
LAB_FOLDER = "/var/lib/lab"
"""Stands in the file for the temporary folder of a lab."""
SOON = 15.0
"""Seconds for what libvirt does on its own account."""

DOMAIN_CALLS: dict[str, Callable[[Any], Any]] = {
    "info": lambda domain: domain.info(),
    "state": lambda domain: domain.state(),
    "controlInfo": lambda domain: domain.controlInfo(),
    "vcpus": lambda domain: domain.vcpus(),
    "getCPUStats": lambda domain: domain.getCPUStats(True),
    "memoryStats": lambda domain: domain.memoryStats(),
    "diskErrors": lambda domain: domain.diskErrors(),
    "perfEvents": lambda domain: domain.perfEvents(),
    "jobInfo": lambda domain: domain.jobInfo(),
    "jobStats": lambda domain: domain.jobStats(),
    "jobStats completed": lambda domain: domain.jobStats(
        libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | getattr(libvirt, "VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED", 0)
    ),
}
DISK_CALLS: dict[str, Callable[[Any, str], Any]] = {
    "blockStats": lambda domain, target: domain.blockStats(target),
    "blockStatsFlags": lambda domain, target: domain.blockStatsFlags(target),
    "blockInfo": lambda domain, target: domain.blockInfo(target),
}
NIC_CALLS: dict[str, Callable[[Any, str], Any]] = {
    "interfaceStats": lambda domain, target: domain.interfaceStats(target),
}


def main() -> None:
    """Record, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lab", action="store_true", help="record guests made for this")
    parser.add_argument("--connect", default="qemu:///system", help="URI of the libvirt to ask")
    parser.add_argument("file", type=Path)
    parser.add_argument("domain", nargs="*")
    arguments = parser.parse_args()
    # Errors are part of what is recorded; libvirt would print them as well.
    libvirt.registerErrorHandler(lambda *_: None, None)
    with contextlib.ExitStack() as stack:
        if arguments.lab:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            lab = stack.enter_context(Lab(folder))
            connection = lab.connection
            domains = dict(lab_domains(lab, Path(folder)))
        else:
            connection = libvirt.openReadOnly(arguments.connect)
            found = [connection.lookupByName(name) for name in arguments.domain]
            found = found or connection.listAllDomains(libvirt.VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            domains = {domain.name(): record(connection, domain) for domain in found}
        recording = {
            "origin": origin(connection, arguments.lab),
            "libvirt": version(connection.getLibVersion()),
            "binding": version(libvirt.getVersion()),
            "constants": constants(),
            "host": answer(connection.getInfo),
            "domains": domains,
        }
    text = render(recording) + "\n"
    arguments.file.write_text(text.replace(str(folder), LAB_FOLDER) if arguments.lab else text)


def lab_domains(lab: Lab, folder: Path) -> Iterator[tuple[str, Any]]:
    """Start guests of every kind there is a question about, and record them."""

    def recorded(guest: Any, note: str) -> dict[str, Any]:
        return {"note": note, **record(lab.connection, guest.domain)}

    guest = lab.guest(Guest("balloon", tag="virt-0", elements="<vcpu>2</vcpu><iothreads>1</iothreads>"))
    attempt(lambda: guest.domain.setPerfEvents({"cpu_clock": True, "page_faults": True}))
    attempt(lambda: guest.domain.setBlockThreshold("vdb", 65536))
    if attempt(lambda: guest.domain.startDirtyRateCalc(1)):
        time.sleep(2)
    wait_for(lambda: all(guest.domain.blockStats("vdb")[:4]), SOON, "the guest has read and written")
    yield "balloon", recorded(guest, "2 disks, 2 interfaces, a virtio balloon whose driver is not there")

    guest = lab.guest(Guest("no-balloon", disks=1, nics=0, devices="<memballoon model='none'/>"))
    yield "no-balloon", recorded(guest, "no balloon device and no interface")

    drive = "<disk type='file' device='cdrom'><target dev='hdc' bus='scsi'/><readonly/></disk>"
    guest = lab.guest(Guest("empty-drive", disks=1, nics=1, devices=drive))
    yield "empty-drive", recorded(guest, "a CD-ROM drive without a CD")

    guest = lab.guest(Guest("vcpus", disks=1, nics=0, elements="<vcpu current='1'>3</vcpu>"))
    yield "vcpus-before", recorded(guest, "1 of 3 virtual CPUs")
    guest.domain.setVcpus(2)
    yield "vcpus-after", recorded(guest, "the same domain with a second virtual CPU plugged in")

    guest = lab.guest(Guest("paused", disks=1, nics=1, paused=True))
    yield "paused", recorded(guest, "started paused")

    # Targets are kept in order: one that is plugged in between two moves the later ones.
    guest = lab.guest(Guest("disks", disks=4, nics=0))
    images = lab.images(None)
    for target in ("vdf", "vdg", "vdh"):
        plug(guest, target, images.create())
    yield "disks-before", recorded(guest, "7 disks, vde is missing")
    plug(guest, "vde", images.create())
    yield "disks-after", recorded(guest, "the same domain with vde plugged in: 8 disks, other numbers")

    guest = lab.guest(Guest("chain", disks=1, nics=0))
    wait_for(lambda: guest.domain.blockStats("vda")[3] > 0, SOON, "the guest has written")
    overlay = f"<source file='{folder}/images/overlay.qcow2'/>"
    guest.domain.snapshotCreateXML(
        f"<domainsnapshot><disks><disk name='vda'>{overlay}</disk></disks></domainsnapshot>",
        libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA,
    )
    yield "chain", recorded(guest, "a disk with a backing chain of two files")

    # Another QEMU is the server.
    server = lab.guest(Guest("server", disks=2, nics=0))
    socket = folder / "nbd"
    address = {"type": "unix", "data": {"path": str(socket)}}
    # Two nodes for one image with some versions, one with others; either will do.
    node = next(
        node["node-name"]
        for node in qmp(server, "query-named-block-nodes")
        if Path(node["file"]).name == image_of(server, "vdb")
    )
    qmp(server, "nbd-server-start", addr=address)
    qmp(server, "nbd-server-add", device=node, name="export", writable=False)
    disk = (
        "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
        f"<source protocol='nbd' name='export'><host transport='unix' socket='{socket}'/></source>"
        "<target dev='vdb' bus='virtio'/><readonly/></disk>"
    )
    guest = lab.guest(Guest("network-disk", disks=1, nics=0, devices=disk))
    yield "network-disk", recorded(guest, "vdb is an NBD export")


def attempt(call: Callable[[], Any]) -> bool:
    """Do what not every version and machine can; whether it could."""
    try:
        call()
    except (libvirt.libvirtError, AttributeError) as error:
        print(f"cannot be had here: {error}")
        return False
    return True


def plug(guest: Any, target: str, image: Path) -> None:
    """Add a disk of this name while the guest runs."""
    guest.domain.attachDevice(
        f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>"
        f"<target dev='{target}' bus='virtio'/></disk>"
    )


def image_of(guest: Any, target: str) -> str:
    """The file name of a disk's image."""
    for disk in ElementTree.fromstring(guest.domain.XMLDesc()).iterfind("devices/disk"):
        if disk.find("target").get("dev") == target:
            return Path(disk.find("source").get("file")).name
    raise LookupError(target)


def qmp(guest: Any, command: str, **arguments: Any) -> Any:
    """Tell the guest's QEMU something that libvirt has no call for."""
    import libvirt_qemu

    reply = json.loads(
        libvirt_qemu.qemuMonitorCommand(guest.domain, json.dumps({"execute": command, "arguments": arguments}), 0)
    )
    if "error" in reply:
        raise RuntimeError(f"{command}: {reply['error']}")
    return reply["return"]


def record(connection: Any, domain: Any) -> dict[str, Any]:
    """Everything a libvirt says of one domain."""
    text = domain.XMLDesc()
    devices = ElementTree.fromstring(text).find("devices")
    disks = [target.get("dev") for target in devices.iterfind("disk/target")]
    nics = [target.get("dev") for target in devices.iterfind("interface/target")]
    replies: dict[str, Any] = {name: answer(call, domain) for name, call in DOMAIN_CALLS.items()}
    for name, call in DISK_CALLS.items():
        replies[name] = {disk: answer(call, domain, disk) for disk in disks}
    for name, call in NIC_CALLS.items():
        replies[name] = {nic: answer(call, domain, nic) for nic in nics}
    return {"xml": text.splitlines(), "bulk": bulk(connection, domain), "replies": replies}


def bulk(connection: Any, domain: Any) -> dict[str, Any]:
    """Each group of bulk statistics by itself; `BLOCK BACKING` is the one with the whole backing chains."""

    def ask(group: int, flags: int) -> dict[str, Any]:
        return connection.domainListGetStats([domain], group, flags)[0][1]

    groups = {name: (number, 0) for name, number in constants().items() if is_group(name)}
    groups["VIR_DOMAIN_STATS_BLOCK BACKING"] = (
        libvirt.VIR_DOMAIN_STATS_BLOCK,
        libvirt.VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING,
    )
    return {name[len("VIR_DOMAIN_STATS_") :]: answer(ask, *asked) for name, asked in sorted(groups.items())}


def is_group(name: str) -> bool:
    """Whether a constant is a group of bulk statistics."""
    return name.startswith("VIR_DOMAIN_STATS_")


def answer(call: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    """What a call returned, or libvirt's error."""
    try:
        return {"value": call(*arguments)}
    except libvirt.libvirtError as error:
        return {"error": [error.get_error_code(), error.get_error_domain(), error.get_error_message()]}


def constants() -> dict[str, int]:
    """The numbers this version of the binding has names for."""
    return {
        name: value
        for name, value in sorted(vars(libvirt).items())
        if name.startswith(CONSTANTS) and isinstance(value, int)
    }


def origin(connection: Any, lab: bool) -> str:
    """Where a recording comes from, for whoever wonders about it later."""
    words = [
        f"recorded by tests/record_replies.py {'--lab' if lab else ''}".strip(),
        f"from libvirt {version(connection.getLibVersion())}",
        f"{connection.getType()} {version(connection.getVersion())}",
        os_release(),
    ]
    return ", ".join(words)


def os_release() -> str:
    """The operating system's own words."""
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("PRETTY_NAME="))


def version(number: int) -> str:
    """Spell out a version number of libvirt's."""
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def render(value: Any, indent: str = "") -> str:
    """JSON with one reply on a line, so that recordings can be read and compared."""
    nested = isinstance(value, dict) and not value.keys() & {"value", "error"} and indent.count(" ") < 5
    if nested:
        inner = indent + " "
        lines = [f"{inner}{json.dumps(key)}: {render(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        inner = indent + " "
        return "[\n" + ",\n".join(inner + json.dumps(one) for one in value) + f"\n{indent}]"
    return json.dumps(value)


if __name__ == "__main__":
    main()
