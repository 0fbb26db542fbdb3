"""Infers which storage domain a disk is on, from its XML and the mount table alone.

A storage domain is anything that fails as a whole: an export, a pool, a target, a volume group, a file system. Its name
is the one that operators use. Nothing here touches the storage, because a stat() of a path on a dead export blocks.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Mapping
from xml.etree.ElementTree import Element, SubElement

LONGEST = 255
"""Most characters in a name, because log lines and notifications contain it."""

_PATH_MAX = 4096
"""How many characters of a path are looked at. This is the kernel's limit, so no mount point is longer."""

_UUID = r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
_OVIRT = re.compile(rf"/rhev/data-center/(?:[^/]+/)*?({_UUID})/images/|(?:/var)?/run/vdsm/storage/({_UUID})/")
_MAPPER = re.compile(r"((?:[^-]|--)+)-(?!-)(?:[^-]|--)+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,8}")
_OCTAL = re.compile(r"\\([0-3][0-7]{2})")

# fmt: off
_NOT_VOLUME_GROUPS = frozenset([
    "block", "bsg", "bus", "bcache", "cciss", "char", "cpu", "disk", "dm", "drbd", "fd", "ida", "input", "infiniband",
    "loop", "mapper", "mapping", "md", "net", "nvme", "pts", "raw", "rbd", "rd", "shm", "snd", "vfio", "vx", "zvol",
])
# fmt: on
"""Directories of /dev that are not LVM volume groups. A group of such a name cannot have its directory there."""

# fmt: off
_REMOTE_TYPES = frozenset([
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse", "glusterfs", "gpfs", "lustre", "nfs", "nfs4", "orangefs", "smb3",
    "smbfs",
])
# fmt: on
"""File system types whose mount source is the name of the far end. ``fuse.*`` may be one as well."""


class Mounts:
    """The mount table: it tells from the text of a path which mount the path is on.

    Attributes:
        problem: what an operator should know if the table could not be read, else empty.
    """

    def __init__(self, names: Mapping[str, str] | None = None, problem: str = "") -> None:
        """Take the name of the storage domain of each mount point. ``/`` is always in the table."""
        self._names: dict[str, str] = {"/": "/", **(names or {})}
        self.problem = problem

    def __repr__(self) -> str:
        return f"<Mounts points={len(self._names)}>"

    @classmethod
    def parse(cls, text: str) -> Mounts:
        """Read the text of ``/proc/self/mountinfo``. A later mount on the same point hides the earlier one.

        A line of another form is ignored. Then its paths belong to the mount above.
        """
        names: dict[str, str] = {}
        for line in text.split("\n"):
            mount, _, origin = line.partition(" - ")
            fields, tail = mount.split(" "), origin.split(" ")
            if len(fields) < 6 or len(tail) < 2:
                continue
            point, kind, source = _unescape(fields[4]), tail[0], _unescape(tail[1])
            names[point] = source if _is_remote(kind, source) else point
        return cls(names)

    @classmethod
    def load(cls, read: Callable[[], str]) -> Mounts:
        """Read the text that `read` returns.

        Where `read` raises OSError, every path counts as being on ``/``. One storage domain for all is the careful
        answer, because calls that touch the same storage domain are made one at a time.
        """
        try:
            return cls.parse(read())
        except OSError as error:
            reason = f"the mount table cannot be read ({error.strerror})"
            return cls(problem=f"{reason}: all image files count as being on one storage domain")

    def of(self, path: str) -> str:
        """Name the storage domain of an absolute path: the mount with the longest matching mount point.

        The name is the mount's source where that is a far end (``server:/export``), else the mount point.
        """
        point = _normal(path)
        while point not in self._names:
            point = posixpath.dirname(point)
        return self._names[point]


def infer(disk: Element, domain_id: str, mounts: Mounts) -> str:
    """Name the storage domain of a disk.

    Args:
        disk: the ``<disk>`` element.
        domain_id: the storage domain that oVirt's metadata gives for this disk, empty where it gives none.
        mounts: where image files are looked up.

    Returns:
        A name of at most `LONGEST` characters, without control characters. It is empty where nothing is known, such as
        for an empty CD-ROM.
    """
    source = disk.find("source")
    if source is None:
        return ""
    path = source_path(source)
    # The path comes first, because QEMU uses it now. The metadata is only a note that oVirt made.
    return _presentable(_ovirt(path) or domain_id or _by_kind(disk.get("type", ""), source, path, mounts))


def file_image(path: str) -> Element:
    """Make an element like a ``<disk>`` whose image is a file."""
    image = Element("image", type="file")
    SubElement(image, "source", file=path)
    return image


def source_path(source: Element) -> str:
    """Return the path in a ``<source>`` element: of a file, device or directory. Empty where it has none."""
    return source.get("file") or source.get("dev") or source.get("dir") or ""


def source_name(source: Element) -> str:
    """Name an image by its path, else as its storage calls it, such as ``pool/image``. Empty where it has no name."""
    volume = "/".join(filter(None, (source.get("pool"), source.get("volume"))))
    return (
        source_path(source)
        or source.get("name")
        or volume
        or source.get("path")
        or _pci(source.find("address"))
        or (_network(source) if source.get("protocol") else "")
    )


def _ovirt(path: str) -> str:
    """Return the storage domain's UUID if this is one of oVirt's image paths, else an empty text."""
    match = _OVIRT.match(_normal(path))
    return (match[1] or match[2]) if match else ""


def _by_kind(kind: str, source: Element, path: str, mounts: Mounts) -> str:
    """Name the storage domain by libvirt's disk type, or by the path where the type is unknown."""
    if kind == "network":
        return _network(source)
    if kind == "volume":
        return source.get("pool", "")
    if kind == "nvme":
        return _pci(source.find("address"))
    if kind == "vhostuser":
        return source.get("path", "")
    if not path.startswith("/"):
        return ""
    normal = _normal(path)
    # Paths in /dev are devices, even if the type says otherwise: type='file' on a logical volume works, and is common.
    if normal.startswith("/dev/") and not normal.startswith("/dev/shm/"):
        return _device(normal)
    return normal if kind == "block" else mounts.of(normal)


def _network(source: Element) -> str:
    """Name the far end of a network disk by its protocol, its hosts and the protocol's kind of pool."""
    protocol, name = source.get("protocol", ""), source.get("name", "")
    # The hosts are sorted, because the order of a cluster's hosts means nothing.
    hosts = ",".join(sorted(filter(None, map(_host, source.findall("host")))))
    pool = name.lstrip("/").partition("/")[0]
    if not hosts:
        return f"{protocol}:{pool}" if protocol else ""
    if protocol == "nfs":
        return f"{hosts}:{posixpath.dirname(_normal(name))}"
    if protocol == "gluster":
        # The same volume has this name where it is mounted.
        return f"{hosts}:/{pool}"
    if protocol == "iscsi":
        # udev's link for the same target has this form, always with the port.
        port = next((host.get("port") for host in source.findall("host") if host.get("port")), "3260")
        return f"iscsi://{hosts}:{port}/{pool}"
    return f"rbd://{hosts}/{pool}" if protocol == "rbd" else f"{protocol}://{hosts}"


def _host(host: Element) -> str:
    """Return a host's name, in brackets if it is an IPv6 address, or the path of its socket."""
    name = host.get("name") or host.get("socket") or ""
    return f"[{name}]" if ":" in name and "/" not in name and not name.startswith("[") else name


def _device(path: str) -> str:
    """Name the storage domain of a block device: iSCSI target, pool or volume group, else the device itself."""
    parts = path.split("/")[2:]
    if parts[0] == "disk" and len(parts) == 3:
        return _device_link(parts[1], parts[2]) or path
    if parts[0] == "mapper" and len(parts) == 2:
        return _volume_group(parts[1]) or path
    if parts[0] in ("zvol", "rbd") and len(parts) > 2:
        return parts[1] if parts[0] == "zvol" else f"rbd:{parts[1]}"
    if len(parts) == 2 and parts[0] not in _NOT_VOLUME_GROUPS:
        return parts[0]
    return path


def _device_link(directory: str, link: str) -> str:
    """Read from udev's link the iSCSI target or volume group of a device; empty where it has neither."""
    if directory == "by-path":
        portal, _, unit = link.partition("-iscsi-")
        host, target = portal.rpartition("ip-")[2], unit.rpartition("-lun-")[0]
        return f"iscsi://{host}/{target}" if target else ""
    if directory == "by-id" and link.startswith("dm-name-"):
        return _volume_group(link[len("dm-name-") :])
    return ""


def _volume_group(name: str) -> str:
    """Return the volume group of a device-mapper name ``VG-LV``, in which dashes of both names are doubled."""
    match = _MAPPER.fullmatch(name)
    return match[1].replace("--", "-") if match else ""


def _pci(address: Element | None) -> str:
    """Return a PCI address as lspci writes it."""
    if address is None:
        return ""
    parts = [address.get(key, "") for key in ("domain", "bus", "slot", "function")]
    if not all(_HEX.fullmatch(part) for part in parts):
        return ""
    domain, bus, slot, function = (int(part, 16) for part in parts)
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}"


def _is_remote(kind: str, source: str) -> bool:
    """Tell whether a mount's source is the name of a far end. Some fuse file systems have only their own name there."""
    return (kind in _REMOTE_TYPES or kind.startswith("fuse.")) and any(mark in source for mark in ":/@#")


def _normal(path: str) -> str:
    """Return an absolute path without ``.``, ``..`` and doubled slashes, cut to `_PATH_MAX`. Only its text is used."""
    return posixpath.normpath("/" + path[:_PATH_MAX].lstrip("/"))


def _unescape(field: str) -> str:
    """Undo mountinfo's octal escapes of space, tab, newline and backslash."""
    return _OCTAL.sub(lambda match: chr(int(match[1], 8)), field)


def _presentable(name: str) -> str:
    """Escape what a log line cannot show, and cut a long name. A digest of the whole keeps cut names different."""
    name = _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), name)
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    return f"{name[: LONGEST - len(digest) - 1]}~{digest}"
