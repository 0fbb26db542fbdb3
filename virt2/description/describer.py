"""Describes domains as the settings want it: where the tag stands, what names domains, what devices are called."""

from __future__ import annotations

import functools
from collections.abc import Callable

from virt2.description import domainxml
from virt2.description.labels import Labels
from virt2.description.metadata import Pick
from virt2.description.storage import Mounts
from virt2.model.domain import Description


class Describer:
    """Turns the XML of domains into descriptions.

    Arguments:
        tag: namespace and name of the element that holds a domain's tag.
        pick: what is wanted from the metadata in addition to the tag.
        labels: what disks and interfaces are called, and which are reported.
        read_mounts: reads the host's table of mounts; raises OSError where it cannot.
    """

    def __init__(self, tag: tuple[str, str], pick: Pick | None, labels: Labels, read_mounts: Callable[[], str]) -> None:
        self._tag = tag
        self._pick = pick
        self._labels = labels
        self._read_mounts = read_mounts

    def __repr__(self) -> str:
        return f"<Describer tag={self._tag}>"

    def prepare(self) -> Callable[[str, str, Callable[[str], str], str], Description]:
        """Give what describes a domain (see `virt2.domains.entries.Describe`), with the mounts as they are now."""
        return functools.partial(self._describe, Mounts.load(self._read_mounts))

    def _describe(self, mounts: Mounts, name: str, xml: str, fetch: Callable[[str], str], backup: str) -> Description:
        namespace, element = self._tag
        description = domainxml.describe(
            xml,
            namespace=namespace,
            element=element,
            mounts=mounts,
            metadata=fetch,
            pick=self._pick,
            backup=backup,
        )
        return self._labels.apply(name, description)
