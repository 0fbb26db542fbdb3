"""docs/troubleshooting.md."""

from tests.commands.pages.operations import SYSTEMD
from tests.commands.table import Elsewhere, How, Lab

PAGE = "docs/troubleshooting.md"
LINES: dict[str, How] = {
    "journalctl --unit collectd --grep 'virt2: '": SYSTEMD,
    "collectd -f -C /etc/collectd/collectd.conf": Elsewhere("tests/integration/test_commands_of_docs.py"),
    "virsh --readonly --connect qemu:///system list": Lab(r"web-1\s+running"),
    "/usr/bin/python3 -c 'import libvirt'": Lab(r"^\s*$"),
    "virsh dumpxml web-1": Lab("<name>web-1</name>"),
    "virsh metadata web-1 http://ovirt.org/ovirtmap/tag/1.0": Lab("<tag>"),
    "virsh list": Lab("web-2"),
    "virt-admin client-list libvirtd": Lab("unix"),
}
