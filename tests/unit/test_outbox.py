"""What is between the workers of a reader and collectd."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from virt2.metrics import Metric, gauge
from virt2.naming import Identity
from virt2.outbox import Batch

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
