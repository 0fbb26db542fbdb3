"""The cgroup tree of a lab that lives is never swept, and one that was swept too early is made again."""

import fcntl
import os

import pytest

from tests.lab import cgroups
from tests.lab.cgroups import Hierarchy

NOBODY = 1 << 30
"""No process has this pid."""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The tree of a lab whose processes cannot be seen from here."""
    monkeypatch.setattr(cgroups, "hierarchies", lambda: [Hierarchy(tmp_path, 1)])
    return tmp_path / f"{cgroups.PREFIX}{NOBODY}"


def test_a_tree_that_a_lab_has_is_not_swept(own):
    cgroups.claim(own)
    (own / "machine").mkdir()
    cgroups.sweep()
    assert (own / "machine").exists()


def test_a_tree_that_nobody_has_is_swept(own):
    (own / "machine/qemu").mkdir(parents=True)
    cgroups.sweep()
    assert not own.exists()


def test_a_tree_that_was_swept_before_its_lab_had_it_is_made_again(own, monkeypatch):
    flock, swept = fcntl.flock, []

    def late(folder, operation):
        if operation == fcntl.LOCK_SH and not swept:
            swept.append(own)
            cgroups.sweep()
        flock(folder, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    cgroups.claim(own)
    assert swept
    (own / "machine").mkdir()
    cgroups.sweep()
    assert (own / "machine").exists()


def test_no_lab_gets_a_tree_while_it_is_being_swept(own, monkeypatch):
    own.mkdir()
    rmdir, refused = os.rmdir, []

    def watched(folder):
        lab = os.open(own, os.O_RDONLY)
        try:
            fcntl.flock(lab, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            refused.append(folder)
        finally:
            os.close(lab)
        rmdir(folder)

    monkeypatch.setattr(os, "rmdir", watched)
    cgroups.sweep()
    assert refused == [str(own)]
    assert not own.exists()
