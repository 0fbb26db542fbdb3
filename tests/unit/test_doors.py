"""What is loaded once more for a stand-in of libvirt is all that imports it, and nobody else notices."""

from __future__ import annotations

import sys

import pytest

import virt2.sources
from tests.unit import doors, replies

RECORDING = replies.recordings()[0]


def test_all_doors_see_one_stand_in_and_each_other():
    loaded = RECORDING.doors
    assert len({id(module.libvirt) for module in loaded.values()}) == 1
    seen = 0
    for module in loaded.values():
        for name, value in vars(module).items():
            home = loaded.get(str(getattr(value, "__module__", "")).rpartition(".")[2])
            if home is not None and home is not module:
                assert vars(home)[name] is value
                seen += 1
    assert seen > 5


def test_the_errors_of_the_stand_in_are_translated():
    assert RECORDING.doors["hypervisor"].Translated is RECORDING.doors["translation"].Translated
    with pytest.raises(RECORDING.doors["translation"].errors.DomainGone, match="Domain not found"):
        RECORDING.connection(RECORDING.domains[0]).info("nobody")


def test_nobody_else_sees_what_was_loaded():
    before = {name: module for name, module in sys.modules.items() if name.startswith(("libvirt", "virt2"))}
    attributes = dict(vars(virt2.sources))
    doors.load(RECORDING.constants)
    assert {name: module for name, module in sys.modules.items() if name.startswith(("libvirt", "virt2"))} == before
    assert dict(vars(virt2.sources)) == attributes
