"""What is told of domains: each event at once, what was missed when there is a connection again, and no flood."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from virt2.domains.states import Statuses
from virt2.model.domain import Description, Disk, Domain, Status
from virt2.model.events import CHANGED, CLOSED, IO_ERROR, LIFECYCLE, WATCHDOG, Event
from virt2.notifications.domain_events import APART, REMEMBERED, DomainEvents
from virt2.notifications.notification import FAILURE, OKAY, WARNING, Compose, Notification
from virt2.output.naming import Identity, Names

DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED = range(6)
DISKS = (
    Disk("vda", "/nfs/web.img", "nfs", alias="virtio-disk0"),
    Disk("vdb", "/nfs/data.img", "nfs", alias="ua-data"),
    Disk("vdc", "", "rbd", alias="virtio-disk2"),
)
WEB = Domain("u-web", "web", 7, Description(disks=DISKS))


class Bench:
    """A domain_events whose notifications are made as soon as it hands them over."""

    def __init__(self, **options: object) -> None:
        self.now = 1000.0
        self.sent: list[Notification] = []
        self.active = {WEB.uuid: WEB}
        self.names = Names(("name",), (), "node1")
        self.domain_events = DomainEvents(
            self._make, self.names.of_any, self.active.get, clock=lambda: self.now, wall=lambda: self.now, **options
        )

    def _make(self, compose: Compose) -> None:
        self.sent += compose()

    def event(self, event: int, detail: int = 0, name: str = "web", id: int = 7) -> None:
        self.domain_events.tell(Event(LIFECYCLE, f"u-{name}", event, detail, name, id))

    def io_error(self, action: int = 1, **fields: str) -> None:
        self.domain_events.tell(Event(IO_ERROR, "u-web", 0, action, "web", 7, **fields))

    def states(self, *domains: Status, first: bool = True) -> None:
        self.domain_events.take(Statuses(domains, self.now, first))

    @property
    def told(self) -> list[tuple[str, str]]:
        """Host and message of what was sent since the last look."""
        sent, self.sent = self.sent, []
        return [(one.identity.host, one.message.removeprefix("Domain state: ")) for one in sent]


def status(name: str, state: int, reason: int = 1, id: int = 7, persistent: bool = True) -> Status:
    return Status(f"u-{name}", name, id, persistent, state, reason)


OFF = -1


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_an_event_is_one_notification_as_the_c_plugin_has_it(bench):
    bench.event(SUSPENDED, 2)
    assert bench.sent == [
        Notification(
            WARNING,
            "Domain state: the domain is paused by user. Reason: paused due to a disk I/O error",
            Identity("web", ""),
            "domain_state",
            "",
            {},
            1000.0,
        )
    ]


@pytest.mark.parametrize("event", [DEFINED, UNDEFINED])
def test_a_definition_says_nothing_of_the_state(bench, event):
    bench.event(event, name="new", id=OFF)
    assert bench.told == [("new", "no state. Reason: the reason is unknown")]
    assert bench.domain_events._known is None


@pytest.mark.parametrize("kind", [CHANGED, CLOSED])
def test_other_events_are_not_told(bench, kind):
    bench.domain_events.tell(Event(kind, "u-web", name="web"))
    assert bench.sent == []


def test_the_same_event_twice_is_told_twice(bench):
    bench.event(STARTED)
    bench.event(STARTED)
    assert len(bench.sent) == 2


def test_a_domain_that_is_gone_has_the_identity_its_values_had(bench):
    first = Domain("u-a\nb", "a\nb", 1)
    second = Domain("u-a\tb", "a\tb", 2)
    identities = [bench.names.of(first), bench.names.of(second)]
    bench.names.retain([])
    bench.event(STOPPED, name="a\tb")
    bench.event(STOPPED, name="a\nb")
    assert [one.identity for one in bench.sent] == identities[::-1]


def test_one_that_starts_has_the_name_of_one_that_is_off(bench):
    bench.names.of_any(Domain("u-other", "web/1", OFF))
    bench.event(STARTED, name="web_1", id=9)
    bench.event(DEFINED, name="web/1", id=OFF)
    bench.domain_events.tell(Event(LIFECYCLE, "u-other", DEFINED, 0, "web/1", OFF))
    assert bench.told[0][0] == "web_1"
    assert bench.names.of_any(Domain("u-other", "web/1", OFF)).host == "web_1~uother"


def test_a_domain_that_is_left_out_is_not_told_of():
    bench = Bench(wants=lambda name, uuid: name != "web")
    bench.event(STARTED)
    bench.event(STARTED, name="db")
    bench.io_error()
    bench.domain_events.tell(Event(WATCHDOG, "u-web", 0, 1, "web"))
    assert bench.told == [("db", "the domain is running. Reason: normal startup from boot")]


class TestErrorsOfDisks:
    """Which disk, why, and what was done about it."""

    def test_by_the_name_the_guest_has_for_it(self, bench):
        bench.io_error(alias="virtio-disk0", path="/nfs/web.img", reason="enospc")
        (one,) = bench.sent
        assert one == Notification(
            FAILURE,
            "domain web: I/O error on disk vda (virtio-disk0, /nfs/web.img): no space left on its storage (enospc);"
            " domain paused",
            Identity("web", ""),
            "disk_error",
            "vda",
            {
                "disk": "vda",
                "alias": "virtio-disk0",
                "path": "/nfs/web.img",
                "action": "domain paused",
                "reason": "enospc",
            },
            1000.0,
        )

    def test_by_libvirts_name_alone(self, bench):
        bench.io_error(alias="virtio-disk2")
        assert bench.told == [
            ("web", "domain web: I/O error on disk vdc (virtio-disk2): reason unknown; domain paused")
        ]

    def test_by_its_image_alone(self, bench):
        bench.io_error(path="/nfs/data.img")
        assert bench.sent[0].type_instance == "vdb"

    def test_a_disk_that_is_not_known_has_libvirts_name(self, bench):
        bench.io_error(action=2, alias="ide0-0-0", path="/other.img", reason="eio")
        assert (bench.sent[0].severity, bench.sent[0].type_instance) == (WARNING, "ide0-0-0")
        assert bench.told == [
            ("web", "domain web: I/O error on disk ide0-0-0 (/other.img): eio; reported to the guest")
        ]

    def test_one_without_any_name_is_told_too(self, bench):
        bench.io_error()
        assert bench.told == [("web", "domain web: I/O error on disk unknown: reason unknown; domain paused")]

    def test_hostile_names_forge_no_line(self, bench):
        bench.io_error(alias="a\nb", path="/x\ny\udc80", reason="r\0")
        (one,) = bench.sent
        assert "\n" not in one.message + one.type_instance
        for value in one.meta.values():
            value.encode()
            assert not {"\n", "\0"} & set(value)

    def test_a_disk_that_fails_with_every_request_is_told_once_a_minute(self, bench):
        for _ in range(1000):
            bench.io_error(alias="virtio-disk0")
            bench.now += APART / 400
        assert len(bench.sent) == 3

    def test_but_each_disk_reason_and_action_for_itself(self, bench):
        for alias in ("virtio-disk0", "virtio-disk2"):
            for reason in ("", "enospc"):
                for action in (1, 2):
                    for _ in range(2):
                        bench.io_error(action, alias=alias, reason=reason)
        assert len(bench.sent) == 8

    def test_what_is_remembered_for_that_is_bounded(self, bench):
        for number in range(REMEMBERED + 10):
            bench.io_error(alias=str(number))
        assert len(bench.sent) == REMEMBERED + 10
        assert len(bench.domain_events._told) <= REMEMBERED
        bench.sent.clear()
        bench.io_error(alias=str(REMEMBERED + 9))
        assert bench.sent == []


def test_a_watchdog_is_told_with_its_action_once_a_minute(bench):
    for _ in range(3):
        bench.domain_events.tell(Event(WATCHDOG, "u-web", 0, 2, "web"))
    bench.domain_events.tell(Event(WATCHDOG, "u-web", 0, 1, "web"))
    assert [(one.severity, one.type, one.type_instance, one.meta) for one in bench.sent] == [
        (WARNING, "domain_state", "watchdog", {"action": "domain reset"}),
        (WARNING, "domain_state", "watchdog", {"action": "domain paused"}),
    ]
    assert bench.told[0] == ("web", "domain web: watchdog fired: domain reset")


RUNNING, PAUSED, SHUTOFF, CRASHED = 1, 3, 5, 6


class TestMissed:
    """What happened while there was no connection."""

    def after(self, bench: Bench, before: Sequence[Status], now: Sequence[Status]) -> list[tuple[str, str]]:
        bench.states(*before)
        assert bench.told == []
        bench.states(*now)
        return bench.told

    def test_nothing_is_told_of_what_was_so_from_the_start(self, bench):
        bench.states(status("web", RUNNING), status("db", PAUSED), status("off", SHUTOFF, id=OFF))
        assert bench.sent == []

    def test_nor_of_what_has_not_changed(self, bench):
        domains = status("web", RUNNING), status("off", SHUTOFF, id=OFF)
        assert self.after(bench, domains, domains) == []

    @pytest.mark.parametrize(
        ("before", "now", "told"),
        [
            ((RUNNING, 1, 7), (SHUTOFF, 3, OFF), "the domain is shut off. Reason: domain crashed"),
            ((RUNNING, 1, 7), (PAUSED, 5, 7), "the domain is paused by user. Reason: paused due to a disk I/O error"),
            ((PAUSED, 1, 7), (RUNNING, 5, 7), "the domain is running. Reason: returned from paused state"),
            ((RUNNING, 1, 7), (CRASHED, 1, 7), "the domain is crashed. Reason: domain panicked"),
            ((SHUTOFF, 1, OFF), (RUNNING, 1, 8), "the domain is running. Reason: normal startup from boot"),
            pytest.param(
                *((RUNNING, 1, 7), (RUNNING, 1, 8), "the domain is running. Reason: normal startup from boot"),
                id="stopped and started again",
            ),
        ],
    )
    def test_a_change_is_told_with_the_reason_libvirt_has_for_it(self, bench, before, now, told):
        assert self.after(bench, [status("web", *before)], [status("web", *now)]) == [("web", told)]

    def test_a_domain_that_does_not_exist_any_more_is_shut_off(self, bench):
        told = self.after(bench, [status("web", RUNNING, persistent=False)], [])
        assert told == [("web", "the domain is shut off. Reason: the reason is unknown")]

    def test_a_new_one_is_told_if_it_is_active(self, bench):
        told = self.after(bench, [], [status("new", RUNNING), status("defined", SHUTOFF, 0, OFF)])
        assert told == [("new", "the domain is running. Reason: normal startup from boot")]

    def test_what_events_told_meanwhile_is_not_missed(self, bench):
        bench.states(status("web", RUNNING), status("db", RUNNING, id=2))
        bench.event(STOPPED, 1)
        bench.event(SUSPENDED, 0, name="db", id=2)
        bench.event(STARTED, 0, name="new", id=9)
        assert len(bench.told) == 3
        bench.states(status("web", SHUTOFF, 2, OFF), status("db", PAUSED, id=2), status("new", RUNNING, id=9))
        assert bench.told == []

    def test_what_is_defined_or_undefined_is_as_active_as_before(self, bench):
        bench.states(status("web", RUNNING))
        bench.event(UNDEFINED)
        bench.event(DEFINED)
        assert len(bench.told) == 2
        bench.states(status("web", RUNNING))
        assert bench.told == []

    def test_states_that_are_read_again_over_one_connection_tell_nothing(self, bench):
        bench.states(status("web", RUNNING))
        bench.states(first=False)
        assert bench.told == []

    def test_a_domain_that_is_left_out_is_not_missed(self):
        bench = Bench(wants=lambda name, uuid: False)
        bench.states()
        bench.event(STARTED)
        bench.states()
        assert bench.told == []


class TestPersistent:
    """The state of every persistent domain again and again, instead of events."""

    @pytest.fixture
    def bench(self) -> Bench:
        return Bench(persistent=True)

    def test_events_are_not_told(self, bench):
        bench.event(STARTED)
        bench.io_error()
        bench.domain_events.tell(Event(WATCHDOG, "u-web", 0, 1, "web"))
        assert bench.sent == []

    def test_every_reading_tells_the_state_of_every_persistent_domain(self, bench):
        for first in (True, False, False):
            bench.states(
                status("web", RUNNING),
                status("off", SHUTOFF, 2, OFF),
                status("transient", RUNNING, persistent=False),
                first=first,
            )
            assert [(one.severity, one.type, one.type_instance) for one in bench.sent] == [
                (OKAY, "domain_state", "")
            ] * 2
            assert bench.told == [
                ("web", "the domain is running. Reason: normal startup from boot"),
                ("off", "the domain is shut off. Reason: forced poweroff"),
            ]
