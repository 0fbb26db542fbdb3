"""What it means that the C plugin is loaded as well."""

from __future__ import annotations

from collections.abc import Iterator

from virt2.cli.effective import Effective
from virt2.cli.findings import ERROR, NOTE, Finding
from virt2.config.settings import Settings

C_PLUGIN = "virt"
"""The C plugin, and the plugin part of its identifiers."""


def side_by_side(collectd: Effective, settings: Settings) -> Iterator[Finding]:
    """Compare the identifiers of the two."""
    loading = collectd.loaded.get(C_PLUGIN)
    if loading is None or collectd.imported is None:
        return
    if settings.plugin_name == C_PLUGIN:
        yield Finding(
            ERROR,
            'the C plugin virt is loaded here, and virt2 has PluginName "virt": both write the same series, in which'
            " counters jump back and values are refused as too old",
            "Remove LoadPlugin virt, or give virt2 another PluginName.",
            loading.at,
        )
    else:
        yield Finding(
            NOTE,
            "the C plugin virt is loaded too. Its values stop for all domains where one is stuck, and then it keeps a"
            " read thread and a worker of libvirtd",
            "Remove LoadPlugin virt when you have compared the two.",
            loading.at,
        )
