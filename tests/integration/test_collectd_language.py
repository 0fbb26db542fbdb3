"""collectd's configuration is read as collectd reads it: the real one, with -T, is given the same files.

It is started once for each example, reads its configuration and ends. It has no other plugin, and listens to nothing.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lab.records import MODULES
from virt2.cli import conffile
from virt2.cli.effective import effective
from virt2.cli.findings import status_of

SOON = 30.0
"""Seconds within which collectd ends. It takes a twentieth of one."""
EXAMPLES = 150

HEAD = """\
BaseDir "{folder}"
PIDFile "{folder}/pid"
LoadPlugin python
<Plugin python>
  ModulePath "{modules}"
  Import "virt2_as_read"
</Plugin>
"""
OURS = """\
LoadPlugin python
<Plugin python>
  Import "virt2"
</Plugin>
"""
"""The same for the reader here, which only looks whether virt2 is imported."""


class Host:
    """A folder with a configuration, and the two who read it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.replace("FOLDER", str(self.folder)).encode())

    def real(self, include):
        """What collectd hands over; None where it does not start."""
        head = HEAD.format(folder=self.folder, modules=MODULES)
        self.write("real.conf", f"{head}{include}\n")
        as_read = self.folder / "as_read.json"
        as_read.unlink(missing_ok=True)
        done = subprocess.run(
            ["collectd", "-T", "-C", str(self.folder / "real.conf")],
            env={**os.environ, "AS_READ": str(as_read)},
            capture_output=True,
            timeout=SOON,
        )
        if b"Parsing the config file failed" in done.stderr:
            return None
        assert done.returncode == 0, done.stderr
        return json.loads(as_read.read_bytes()) if as_read.exists() else []

    def ours(self, include):
        """What the command reads; None where it says that something cannot be read."""
        self.write("ours.conf", f"{OURS}{include}\n")
        found = conffile.read([str(self.folder / "ours.conf")])
        if status_of(found.findings) == 2:
            return None
        modules = effective(found.nodes).modules
        return json.loads(json.dumps([_plain(module) for module in modules]))

    def compare(self, include):
        """Have both read, and give what both made of it."""
        real = self.real(include.replace("FOLDER", str(self.folder)))
        ours = self.ours(include.replace("FOLDER", str(self.folder)))
        assert ours == real
        return real


def _plain(node):
    values = [{"bytes": list(value)} if isinstance(value, bytes) else value for value in node.values]
    return [node.key, values, [_plain(child) for child in node.children]]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def module(text):
    return b"<Plugin python>\n<Module virt2>\n" + text + b"</Module>\n</Plugin>\n"


WORDS = (
    b"a", b"Foo", b"true", b"on", b"off", b"no", b"True", b"1", b"0x1F", b"0x", b"007", b"1.5", b".5", b"5.", b"1e5",
    b"1.0e+3", b"1.0e3", b"-", b"+3", b"-4.2", b"1.2.3.4", b"1.2.3.256", b"10.0.0.1:80", b"::1", b"fe80::1",
    b"[::1]:99999", b"1:2:3:4:5:6:7:8", b"::ffff:1.2.3.4", b"a:b", b'"', b'"x"', b'"x y"', b'"a\\"b"', b'"a\\\\"',
    b'"a\\\nb"', b'"a\\\n  b"', b'"a\\\r\n b"', b'"l1\nl2"', b"\\\n", b"\\\r\n", b"\\", b"#c", b'# "q', b";", b"=",
    b"@", "ü".encode(), '"ü"'.encode(), b'"\xff"', b"/", b"<", b">", b"\b", b"\r", b"_", b"a_b", b"12ab", b"web-1",
    b"a.b", b"<B>\nK 1\n</B>", b"<B 1>\n</B>", b"<B>\n</B>",
)  # fmt: skip
"""What is likely to be read wrongly, alone or beside another."""
LINES = st.tuples(
    st.sampled_from([b"Key ", b"Key\t", b"", b"<C "]),
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    st.sampled_from([b" ", b"", b"  "]),
    st.sampled_from([b"\n", b"\n", b"\r\n", b">\n</C>\n"]),
).map(lambda parts: parts[0] + parts[2].join(parts[1]) + parts[3])


@pytest.mark.timeout(400, method="thread")
def test_any_text_means_what_it_means_to_collectd(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("language"))
    read = []

    @settings(max_examples=EXAMPLES)
    @given(st.lists(LINES, min_size=1, max_size=4).map(b"".join))
    def compare(text):
        host.write("x.conf", module(text))
        if _runs_to_the_end(host):
            # collectd reads rubbish then, and here it is said that a quote is missing.
            return
        read.append(host.compare('Include "FOLDER/x.conf"'))

    compare()
    # Neither all nor none of it was broken.
    assert EXAMPLES // 10 < sum(one is not None for one in read) < EXAMPLES * 9 // 10


def _runs_to_the_end(host):
    found = conffile.read([str(host.folder / "x.conf")])
    return any("does not end in this file" in finding.what for finding in found.findings)


def test_a_text_without_an_end_is_refused_at_its_beginning(host):
    host.write("x.conf", module(b'A 1\nB "x \\\n y\n'))
    (finding,) = conffile.read([str(host.folder / "x.conf")]).findings
    assert finding.at.number == 4
    assert host.real(f'Include "{host.folder}/x.conf"') is None


FILES = {name: module(f"K{name[0]} 1\n".encode()) for name in ("a.conf", "b.conf", "c.txt", "Z.conf", ".hidden")}


@pytest.mark.parametrize(
    ("include", "read"),
    [
        ('Include "FOLDER/d"', ["KZ", "Ka", "Kb", "Kc", "Ks"]),
        ('include "FOLDER/d/*.conf"', ["KZ", "Ka", "Kb"]),
        ('Include "FOLDER/d/[ab].conf FOLDER/d/c.txt"', ["Ka", "Kb", "Kc"]),
        ('Include "FOLDER/d/b.conf"\nInclude "FOLDER/d/a.conf"', ["Kb", "Ka"]),
        ('<Include "FOLDER/d">\nFilter "*.conf"\n</Include>', ["KZ", "Ka", "Kb", "Ks"]),
        ('<Include "FOLDER/d">\nFilter "[!a]*"\n</Include>', ["KZ", "Kb", "Kc", "Ks"]),
        ('<Include "FOLDER/d/*.conf">\nFilter "a*"\n</Include>', None),
        ('Include "FOLDER/none.conf"', []),
        ('Include "FOLDER/d/*.none"', []),
        ('Include "FOLDER/(d"', None),
        ('Include "$(echo FOLDER/d)"', None),
        ('Include "~none/d"', []),
        ("Include 12", []),
        ('Include "FOLDER/d" "x"', []),
        ('Include "FOLDER/x/0.conf"', None),
        ('Include "FOLDER/x/1.conf"', ["Last"]),
        ('Include "FOLDER/itself.conf"', None),
        ('Include "FOLDER/broken.conf"', None),
        ('Include "FOLDER/names"', ["Ka", "Ka"]),  # a$b.conf is expanded, to a.conf
    ],
)
def test_include_brings_in_what_it_brings_in_at_collectd(host, include, read):
    for name, text in FILES.items():
        host.write(f"d/{name}", text)
    host.write("d/sub/s.conf", module(b"Ks 1\n"))
    for number in range(7):
        host.write(f"x/{number}.conf", f'Include "FOLDER/x/{number + 1}.conf"\n')
    host.write("x/7.conf", module(b"Last 1\n"))
    host.write("itself.conf", 'Include "FOLDER/itself.conf"\n')
    host.write("broken.conf", "A /\n")
    for name in ("my own.conf", "a$b.conf", "a.conf"):
        host.write(f"names/{name}", module(b"Ka 1\n"))
    found = host.compare(include)
    assert found == (None if read is None else [["Module", ["virt2"], [[key, [1.0], []]]] for key in read])


def test_collectd_leaves_out_a_broken_file_of_a_folder_and_goes_on_in_its_rest(host):
    """Why it is said that the file behind a broken one may be read wrongly."""
    host.write("d/a.conf", "A /\n<Plugin python>\n")
    host.write("d/b.conf", module(b"Kb 1\n"))
    host.write("d/c.conf", module(b"Kc 1\n"))
    # b.conf is in order, and yet it is lost.
    assert [block[2][0][0] for block in host.real(f'Include "{host.folder}/d"')] == ["Kc"]
    (finding,) = conffile.read([str(host.folder / "d")]).findings
    assert "reads what is behind this line as a part of the next file" in finding.what


@pytest.mark.parametrize(
    "text",
    [
        "LoadPlugin virt2\n",
        "LoadPlugin 12\n",
        "ReadThreads 1 2\n",
        "<Plugin>\nA 1\n</Plugin>\n",
        '<Plugin python>\nInclude "x"\n</Plugin>\n',
        "<Plugin python>\nModulePath 12\n</Plugin>\n",
        "<Plugin python>\nEncoding utf8\n</Plugin>\n",
        "Intervall 5\n",
        "<Module virt2>\nA 1\n</Module>\n",
        "<Plugin virt2>\nA 1\n</Plugin>\n",
        "<Plugin python>\n<Module virt>\nA 1\n</Module>\n</Plugin>\n",
        "<LoadPlugin python>\nIntervall 5\n</LoadPlugin>\n",
    ],
)
def test_collectd_does_not_start_where_that_is_said(host, text):
    host.write("x.conf", text)
    starts = host.real(f'Include "{host.folder}/x.conf"') is not None
    host.write("ours.conf", OURS + text)
    found = conffile.read([str(host.folder / "ours.conf")])
    told = " ".join(finding.what for finding in effective(found.nodes).findings)
    # That there is no such plugin is said by a rule that knows the plugins.
    assert ("collectd does not start with this" in told or text == "LoadPlugin virt2\n") is not starts
    assert told or text == "LoadPlugin virt2\n"
