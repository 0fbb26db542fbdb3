"""Makes virt2 give up a libvirtd that does not answer after 4 s, not 20: for tests, which cannot wait that long.

To be loaded after virt2, which takes these values when it is initialised.
"""

from virt2.sources import hypervisor

hypervisor.KEEPALIVE_INTERVAL = 1
