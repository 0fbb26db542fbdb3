"""Reading a configuration from its files: Include in all its forms, and every file that cannot be read."""

from __future__ import annotations

import os

import pytest

from virt2.cli import conffile, libc
from virt2.cli.conffile import DEEPEST_INCLUDE, MOST_BYTES, MOST_DROPPED_TOLD, MOST_FILES, read
from virt2.cli.findings import ERROR, NOTE, WARNING, status_of
from virt2.config.reading import Line


@pytest.fixture
def write(tmp_path):
    """Writes files below a folder; gives the path of the last one."""

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.replace("FOLDER", str(tmp_path)).encode() if isinstance(text, str) else text)
        return str(path)

    return write


def keys(found):
    return [node.key for node in found.nodes]


def only(found, severity=ERROR, status=2):
    """The only finding, and that it leads to this exit status."""
    (finding,) = found.findings
    assert finding.severity == severity
    assert status_of(found.findings) == status
    assert finding.todo
    return finding


def test_files_are_read_in_the_order_given_as_one(write, tmp_path):
    first, second = write({"b.conf": "A 1\n"}), write({"a.conf": "B 2\n"})
    found = read([first, second])
    assert keys(found) == ["A", "B"]
    assert found.files == (first, second)
    assert found.findings == ()
    assert found.nodes[1].at == Line(second, 1)


def test_include_stands_for_what_it_brings_in(write, tmp_path):
    main = write({"x.conf": "B 2\nC 3\n", "main.conf": 'A 1\ninclude "FOLDER/x.conf"\nD 4\n'})
    found = read([main])
    assert keys(found) == ["A", "B", "C", "D"]
    assert found.files == (main, str(tmp_path / "x.conf"))
    assert found.nodes[2].at == Line(str(tmp_path / "x.conf"), 2)


def test_a_folder_is_read_with_its_folders_in_the_order_of_names(write, tmp_path):
    main = write(
        {
            "d/b.conf": "B 2\n",
            "d/a/z.txt": "A 1\n",
            "d/C.conf": "First 0\n",  # upper case sorts before lower case
            "d/.hidden": "Hidden 1\n",
            "main.conf": 'Include "FOLDER/d"\n',
        }
    )
    assert keys(read([main])) == ["First", "A", "B"]
    assert keys(read([str(tmp_path / "d")])) == ["First", "A", "B"]


def test_wildcards_variables_and_several_words_are_expanded(write, tmp_path, monkeypatch):
    monkeypatch.setenv("VIRT2_CONF", str(tmp_path))
    files = {"d/2.conf": "B 2\n", "d/1.conf": "A 1\n", "d/3.txt": "C 3\n"}
    for path, expected in (
        ('"FOLDER/d/*.conf"', ["A", "B"]),
        ('"$VIRT2_CONF/d/3.txt $VIRT2_CONF/d/1.conf"', ["A", "C"]),  # in the order of names, not as written
        ('"FOLDER/d/[23]*"', ["B", "C"]),
    ):
        found = read([write({**files, "main.conf": f"Include {path}\n"})])
        assert (keys(found), found.findings) == (expected, ())


def test_a_filter_chooses_files_of_a_folder(write):
    main = write(
        {
            "d/a.conf": "A 1\n",
            "d/README": "no configuration, this\n",
            "d/e/b.conf": "B 2\n",
            "main.conf": '<Include "FOLDER/d">\n  filter "*.conf"\n</Include>\n',
        }
    )
    found = read([main])
    assert (keys(found), found.findings) == (["A", "B"], ())


def test_a_filter_that_does_not_match_a_named_file_ends_all(write, tmp_path):
    files = {"d/a.conf": "A 1\n", "d/b.conf": "B 2\n"}
    main = write({**files, "main.conf": '<Include "FOLDER/d/*.conf">\n  Filter "a*"\n</Include>\n'})
    finding = only(read([main]))
    assert finding.at == Line(main, 1)
    assert f"the Filter 'a*' does not match {tmp_path}/d/b.conf" in finding.what
    assert "collectd does not start with this" in finding.what


def test_include_within_a_block_is_left_as_it_is(write):
    found = read([write({"x.conf": "B 2\n", "main.conf": '<A>\n  Include "FOLDER/x.conf"\n</A>\n'})])
    assert found.nodes[0].children[0].key == "Include"


def test_what_is_broken_is_said_with_its_line_and_what_collectd_does(write, tmp_path):
    finding = only(read([write({"main.conf": "A 1\n<B>\nC 2\n</D>\n"})]))
    assert finding.at == Line(str(tmp_path / "main.conf"), 4)
    assert finding.what == (
        "</D> stands where the block <B> of line 2 has to be closed; collectd does not start with this"
    )
    assert finding.todo == "Write </B>."


def test_a_broken_file_of_a_folder_is_left_out_and_the_others_are_read(write, tmp_path):
    found = read([write({"d/a.conf": "A 1\n", "d/b.conf": "B /\n", "d/c.conf": "C 3\n", "m": 'Include "FOLDER/d"\n'})])
    assert keys(found) == ["A", "C"]
    finding = only(found)
    assert finding.at == Line(str(tmp_path / "d/b.conf"), 1)
    assert f"collectd leaves out {tmp_path}/d/b.conf, and reads what is behind this line as a part of" in finding.what


def test_a_broken_file_takes_along_those_that_include_it(write, tmp_path):
    files = {"x.conf": "B /\n", "d/a.conf": 'A 1\nInclude "FOLDER/x.conf"\n', "d/b.conf": "B 2\n"}
    found = read([write({**files, "main.conf": 'Include "FOLDER/d"\nC 3\n'})])
    assert keys(found) == ["B", "C"]
    assert f"collectd leaves out {tmp_path}/d/a.conf" in only(found).what
    assert keys(read([write({**files, "main.conf": 'C 3\nInclude "FOLDER/x.conf"\n'})])) == []


def test_what_is_not_there_is_said(write, tmp_path):
    assert "No such file or directory" in only(read([str(tmp_path / "none.conf")])).what
    main = write({"main.conf": 'A 1\nInclude "FOLDER/none.conf"\n'})
    finding = only(read([main]), WARNING, 1)
    assert finding.at == Line(main, 2)
    assert "so collectd skips it" in finding.what
    main = write({"main.conf": 'A 1\nInclude "FOLDER/*.none"\n'})
    assert "matches no file" in only(read([main]), NOTE, 0).what


def test_what_may_not_be_read_is_said(write, tmp_path, monkeypatch):
    path = write({"main.conf": "A 1\n"})

    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refused)
    finding = only(read([path]))
    # collectd itself may be allowed to read it.
    assert finding.what == f"{path} cannot be read: Permission denied"
    assert "as root" in finding.todo


def test_a_fifo_is_not_opened(write, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    main = write({"main.conf": 'Include "FOLDER/fifo"\n'})
    assert "neither a file nor a folder" in only(read([main]), WARNING, 1).what


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ('"FOLDER/(x"', "one of | & ; < > ( ) { }"),
        ('"$(touch FOLDER/ran)"', "commands in it are not run"),
        ('"`touch FOLDER/ran`"', "commands in it are not run"),
        ('"\'FOLDER"', "a quote or a parenthesis is not closed"),
    ],
)
def test_a_path_that_cannot_be_expanded_is_said_and_runs_nothing(write, tmp_path, path, reason):
    finding = only(read([write({"main.conf": f"Include {path}\n"})]))
    assert reason in finding.what
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("include", ["Include 12", 'Include "a" "b"', "<Include>\nFilter x\n</Include>"])
def test_an_include_without_one_path_is_skipped(write, include):
    found = read([write({"main.conf": f"A 1\n{include}\nB 2\n"})])
    assert keys(found) == ["A", "B"]
    assert "Include needs one path" in only(found, WARNING, 1).what


def test_an_unknown_option_of_an_include_is_said(write):
    found = read([write({"d/a.conf": "A 1\n", "main.conf": '<Include "FOLDER/d">\nFilters "*.conf"\n</Include>\n'})])
    assert keys(found) == ["A"]
    assert "Filters is not usable in an Include block" in only(found, WARNING, 1).what


@pytest.mark.parametrize("name", ["my conf.conf", "$HOME.conf", "a;b.conf", "it's.conf"])
def test_a_file_whose_name_collectd_expands_is_not_read_by_it(write, name):
    found = read([write({f"d/{name}": "A 1\n", "d/b.conf": "B 2\n", "main.conf": 'Include "FOLDER/d"\n'})])
    assert keys(found) == ["B"]
    finding = only(found, status=1)
    assert f"d/{name}" in finding.what
    assert "because of its name" in finding.what


def test_a_folder_with_a_path_that_is_too_long_for_collectd_is_given_up(tmp_path):
    deep = tmp_path / "d"
    while len(str(deep)) < conffile.LONGEST_NAME - 10:
        deep = deep / ("x" * min(200, conffile.LONGEST_NAME - 4 - len(str(deep))))
    deep.mkdir(parents=True)
    for name in ("ab", "abcdefghijkl"):
        (deep / name).write_text("A 1\n")
    found = read([str(tmp_path / "d")])
    assert found.nodes == ()
    assert "has a file whose path has more than 1023 bytes" in only(found).what
    (deep / "abcdefghijkl").unlink()
    assert keys(read([str(tmp_path / "d")])) == ["A"]


def test_a_circle_ends(write, tmp_path):
    main = write({"main.conf": 'A 1\nInclude "FOLDER/main.conf"\n'})
    assert "includes itself; collectd does not start with this" in only(read([main])).what
    main = write({"d/a.conf": 'A 1\nInclude "FOLDER/d"\n', "main.conf": 'Include "FOLDER/d"\n'})
    found = read([main])
    assert keys(found) == ["A"]
    assert "includes itself" in only(found).what


def test_a_link_that_leads_back_ends(write, tmp_path):
    write({"d/a.conf": "A 1\n"})
    os.symlink(tmp_path / "d", tmp_path / "d" / "again")
    os.symlink(tmp_path / "d", tmp_path / "d" / "more")
    found = read([str(tmp_path / "d")])
    assert keys(found) == ["A"]
    assert len(found.findings) == 2


def test_files_include_each_other_seven_deep_and_no_deeper(write, tmp_path):
    def chain(depth):
        files = {f"{number}.conf": f'K{number} 1\nInclude "FOLDER/{number + 1}.conf"\n' for number in range(depth)}
        write({**files, f"{depth}.conf": "Last 1\n"})
        return read([str(tmp_path / "0.conf")])

    assert len(chain(DEEPEST_INCLUDE - 1).nodes) == DEEPEST_INCLUDE
    found = chain(DEEPEST_INCLUDE)
    assert found.nodes == ()
    assert "include each other more than 7 deep" in only(found).what


def test_a_huge_configuration_is_not_read_to_its_end(write):
    main = write({"big.conf": "#" * MOST_BYTES + "\n", "main.conf": 'Include "FOLDER/big.conf"\nInclude "FOLDER"\n'})
    assert f"the files have more than {MOST_BYTES >> 20} MiB" in only(read([main])).what


def test_very_many_files_are_not_read_to_their_end(write, tmp_path):
    write({f"d/{number}.conf": "" for number in range(MOST_FILES)})
    assert f"more than {MOST_FILES} files" in only(read([str(tmp_path / "d")])).what


def test_a_file_in_utf_16_is_no_configuration(write):
    finding = only(read([write({"main.conf": "A 1\nB 2\n".encode("utf-16")})]))
    assert "zero bytes" in finding.what
    assert "UTF-8" in finding.todo


def test_a_text_in_another_encoding_is_found(write, tmp_path):
    found = read([write({"main.conf": b'# \xff\nA "\xff"\n<B>\n  C "x" "\xfe"\n</B>\n'})])
    assert found.findings == ()
    assert [node.at.number for node in conffile.bytes_in(found.nodes)] == [2, 4]


def test_what_collectd_drops_is_said_for_the_first_lines_of_a_file(write, tmp_path):
    path = str(tmp_path / "main.conf")
    found = read([write({"main.conf": "\ufeffA 1\n" + "B a;b\n" * (MOST_DROPPED_TOLD + 3)})])
    assert [(finding.severity, finding.at.number) for finding in found.findings] == [
        (NOTE, 1),
        *[(WARNING, number) for number in range(2, MOST_DROPPED_TOLD + 2)],
    ]
    assert "byte order mark" in found.findings[0].what
    assert found.findings[1].what == "collectd drops ';', because it stands outside of quotes"
    assert "in more lines" in found.findings[-1].what
    assert all(finding.at.file == path for finding in found.findings)


def test_a_hostile_name_is_made_printable(write, tmp_path):
    found = read([write({"d/\x1b[31m .conf": "A 1\n", "main.conf": 'Include "FOLDER/d"\n'})])
    assert "\x1b" not in only(found, status=1).what


def test_the_names_of_files_are_matched_as_by_a_shell():
    assert libc.matches("*.conf", b"a.conf")
    assert not libc.matches("*.conf", b"a.conf~")
    assert libc.matches("[!a]\\*", b"b*")
    assert libc.expand('"a b" c') == [b"a b", b"c"]
