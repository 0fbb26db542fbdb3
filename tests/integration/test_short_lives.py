"""Guests that are destroyed while they are asked: what libvirt says of them then is no news to anybody."""

from __future__ import annotations

import re

from tests.integration.support import collectd, of_host, wait_for_reads
from tests.lab import Guest, wait_for

OF_DOMAINS = re.compile(r"virt2: (domain|[0-9]+ domains) ")
LIVES = 16
"""Guests, one after another; in pairs, because two at a time start fastest."""


def test_guests_that_end_while_they_are_asked_are_worth_no_line(lab, tmp_path):
    with collectd(lab, tmp_path / "collectd", interval=0.3) as daemon:
        wait_for_reads(daemon, 1)
        for number in range(0, LIVES, 2):
            guests = lab.guests([Guest(f"short-{number + one}", disks=1, nics=2) for one in range(2)])
            for guest in guests:
                wait_for(lambda: of_host(daemon.series(), guest.name), 15, "it is reported")  # noqa: B023
                guest.stop()
        wait_for_reads(daemon, 3)
        # A reader may be short of time here, because its interval is, and says so.
        assert [line for line in daemon.log.splitlines() if OF_DOMAINS.search(line)] == []
