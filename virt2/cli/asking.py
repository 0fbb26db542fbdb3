"""Asks libvirt which domains there are: only calls of class A, each once, on a thread that may be lost to them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from virt2 import errors
from virt2.config.settings import Settings
from virt2.description import domainxml
from virt2.description.filters import Filters
from virt2.description.labels import Labels
from virt2.description.metadata import Pick
from virt2.description.storage import Mounts
from virt2.model.domain import Domain
from virt2.model.known_bad import parse_version
from virt2.sources import daemon, procfs
from virt2.text import xpath

XML_TAKES_A_JOB = ((11, 0, 0), (11, 5, 0))
"""The versions of libvirtd from the first to before the second wait for the monitor when they are asked for XML."""
_MAY_ASK = ("ssh", "libssh", "libssh2", "ext")
"""Transports that start another program, which may ask the operator something."""


class Domains(NamedTuple):
    """By what domains are known."""

    names: frozenset[str]
    uuids: frozenset[str]


class Names(NamedTuple):
    """What the entries of the filters are compared with."""

    domains: Domains
    """The active domains."""
    disks: frozenset[str]
    """``DOMAIN:DISK`` of every disk of those that are reported."""
    nics: frozenset[str]
    """``DOMAIN:INTERFACE`` of every interface of those."""
    are_complete: bool
    """Whether all of these could be described. Where they could not, some disks, interfaces and tags are missing."""


class _Seen(Filters):
    """Filters that remember what they were asked about."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings.domains, settings.block_devices, settings.interface_devices, settings.ignore_selected)
        self.disks: set[str] = set()
        self.nics: set[str] = set()

    def disk(self, domain: str, device: str) -> bool:
        self.disks.add(f"{domain}:{device}")
        return super().disk(domain, device)

    def nic(self, domain: str, device: str) -> bool:
        self.nics.add(f"{domain}:{device}")
        return super().nic(domain, device)


class Told:
    """What libvirt has told so far. One thread fills it, and whoever waits for that may read it at any time."""

    def __init__(self) -> None:
        self.doing = "loading the Python binding of libvirt"
        """What is under way, in words that follow "libvirt did not answer while"."""
        self.daemon = ""
        """The version at the other end; empty while it is not known."""
        self.client = ""
        """The version of the client library; empty while it is not known."""
        self.inactive = Domains(frozenset(), frozenset())
        """The domains that are defined and do not run, as far as they are known."""
        self.names: Names | None = None
        """None while they are not known."""
        self.domains: tuple[Domain, ...] | None = None
        """The active domains that the configuration reports, described as far as possible; None while unknown."""
        self.undescribed = ""
        """Why the XML of some domains was not asked for, in words; empty where it was."""

    def __repr__(self) -> str:
        return f"<Told {self.doing or 'all'}>"


def not_asked(uri: str) -> str:
    """Say why a connection is not made; empty where it may be."""
    transport = uri.partition(":")[0].partition("+")[2]
    if transport in _MAY_ASK:
        return f"{uri} is reached through another program, which may ask for a password"
    return ""


def ask(settings: Settings, told: Told, until: float, connect: Callable[[str], Any] | None = None) -> None:
    """Ask libvirt, and write down what it tells. Blocks while libvirt does not answer.

    Arguments:
        until: the moment on the monotonic clock from which no more domains are described. Very many take their time,
            even if nothing hangs.
        connect: gives a connection for a URI (see `virt2.sources.hypervisor`); None for the real libvirt.

    Raises:
        ImportError: there is no Python binding of libvirt.
        virt2.errors.Disconnected: libvirt cannot be reached.
        virt2.errors.Error: it answered with an error.
    """
    if connect is None:
        from virt2.sources import hypervisor

        told.client = hypervisor.client_version()
        connect = _connect
    told.doing = "it was being connected to"
    connection = connect(settings.connection)
    told.doing = "it was asked for its version"
    told.daemon = connection.version()
    told.doing = "it was asked for its domains. The lock of a domain may be held, as while it is saved or started"
    listed = connection.active()
    idle = connection.inactive()
    told.inactive = Domains(frozenset(one.name for one in idle), frozenset(one.uuid for one in idle))
    told.doing = "it was asked for the XML of a domain"
    filters, complete, found = _Seen(settings), True, []
    describe = _Describing(settings, filters, connection, parse_version(told.daemon))
    for one in listed:
        domain = Domain(one.uuid, one.name, one.id)
        if not filters.domain(one.name, one.uuid):
            continue
        try:
            if time.monotonic() < until:
                domain = describe(domain)
            else:
                describe.reason = f"there was no time left to describe all of {len(listed)} domains"
        except errors.DomainGone:
            continue
        except errors.Error:
            complete = False
        found.append(domain)
        complete = complete and domain.description.complete
    told.domains, told.undescribed = tuple(found), describe.reason
    active = Domains(frozenset(one.name for one in listed), frozenset(one.uuid for one in listed))
    complete = complete and not describe.reason
    told.names = Names(active, frozenset(filters.disks), frozenset(filters.nics), complete)
    told.doing = ""
    connection.close()


def _connect(uri: str) -> Any:
    from virt2.sources.hypervisor import Hypervisor

    return Hypervisor(uri).connect()


class _Describing:
    """Describes domains as the plugin does, from libvirt's own files where they can be read.

    Arguments:
        version: the version at the other end.
    """

    def __init__(
        self, settings: Settings, filters: Filters, connection: Any, version: tuple[int, int, int] | None
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._labels = Labels(
            filters,
            settings.block_device_format,
            settings.block_device_format_basename,
            settings.interface_format,
            settings.report_block_devices,
            settings.report_network_interfaces,
        )
        self._mounts = Mounts.load(procfs.read_mounts)
        self._run_dir = daemon.place(daemon.resolve(settings.connection)).qemu_run_dir
        self._pick = None
        if "metadata" in settings.hostname_format + settings.plugin_instance_format:
            self._pick = Pick(settings.hostname_metadata_ns, xpath.Path(settings.hostname_metadata_xpath))
        first, fixed = XML_TAKES_A_JOB
        self._may_wait = version is None or first <= version < fixed
        self.reason = ""
        """Why libvirt was not asked for the XML of some domain; empty where it was."""

    def __repr__(self) -> str:
        return f"<_Describing {self._run_dir or 'by libvirt'}>"

    def __call__(self, domain: Domain) -> Domain:
        """Describe a domain.

        Raises:
            virt2.errors.Error: libvirt does not tell.
        """
        xml = procfs.status_xml(domain.name, self._run_dir) if self._run_dir else ""
        if not xml and self._may_wait:
            self.reason = (
                "this version of libvirtd waits for a domain's monitor when it is asked for XML, and its own files"
                " cannot be read"
            )
            return domain
        xml = xml or self._connection.xml(domain.uuid)
        description = domainxml.describe(
            xml,
            namespace=self._settings.tag_namespace,
            element=self._settings.tag_element,
            mounts=self._mounts,
            metadata=lambda namespace: str(self._connection.metadata(domain.uuid, namespace)),
            pick=self._pick,
        )
        return domain._replace(description=self._labels.apply(domain.name, description))
