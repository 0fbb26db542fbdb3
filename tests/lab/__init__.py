"""A private lab: libvirtd, guests, storage that hangs and collectd, beside a live host and invisible to it.

The test process stays outside and drives the inside:

    with Lab(directory) as lab:                             # needs root and the Debian packages of scripts/setup
        guests = lab.guests([Guest("web", tag="a"), Guest("db", disks=1)])
        guests[0].freeze()                                  # SIGSTOP to its QEMU; thaw() brings it back
        lab.virsh("domstate", "web")                        # any command inside: lab.run(), lab.popen()
        lab.connect().listAllDomains()                      # an ordinary libvirt connection, from outside
        storage = lab.storage("nfs")                        # guests on it: Guest("x", storage=storage)
        storage.hang(); storage.heal()
        with Collectd(lab, directory, {"virt2.conf": "..."}) as collectd:
            wait_for(lambda: collectd.series(), 10)

Nothing in here is needed by, or imported from, the plugin itself.
"""

from .collectd_daemon import Collectd, python_module
from .guests import Guest, RunningGuest
from .machine import Lab
from .process import CommandFailed, Process
from .storage import HangingStorage
from .waiting import wait_for

__all__ = [
    "Collectd",
    "CommandFailed",
    "Guest",
    "HangingStorage",
    "Lab",
    "Process",
    "RunningGuest",
    "python_module",
    "wait_for",
]
