"""Versions that are known to be bad."""

from __future__ import annotations

import pytest

from virt2.metrics.selectors import NAMES
from virt2.model.known_bad import (
    BINDING,
    BULK_DISKS,
    CLIENT,
    DAEMON,
    TABLE,
    known_bad,
    parse_version,
    spelled,
)


def reasons(what, version, *uses):
    return [entry.source for entry in known_bad({what: version}, uses)]


def test_the_daemon_that_takes_a_job_for_xml_is_known():
    assert "NEWS 11.5.0" in reasons(DAEMON, (11, 0, 0))
    assert "NEWS 11.5.0" in reasons(DAEMON, (11, 4, 9))
    assert "NEWS 11.5.0" not in reasons(DAEMON, (11, 5, 0))
    assert "NEWS 11.5.0" not in reasons(DAEMON, (10, 10, 0))


def test_of_what_is_asked_for_only_that_is_told_which_is_on():
    assert "CVE-2020-12430" not in reasons(DAEMON, (5, 0, 0))
    assert "CVE-2020-12430" in reasons(DAEMON, (5, 0, 0), "iothread")
    assert reasons(DAEMON, (3, 0, 0), BULK_DISKS).count("LSN-2017-0001") == 1
    assert reasons(BINDING, (3, 7, 0), "disk_err") == ["libvirt-python 3.8.0, commit 7af7450"]
    assert reasons(BINDING, (3, 7, 0)) == []
    assert reasons(CLIENT, (9, 0, 0), "guest_info") == ["NEWS 10.4.0"]


def test_a_version_is_compared_with_what_it_is_of():
    assert reasons(CLIENT, (11, 1, 0)) == []
    assert reasons(DAEMON, (12, 0, 0), *NAMES, BULK_DISKS) == []
    assert list(known_bad({}, NAMES)) == []


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: f"{entry.what} {spelled(entry.fixed)} {entry.reason[:20]}")
def test_each_entry_is_a_sentence_with_a_source_and_something_that_there_is(entry):
    assert entry.what in (DAEMON, CLIENT, BINDING)
    assert entry.first < entry.fixed
    assert entry.reason[0].islower()
    assert not entry.reason.endswith(".")
    assert not entry.todo or (entry.todo[0].isupper() and entry.todo.endswith("."))
    assert entry.source
    assert entry.needs <= {*NAMES, BULK_DISKS}
    assert any(found is entry for found in known_bad({entry.what: entry.first}, entry.needs))
    assert not any(found is entry for found in known_bad({entry.what: entry.fixed}, entry.needs))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("9.0.0", (9, 0, 0)),
        ("11.3", (11, 3, 0)),
        ("9.0.0-4+deb12u2", (9, 0, 0)),
        ("1.2.3.4", (1, 2, 3)),
        ("", None),
        ("nine", None),
        ("9.x", None),
        ("\u0663.0.0", None),
        ("1" * 40, None),
    ],
)
def test_a_version_is_read(text, version):
    assert parse_version(text) == version
    assert version is None or parse_version(spelled(version)) == version
