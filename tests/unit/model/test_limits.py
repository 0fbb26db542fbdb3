"""What follows from what a daemon says of its workers."""

from __future__ import annotations

from virt2.model.limits import Limits


def test_available_counts_workers_not_started_yet_as_free() -> None:
    assert Limits(5, 20, 5, 5, 5, 0, 5000, 12).available == 20
    assert Limits(5, 20, 7, 4, 5, 0, 5000, 12).available == 17
    assert Limits(5, 20, 20, 0, 5, 9, 5000, 12).available == 0


def test_available_is_negative_after_libvirtd_was_told_to_shrink_below_what_is_busy() -> None:
    assert Limits(1, 4, 8, 0, 5, 0, 5000, 12).available == -4
