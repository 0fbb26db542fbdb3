"""What libvirt's numbers mean: the C plugin's words, and something sensible for every number that it has not."""

from __future__ import annotations

import itertools

import pytest

from virt2.notifications.notification import FAILURE, OKAY, WARNING
from virt2.notifications.wording import io_error_message, state_after, state_message, watchdog_message

UNKNOWN = "the reason is unknown"

C_PLUGIN = {
    # State: severity, text, and the text of each reason from 1 on.
    0: (OKAY, "no state", []),
    1: (
        OKAY,
        "the domain is running",
        [
            "normal startup from boot",
            "migrated from another host",
            "restored from a state file",
            "restored from snapshot",
            "returned from paused state",
            "returned from migration",
            "returned from failed save process",
            "returned from pmsuspended due to wakeup event",
            "resumed from crashed",
            "running in post-copy migration mode",
        ],
    ),
    2: (WARNING, "the domain is blocked on resource", []),
    3: (
        WARNING,
        "the domain is paused by user",
        [
            "paused on user request",
            "paused for offline migration",
            "paused for save",
            "paused for offline core dump",
            "paused due to a disk I/O error",
            "paused due to a watchdog event",
            "paused after restoring from snapshot",
            "paused during shutdown process",
            "paused while creating a snapshot",
            "paused due to a guest crash",
            "the domain is being started",
            "paused for post-copy migration",
            "paused after failed post-copy",
        ],
    ),
    4: (OKAY, "the domain is being shut down", ["shutting down on user request"]),
    5: (
        OKAY,
        "the domain is shut off",
        [
            "normal shutdown",
            "forced poweroff",
            "domain crashed",
            "migrated to another host",
            "saved to a file",
            "domain failed to start",
            "restored from a snapshot which was taken while domain was shutoff",
            "daemon decides to kill domain during reconnection processing",
        ],
    ),
    6: (FAILURE, "the domain is crashed", []),
    7: (WARNING, "the domain is suspended by guest power management", []),
}

NEVER_SENT_THERE = {
    (1, 11): (OKAY, "Domain state: the domain is running. Reason: running after failed post-copy"),
    (6, 1): (FAILURE, "Domain state: the domain is crashed. Reason: domain panicked"),
    (7, 0): (
        WARNING,
        "Domain state: the domain is suspended by guest power management. Reason: the reason is unknown",
    ),
}
"""What the C plugin means to say but does not, for faults of its own."""

EVENTS = {
    # Event: state, and the reason for each detail.
    0: (0, {}),
    1: (0, {}),
    2: (1, {0: 1, 1: 2, 2: 3, 3: 4, 4: 8}),
    3: (3, {0: 1, 1: 2, 2: 5, 3: 6, 4: 0, 5: 7, 6: 0, 7: 12, 8: 13}),
    4: (1, {0: 5, 1: 2, 2: 4, 3: 10, 4: 11}),
    5: (5, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7}),
    6: (4, {0: 1, 1: 1, 2: 1}),
    7: (7, {0: 0, 1: 0}),
    8: (6, {0: 1, 1: 0}),
}
"""From libvirt's header: defined, undefined, started, suspended, resumed, stopped, shutdown, pmsuspended, crashed."""


@pytest.mark.parametrize("state", C_PLUGIN)
def test_every_state_and_reason_of_the_c_plugin_has_its_severity_and_exact_text(state):
    severity, text, reasons = C_PLUGIN[state]
    for reason, why in enumerate([UNKNOWN, *reasons]):
        assert state_message(state, reason) == (severity, f"Domain state: {text}. Reason: {why}")


@pytest.mark.parametrize("pair", NEVER_SENT_THERE)
def test_what_the_c_plugin_never_sends_is_sent(pair):
    assert state_message(*pair) == NEVER_SENT_THERE[pair]


@pytest.mark.parametrize("state", C_PLUGIN)
def test_a_reason_that_is_not_known_is_said_to_be_unknown(state):
    severity, text, _ = C_PLUGIN[state]
    for reason in (-1, 99):
        assert state_message(state, reason) == (severity, f"Domain state: {text}. Reason: {UNKNOWN}")


def test_a_state_that_is_not_known_is_told_by_its_number():
    severity, message = state_message(8, 1)
    assert severity == WARNING
    assert message == f"Domain state: state 8, which this version does not know. Reason: {UNKNOWN}"


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_and_detail_has_its_state_and_reason(event):
    state, reasons = EVENTS[event]
    for detail, reason in reasons.items():
        assert state_after(event, detail) == (state, reason)
    for detail in (-1, 99):
        assert state_after(event, detail) == (state, 0)


def test_an_event_that_is_not_known_says_nothing_of_the_state():
    assert state_after(9, 0) == state_after(-1, 3) == (0, 0)


def test_every_event_gives_a_message_that_fits():
    for event, detail in itertools.product(range(12), range(12)):
        severity, message = state_message(*state_after(event, detail))
        assert severity in (OKAY, WARNING, FAILURE)
        # The C plugin's are limited to that, and so may be what reads them.
        assert len(message) <= 127


@pytest.mark.parametrize(
    ("action", "reason", "expected"),
    [
        (1, "enospc", (FAILURE, "I/O error on disk vda: no space left on its storage (enospc); domain paused")),
        (1, "", (FAILURE, "I/O error on disk vda: reason unknown; domain paused")),
        (1, "message", (FAILURE, "I/O error on disk vda: reason unknown; domain paused")),
        (2, "", (WARNING, "I/O error on disk vda: reason unknown; reported to the guest")),
        (0, "eio", (WARNING, "I/O error on disk vda: eio; ignored")),
        (7, "", (WARNING, "I/O error on disk vda: reason unknown; action 7")),
    ],
)
def test_an_io_error_says_why_and_what_was_done(action, reason, expected):
    assert io_error_message(action, reason, "vda") == expected


@pytest.mark.parametrize(
    ("action", "words"), [(0, "nothing done"), (1, "domain paused"), (2, "domain reset"), (7, "action 7")]
)
def test_a_watchdog_says_what_was_done(action, words):
    assert watchdog_message(action) == (WARNING, f"watchdog fired: {words}")
