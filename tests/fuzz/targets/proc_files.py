"""Files of the kernel and of libvirt's run folder: those of processes, control groups, devices, mounts and domains."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Sequence
from random import Random

from hypothesis import strategies as st

from tests.fuzz import mutation
from tests.fuzz.mutation import Mutator, below
from tests.fuzz.target import Plain, Target, require
from tests.fuzz.targets.operator_texts import _memory_folder
from virt2.description.storage import Mounts
from virt2.model.replies import NicStats
from virt2.sources import cgroups, procfs
from virt2.sources.daemon import Daemon, Place, identify
from virt2.sources.netdev import HostInterfaces

PID = 4242
UUID = "ff209345-3dd4-44ac-9385-12ee3524f301"
NAME = "web-1"

STAT = (
    b"4242 (qemu-system-x86) S 1 185 185 0 -1 138412416 5366 0 0 0 27 8 0 0 20 0 4 0 900 1162706944 10917"
    b" 18446744073709551615 1 1 0 0 0 0 268444224 4096 16963 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
COMMAND = (
    b"/usr/bin/qemu-system-x86_64\0-name\0guest=web-1,debug-threads=on\0-S\0-object\0"
    b'{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/libvirt/qemu/master-key.aes"}\0'
    b"-machine\0pc-i440fx-7.2,usb=off\0-m\016\0-uuid\0" + UUID.encode() + b"\0-display\0none\0"
)
STATUS = (
    b"<!--\nWARNING\n-->\n<domstatus state='running' reason='booted' pid='4242'>\n  <monitor path='/m' type='unix'/>\n"
    b"  <domain type='qemu' id='1'>\n    <name>web-1</name>\n    <devices/>\n  </domain>\n</domstatus>\n"
)
NET = b"""\
Inter-|   Receive                                              |  Transmit
 face |bytes  packets errs drop fifo frame compressed multicast|bytes  packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0       0
 vnet0:12345678901    22    3    4    5     6          7         8     9000      10   11   12   13    14      15      16
"""
MOUNTS = (
    b"21 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n22 21 0:9 / /srv/nfs rw - nfs4 filer:/vm rw,vers=4.2\n"
    b"23 21 0:10 / /mnt/a\\040b rw master:1 - fuse.glusterfs g:/v rw\n24 21 0:5 / /proc rw - proc proc rw\n"
    b"25 21 0:11 / GROUPS rw - cgroup2 cgroup2 rw\n"
)
"""The folder of the control groups is put in."""
SAMPLES = {
    "pid": (b"4242", b"4242\n", b"1", b""),
    "stat": (STAT, STAT.replace(b") S ", b") D "), STAT.replace(b"qemu-system-x86", b"a)\n T 1 ("), b"1 (libvirtd) R"),
    "cmdline": (COMMAND, COMMAND.replace(b"guest=web-1", b"web-1,,b"), b"/sbin/init\0", b"-name\0-uuid\0", b""),
    "status": (STATUS, STATUS.replace(b"web-1", b"\xff&lt;"), b"<domain/>", b"</domain><domain >"),
    "net": (NET, NET + b"tap1: 1 2 3 4\n", b"a\nb\n"),
    "mounts": (MOUNTS, MOUNTS * 3, b""),
    "cgroup": (b"0::/machine/qemu-1/emulator\n", b"4:cpu,cpuacct:/machine/qemu-1/emulator\n0::/other\n", b"0::/\n"),
    "cpu": (
        b"usage_usec 700\nuser_usec 300\nsystem_usec 400\nnr_periods 0\n",
        b"user 30\nsystem 40\n",
        b"user_usec -1\nsystem_usec 1 2\n\n",
    ),
}
KINDS = tuple(SAMPLES)
TOKENS = (
    b"4242", b"(", b")", b") D ", b") T ", b" ", b"\0", b"\n", b"-name", b"-name\0", b"\0-uuid\0", b"guest=", b",,",
    b",", UUID.encode(), UUID.upper().encode(), b"web-1", b"qemu-system-x86", b"<domain>", b"<domain ", b"</domain>",
    b":", b" vnet0:", b" - ", b" - nfs ", b"\\040", b"\\777", b"\\377", b"/../", b"99999999999999999999", b"-5",
    b"+7", b"1_0", "\u0661".encode(), b"\xff", b"\xed\xa0\x80", b"0::", b"cpuacct", b"/emulator", b" - cgroup2 ",
    b"GROUPS", b"user_usec", b"inf", b"1e5", b"0x5",
)  # fmt: skip
NAMES = (NAME, "a&b<>'\"", "..", "a/b", "\0", "x" * 300, "\udcff", "driver", "new\nline", "\ud800", "")


class ProcFiles(Target):
    """An input is what kind of file it is, its content, and the name of the domain that is looked for.

    All other files are those of a host where all is well.
    """

    name = "proc_files"
    share = 12
    what = (
        "pid files, stat files, command lines, status files, control groups, `net/dev`, mount tables, names of domains"
    )

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="virt2-fuzz-", dir=_memory_folder())
        root = self._folder.name
        self._run, self._proc = f"{root}/run", f"{root}/proc"
        process = f"{self._proc}/{PID}"
        group = f"{root}/cgroup/machine/qemu-1"
        for folder in (self._run, f"{process}/task/{PID}", f"{self._proc}/net", f"{self._proc}/1", group):
            os.makedirs(folder)
        for who in ("self", str(PID)):
            os.makedirs(f"{self._proc}/{who}/ns", exist_ok=True)
            os.symlink("net:[1]", f"{self._proc}/{who}/ns/net")
        os.symlink(f"{process}/stat", f"{process}/task/{PID}/stat")
        self._paths = {
            "pid": f"{self._run}/{NAME}.pid",
            "stat": f"{process}/stat",
            "cmdline": f"{process}/cmdline",
            "status": f"{self._run}/{NAME}.xml",
            "net": f"{self._proc}/net/dev",
            "mounts": f"{self._proc}/self/mountinfo",
            "cgroup": f"{process}/cgroup",
            "cpu": f"{group}/cpu.stat",
        }
        self._checks: dict[str, Callable[[str], None]] = {
            "pid": self._look_at_processes,
            "stat": self._look_at_processes,
            "cmdline": self._look_at_processes,
            "status": self._read_status,
            "net": self._read_counters,
            "mounts": self._read_mounts,
            "cgroup": self._look_at_processes,
            "cpu": self._look_at_processes,
        }
        self._groups = f"{root}/cgroup".encode()
        self._good = {kind: samples[0] for kind, samples in SAMPLES.items()}
        for kind, content in self._good.items():
            self._write(kind, content)
        self._place = Place(("libvirtd", NAME), self._run, self._run, self._run, "")
        self._interfaces = HostInterfaces(lambda: Daemon("libvirtd", PID, 900), self._proc)

    def close(self) -> None:
        self._folder.cleanup()

    def corpus(self) -> Sequence[Plain]:
        return [(kind, content, name) for kind in KINDS for content in SAMPLES[kind] for name in NAMES[:2]]

    def mutator(self) -> Mutator:
        return Mutator(mutation.texts(NAMES), bytes_=mutation.data(TOKENS), strange=0.0)

    def fresh(self) -> st.SearchStrategy[Plain]:
        content = st.lists(st.sampled_from(TOKENS) | st.binary(max_size=8), max_size=12).map(b"".join)
        return st.tuples(st.sampled_from(KINDS), content, st.sampled_from(NAMES) | st.text(max_size=10))

    def make(self, random: Random, base: Plain, other: Plain, mutator: Mutator) -> Plain:
        kind, content, name = base
        chance = random.random()
        if chance < 0.04:
            return kind, content, mutator.strings.change(random, name, other[2], mutator.styles)
        if chance < 0.06:
            return kind, content, NAMES[below(random, len(NAMES))]
        if chance < 0.25:
            return kind, _with_field(random, content), name
        return kind, mutator.bytes.change(random, content, other[1], mutator.styles), name

    def inflate(self, random: Random, base: Plain, size: int, mutator: Mutator) -> Plain:
        kind, content, name = base
        return kind, mutator.inflate(random, content, size), name

    def run(self, data: Plain) -> None:
        kind, content, name = data
        self._write(kind, content)
        try:
            self._checks[kind](name)
        finally:
            self._write(kind, self._good[kind])

    def _write(self, kind: str, content: bytes) -> None:
        with open(self._paths[kind], "wb", buffering=0) as file:
            file.write(content.replace(b"GROUPS", self._groups))

    def _look_at_processes(self, name: str) -> None:
        now = [0.0]
        processes = procfs.Processes(self._run, self._proc, lambda seconds: None, lambda: now[0], room=1)
        for wanted in (NAME, name):
            for _ in range(2):
                require(processes.stopped(UUID, wanted) in ("", "T", "D"), "the state of a process is none")
                pid = processes.pid(UUID, wanted)
                require(pid is None or (isinstance(pid, int) and pid > 0), "the number of a process is none")
                for used in (processes.account(UUID), processes.cpu_times(UUID)):
                    require(used is None or all(type(number) is int for number in used), "no number is what was used")
                processes.has_ended(UUID, wanted)
                now[0] += procfs.RETRY
            processes.keep(())
        require(isinstance(processes.problem(), str), "a problem is no text")
        for guest in procfs.guests(self._run, self._proc):
            require(isinstance(guest.name, str) and isinstance(guest.uuid, str), "a guest has no name")
            # What was found is looked for by its name.
            processes.stopped(guest.uuid, guest.name)
        procfs.read_stat(PID, self._proc)
        identify(self._place, self._proc)

    def _read_status(self, name: str) -> None:
        for wanted in (NAME, name):
            files = procfs.StatusFiles(self._run)
            files.stamp(wanted)
            xml = files.xml(wanted)
            require(xml == "" or re.match(r"<domain[\s>]", xml), "a domain's XML does not begin with a domain")

    def _read_counters(self, name: str) -> None:
        for device, counters in self._interfaces.read().items():
            require(isinstance(device, str) and isinstance(counters, NicStats), "counters are malformed")
            require(all(type(number) is int for number in counters), "a counter is no whole number")

    def _read_mounts(self, name: str) -> None:
        mounts = Mounts.load(lambda: procfs.read_mounts(self._paths["mounts"]))
        for path in ("/", "/srv/nfs/a", "/mnt/a b/c", name):
            require(isinstance(mounts.of(path), str), "a path is on no mount")
        cgroups.group_of(PID, self._proc)


def _with_field(random: Random, content: bytes) -> bytes:
    """Change one of the fields that are between blanks."""
    fields = content.split(b" ")
    at = below(random, len(fields))
    token = TOKENS[below(random, len(TOKENS))]
    chance = random.random()
    if chance < 0.3:
        del fields[at]
    elif chance < 0.8:
        fields[at] = token
    else:
        fields.insert(at, token)
    return b" ".join(fields)
