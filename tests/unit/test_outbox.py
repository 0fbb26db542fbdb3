"""What is between the workers of a reader and collectd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

from tests.unit.fakes import Info
from virt2.domain import Domain
from virt2.metrics import INFO, Metric, gauge
from virt2.naming import Identity, Names
from virt2.outbox import Batch, Outbox
from virt2.sampling import Sample
from virt2.stuck import Health

WEB, DB = Identity("web", ""), Identity("db", "")


class Sink:
    """Notes what is dispatched."""

    def __init__(self) -> None:
        self.taken: list[tuple[Identity, list[Metric], float, Mapping[str, str] | None]] = []

    def dispatch(
        self, identity: Identity, metrics: Iterable[Metric], when: float, meta: Mapping[str, str] | None = None
    ) -> None:
        self.taken.append((identity, list(metrics), when, meta))


def test_a_batch_goes_out_in_one_go_in_its_order_and_once():
    sink = Sink()
    batch = Batch(sink)
    batch.dispatch(WEB, [gauge("x", 1.0)], 1.0)
    batch.dispatch(DB, (gauge(name, 2.0) for name in "yz"), 2.0, {"virt2_tag": "blue"})
    assert sink.taken == []
    batch.flush()
    batch.flush()
    assert sink.taken == [
        (WEB, [gauge("x", 1.0)], 1.0, None),
        (DB, [gauge("y", 2.0), gauge("z", 2.0)], 2.0, {"virt2_tag": "blue"}),
    ]
    batch.dispatch(WEB, [gauge("x", 3.0)], 3.0)
    batch.flush()
    assert sink.taken[2:] == [(WEB, [gauge("x", 3.0)], 3.0, None)]


def test_what_one_value_raises_costs_no_other_and_is_raised_at_the_end():
    class Picky(Sink):
        def dispatch(self, identity, metrics, when, meta=None) -> None:
            if identity == WEB:
                raise ZeroDivisionError(when)
            super().dispatch(identity, metrics, when, meta)

    sink = Picky()
    batch = Batch(sink)
    for number, identity in enumerate((WEB, DB, WEB, DB)):
        batch.dispatch(identity, [gauge("x", 1.0)], float(number))
    with pytest.raises(ZeroDivisionError, match="0"):
        batch.flush()
    assert [when for _, _, when, _ in sink.taken] == [1.0, 3.0]
    batch.flush()
    assert len(sink.taken) == 2


def test_a_reply_that_cannot_be_dealt_with_costs_no_other_record_and_is_said_once(caplog):
    sink = Sink()
    outbox = Outbox(Names(("name",), (), "node1"), sink)
    domains = {"u": Domain("u", "web", 1)}
    healths = {"u": Health(0.0)}
    good = Info(1, 2, 3, 4, 5)
    for taken, reply in enumerate((None, good, None, good), 1):
        outbox.put(Sample("u", INFO, "", float(taken), float(taken), reply))
    outbox.take(domains, healths, 0.0)
    assert [when for _, _, when, _ in sink.taken] == [2.0, 4.0]
    assert len(caplog.records) == 1
    assert "info" in caplog.messages[0]
    assert "web" in caplog.messages[0]
