"""Guests that come and go all the time cost nothing that stays; `scripts/bench --soak` does it for longer."""

import pytest

from bench import soak


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_thousand_reads_while_guests_come_and_go_leave_memory_threads_and_descriptors_as_they_were(lab, tmp_path):
    folder = tmp_path / "collectd"
    folder.mkdir()
    samples = soak.run(lab, folder, 1000)
    assert soak.growth(samples) == []
