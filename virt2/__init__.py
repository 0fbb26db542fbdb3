"""virt2: a collectd plugin that watches libvirt domains and stays truthful when something below it is stuck.

Where to begin reading: `plugin` is what collectd calls, `assembly` builds everything and lists what runs, and
`readers.reader` is one polling cycle. Then `readers.sampling` is what is asked of a domain, `workers.pool` is who asks,
and `domains.inventory` is which domains there are. docs/architecture.md has the whole picture.

Inside collectd, whose interpreter has a built-in module of that name, importing this package registers the plugin.
"""

import sys

from virt2.version import VERSION as __version__

__all__ = ["__version__"]

if "collectd" in sys.builtin_module_names:
    import collectd

    from virt2 import plugin

    plugin.register(collectd)
