"""What a domain's XML says about it: tag, disks, interfaces, whether its agent can be asked, and its name in metadata.

The XML is libvirt's own, except for `<metadata>`. Anybody who may edit the domain can put something there, and libvirt
prints it as it came in. So the text is hostile there, and only there. If that part cannot be parsed, the tag and the
name are lost, but not the disks. expat passes over the text once, in linear time, and only what is asked for is kept.
Prefixes are resolved here and not by expat, because expat would copy the name of a namespace, which may be a MiB long,
for every element in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser, fromstring
from xml.parsers import expat

from virt2 import errors
from virt2.description import storage
from virt2.description.metadata import Name, Pick, Tree, choose, declared, expand
from virt2.model.domain import Description, Disk, Nic
from virt2.text import xpath
from virt2.text.printable import quoted

LONGEST_TAG = 255
"""Most characters in a tag, because log lines contain it."""

LIBVIRT = "/var/lib/libvirt"
"""The folder where libvirt keeps what its domains need to run."""
_AGENT_CHANNEL = "org.qemu.guest_agent.0"
"""The channel by whose name libvirt knows the guest's agent."""
_OVIRT_VM = "http://ovirt.org/vm/1.0"
_TAPS = frozenset({"bridge", "ethernet", "network"})
"""Types of an interface that is a tap device on the host. The XML of a running domain has the type in use."""
_OUTSIDE = "vhostuser"
"""The type of an interface whose counters libvirt gets from a program of Open vSwitch."""
_DEEPEST = 5
"""Elements deeper than this are not looked at. The deepest one that is needed is
domain/metadata/vm/device/domainID."""

_METADATA_START = re.compile(r"<metadata(?=[\s/>])")
_METADATA_END = "</metadata>"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def describe(
    xml: str,
    *,
    namespace: str,
    element: str,
    mounts: storage.Mounts,
    metadata: Callable[[str], str] | None = None,
    pick: Pick | None = None,
    backup: str = "",
) -> Description:
    """Describe a domain by its XML.

    Args:
        xml: the domain's live XML as libvirt gives it.
        namespace: URI of the tag's element.
        element: local name of the tag's element, a direct child of ``<metadata>``.
        mounts: where image files are looked up.
        metadata: fetches from libvirt the XML of the element of one namespace, empty if there is none. It is called
            only if the metadata as a whole cannot be parsed. It may raise `DomainGone` (then there is no tag),
            `Unsupported` and `CallFailed` (then there is no tag, and a problem says why). Anything else that it raises
            goes to the caller.
        pick: what is wanted from the metadata in addition to the tag.
        backup: the XML of the backup that is under way, empty where there is none.

    Returns:
        The description. XML that cannot be parsed raises no exception, but is a problem in the description. Disks come
        in the order of the XML, with removable media last, because the first disk places an untagged domain, and a CD
        should not.
    """
    picked: str | None = None
    try:
        scan = _scan(xml, _Scan({(namespace, element)}, pick.namespaces if pick else ()))
    except _NotParsed as fault:
        try:
            scan = _scan(_without_metadata(xml), _Scan(set()))
        except _NotParsed as error:
            return Description(problems=(f"XML cannot be parsed ({error}): tag, disks and interfaces unknown",))
        tag, problems = _tag_alone(fault, namespace, element, metadata)
        if pick is not None:
            picked, more = _pick_alone(fault, pick, metadata)
            problems += more
    else:
        tag, problems = _choose(scan.tags)
        if pick is not None:
            picked, more = choose(pick, scan.trees)
            problems += more
    description = _description(scan, tag, problems, mounts)
    return description._replace(metadata=picked, others=(*description.others, *_of_backup(backup, mounts)))


class _NotParsed(errors.Error):
    """A text is not XML that is read here. The message has the reason in a few words, ours or expat's."""


class _Scan:
    """The state of one pass over a text: its position, and what it found.

    Attributes:
        disks, nics, channels: the whole elements.
        firmware: the whole elements of the loader and of the file of its variables.
        tags: the texts of the tag elements.
        domain_ids: oVirt's storage domain of a disk, by the disk's target.
        trees: the first element of the metadata in each of the wanted namespaces; None for one that is too large.
    """

    def __init__(self, tag_names: set[Name], wanted: Collection[str] = (), fragment: bool = False) -> None:
        """Look for tags of these names and for elements of these namespaces.

        A fragment is read as if it were within ``<metadata>``.
        """
        self.disks: list[Element] = []
        self.nics: list[Element] = []
        self.channels: list[Element] = []
        self.firmware: list[Element] = []
        self._lists = {
            "devices": {"disk": self.disks, "interface": self.nics, "channel": self.channels},
            "os": {"loader": self.firmware, "nvram": self.firmware},
        }
        self.tags: list[str] = []
        self.domain_ids: dict[str, str] = {}
        self.trees: dict[str, xpath.Element | None] = {}
        self._tag_names = tag_names
        self._wanted = wanted
        self._tree: Tree | None = None
        self._path: list[Name] = [("", "domain"), ("", "metadata")] if fragment else []
        self._scopes: list[dict[str, str]] = [{} for _ in self._path]
        self._depth = len(self._path)
        self._builder: TreeBuilder | None = None
        self._text: list[str] | None = None
        self._text_depth = 0
        self._device = ""

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Enter an element."""
        self._depth += 1
        if self._builder is not None:
            self._builder.start(name, attributes)
        elif self._depth <= _DEEPEST:
            self._scopes.append(declared(attributes))
            self._path.append(expand(name, self._scopes))
            self._enter(name, attributes)
        if self._tree is not None:
            self._tree.start(name, attributes)
            if self._tree.root is None:
                self._end_tree()

    def data(self, text: str) -> None:
        """Take a piece of text."""
        if self._builder is not None:
            self._builder.data(text)
        if self._text is not None and self._depth == self._text_depth:
            self._text.append(text)
        if self._tree is not None:
            self._tree.data(text)

    def split(self, *_: object) -> None:
        """Pass a comment or an instruction. The texts before it and behind it are two texts."""
        if self._tree is not None:
            self._tree.split()

    def end(self, name: str) -> None:
        """Leave an element."""
        if self._tree is not None:
            self._tree.end()
            if self._depth == 3:
                self._end_tree()
        if self._builder is not None:
            self._builder.end(name)
            if self._depth == 3:
                self._lists[self._path[1][1]][name].append(self._builder.close())
                self._builder = None
        elif self._text is not None and self._depth == self._text_depth:
            self._keep("".join(self._text))
            self._text = None
        if self._builder is None and self._depth <= _DEEPEST:
            self._path.pop()
            self._scopes.pop()
        self._depth -= 1

    def _enter(self, name: str, attributes: dict[str, str]) -> None:
        """Decide by the path whether this element is kept."""
        if self._depth == 1 and self._path[0] != ("", "domain"):
            raise _NotParsed("not a domain")
        if self._depth < 3:
            return
        inside = self._path[1]
        if self._depth == 3 and not inside[0] and name in self._lists.get(inside[1], ()):
            self._builder = TreeBuilder()
            self._builder.start(name, attributes)
        elif inside == ("", "metadata"):
            if self._depth == 3:
                namespace = self._path[2][0]
                if namespace in self._wanted and namespace not in self.trees:
                    self._tree = Tree(namespace, self._scopes[:-1])
                if self._path[2] in self._tag_names:
                    self._collect()
            elif self._depth == 4:
                self._device = attributes.get("name", "") if attributes.get("devtype") == "disk" else ""
            elif self._depth == 5 and self._path[2:] == [(_OVIRT_VM, part) for part in ("vm", "device", "domainID")]:
                self._collect()

    def _end_tree(self) -> None:
        """Keep what was read of the element that is being left or is too large."""
        if self._tree is not None:
            self.trees[self._path[2][0]] = self._tree.root
            self._tree = None

    def _collect(self) -> None:
        """Start to collect the text of the element just entered, without the text of elements within it."""
        self._text, self._text_depth = [], self._depth

    def _keep(self, text: str) -> None:
        """Store the text of the element just left."""
        if self._depth == 3:
            self.tags.append(text.strip())
        elif self._device:
            self.domain_ids[self._device] = text.strip()


def _scan(text: str, scan: _Scan) -> _Scan:
    """Run a scan over a text. Raise `_NotParsed` if the text is not well-formed or declares entities."""
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = scan.start
    parser.EndElementHandler = scan.end
    parser.CharacterDataHandler = scan.data
    parser.CommentHandler = parser.ProcessingInstructionHandler = scan.split
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(_encoded(text), True)
    except expat.ExpatError as error:
        raise _NotParsed(expat.ErrorString(error.code)) from error
    return scan


def _encoded(text: str) -> bytes:
    """Encode XML. A lone surrogate is not an XML character, but must not raise anything that is not caught here."""
    return text.encode("utf-8", "replace")


def _refuse_doctype(*declaration: object) -> None:
    """Stop at a document type. libvirt prints none, and entities (and so entity bombs) need one."""
    raise _NotParsed("document type not accepted")


def _without_metadata(xml: str) -> str:
    """Cut the metadata out of a domain's XML by its text alone.

    libvirt prints metadata once, as a direct child of the domain, and escapes every text and attribute outside. So the
    first start tag is the real one, because everything before it is libvirt's. The last end tag is the real one,
    because everything behind it is libvirt's. What is in between may contain such tags too, in comments, CDATA,
    instructions and elements.
    """
    start, end = _METADATA_START.search(xml), xml.rfind(_METADATA_END)
    if start is None or end < start.start():
        return xml
    return xml[: start.start()] + xml[end + len(_METADATA_END) :]


def _tag_alone(
    fault: _NotParsed, namespace: str, element: str, metadata: Callable[[str], str] | None
) -> tuple[str, tuple[str, ...]]:
    """Get the tag alone from libvirt, because the metadata as a whole cannot be parsed."""
    unknown = f"metadata cannot be parsed ({fault})"
    if metadata is None:
        return "", (f"{unknown}: treated as untagged",)
    try:
        fragment = metadata(namespace)
        if not fragment.strip():
            return "", ()
        # libvirt removes the prefix of the element that it hands out, and so the namespace.
        scan = _scan(fragment, _Scan({(namespace, element), ("", element)}, fragment=True))
    except errors.DomainGone:
        # The next list of domains will tell. Until then its disks are as described.
        return "", ()
    except errors.Unsupported:
        return "", (f"{unknown} and cannot be read in parts: treated as untagged",)
    except errors.CallFailed as error:
        return "", (f"{unknown}, reading the tag alone failed ({quoted(str(error))}): treated as untagged",)
    except _NotParsed as error:
        return "", (f"tag cannot be parsed ({error}): treated as untagged",)
    return _choose(scan.tags)


def _pick_alone(
    fault: _NotParsed, pick: Pick, metadata: Callable[[str], str] | None
) -> tuple[str | None, tuple[str, ...]]:
    """Get the elements to pick from alone from libvirt, because the metadata as a whole cannot be parsed."""
    trees: dict[str, xpath.Element | None] = {}
    problems: tuple[str, ...] = ()
    if metadata is None:
        return None, ()
    for namespace in pick.namespaces:
        try:
            fragment = metadata(namespace)
            if fragment.strip():
                # libvirt removes the prefix of the element that it hands out, and so the namespace.
                scan = _scan(fragment, _Scan(set(), {"", namespace}, fragment=True))
                trees.update((namespace, tree) for tree in scan.trees.values())
        except errors.DomainGone:
            return None, ()
        except (errors.Unsupported, errors.CallFailed) as error:
            part = f"reading the element of {quoted(namespace)} alone failed ({quoted(str(error))})"
            return None, (f"metadata cannot be parsed ({fault}), {part}: it is not used",)
        except _NotParsed as error:
            problems = (f"no metadata in its identity: the element of {quoted(namespace)} cannot be parsed ({error})",)
    picked, more = choose(pick, trees)
    return picked, () if picked else problems or more


def _choose(tags: list[str]) -> tuple[str, tuple[str, ...]]:
    """Choose the tag from the texts that were found, and say what is wrong with them."""
    found = list(dict.fromkeys(tag for tag in tags if tag))
    if not found:
        return "", ()
    tag = found[0]
    if len(tag) > LONGEST_TAG:
        return "", (f"tag {quoted(tag)} is longer than {LONGEST_TAG} characters: treated as untagged",)
    if _CONTROL.search(tag):
        return "", (f"tag {quoted(tag)} has control characters: treated as untagged",)
    return tag, (f"{len(found)} different tags: the first, {quoted(tag)}, is used",) if len(found) > 1 else ()


def _description(scan: _Scan, tag: str, problems: tuple[str, ...], mounts: storage.Mounts) -> Description:
    """Make a description of what a scan found."""
    scan.disks.sort(key=lambda disk: disk.get("device") in ("cdrom", "floppy"))
    disks = []
    for disk in scan.disks:
        target, source = _attribute(disk, "target", "dev"), disk.find("source")
        if target:
            where = storage.infer(disk, scan.domain_ids.get(target, ""), mounts)
            path = "" if source is None else storage.source_name(source)
            backing = tuple(filter(None, (storage.infer(image, "", mounts) for image in _other_images(disk))))
            disks.append(Disk(target, path, where, alias=_attribute(disk, "alias", "name"), backing=backing))
    agent = any(map(_is_open_agent, scan.channels))
    return Description(
        tag, tuple(disks), tuple(_nics(scan.nics)), problems, agent, others=_firmware(scan.firmware, mounts)
    )


_IMAGES = frozenset({"backingStore", "mirror", "dataStore"})
"""Elements below a disk that are images of their own, each with a source: the image that the disk is based on, the one
it is being copied to, and the file in which qcow2 keeps the data of either."""


def _other_images(disk: Element) -> Iterator[Element]:
    """Give the other images of a disk, at any depth. There are none where libvirt does not know them."""
    for image in disk.iter():
        if image.tag in _IMAGES:
            if image.find("source") is None and image.get("file"):
                # libvirt before 1.2.6 writes a mirror so.
                image = storage.file_image(image.get("file", ""))
            yield image


def _of_backup(xml: str, mounts: storage.Mounts) -> tuple[str, ...]:
    """Give the storage domains that a backup writes to: its target, or the file for what guests overwrite meanwhile."""
    if not xml:
        return ()
    found = []
    try:
        # The whole text is libvirt's own, so it is not hostile.
        disks = fromstring(_encoded(xml), XMLParser(encoding="utf-8")).iter("disk")
    except ParseError:
        return ()
    for disk in disks:
        for image in (*disk.iter("scratch"), *disk.iter("target")):
            path = image.get("file") or image.get("dev") or ""
            found.append(storage.infer(storage.file_image(path) if path else image, "", mounts))
    return tuple(filter(None, found))


def _firmware(elements: list[Element], mounts: storage.Mounts) -> tuple[str, ...]:
    """Give the storage domains of flash images: the firmware, unless it is a ROM, and the file of its variables.

    Images on the file system of libvirt itself are left out. Without that storage libvirtd could do nothing either, and
    all domains would seem to depend on each other.
    """
    found = []
    for element in elements:
        if element.tag == "loader" and element.get("type") != "pflash":
            continue
        path = (element.text or "").strip()
        where = storage.infer(storage.file_image(path) if path else element, "", mounts)
        if where and where not in (mounts.of("/"), mounts.of(LIBVIRT)):
            found.append(where)
    return tuple(dict.fromkeys(found))


def _nics(elements: list[Element]) -> Iterator[Nic]:
    """Give the interfaces that have both a target and an address. Those without an address have a number too."""
    number = 0
    for element in elements:
        target, mac = _attribute(element, "target", "dev"), _attribute(element, "mac", "address")
        number += bool(target)
        if target and mac:
            kind = element.get("type")
            yield Nic(target, mac, kind in _TAPS, number, outside=kind == _OUTSIDE)


def _is_open_agent(channel: Element) -> bool:
    """Tell whether a channel is the agent's and the guest may have opened it. libvirt before 1.2.11 does not say."""
    target = channel.find("target")
    return target is not None and target.get("name") == _AGENT_CHANNEL and target.get("state") != "disconnected"


def _attribute(element: Element, child: str, name: str) -> str:
    """Return an attribute of a child element, empty where there is none."""
    found = element.find(child)
    return "" if found is None else found.get(name, "")
