"""What libvirt's numbers for states and events mean, in the words of collectd's C plugin. All of it is pure.

The numbers are libvirt's own: virDomainState, the reasons of each state, virDomainEventType and its details. libvirt
never changes the meaning of a number. A number that is not in these tables comes from a newer libvirt. Then the part of
the message that is known is still sent.
"""

from __future__ import annotations

from virt2.notifications.notification import FAILURE, OKAY, WARNING

NO_STATE, RUNNING, BLOCKED, PAUSED, SHUTDOWN, SHUTOFF, CRASHED, PM_SUSPENDED = range(8)
"""virDomainState."""
DEFINED, UNDEFINED, STARTED, SUSPENDED, RESUMED, STOPPED, EVENT_SHUTDOWN, EVENT_PM_SUSPENDED, EVENT_CRASHED = range(9)
"""virDomainEventType."""

UNKNOWN_REASON = "the reason is unknown"

STATES = {
    NO_STATE: (OKAY, "no state"),
    RUNNING: (OKAY, "the domain is running"),
    BLOCKED: (WARNING, "the domain is blocked on resource"),
    PAUSED: (WARNING, "the domain is paused by user"),
    SHUTDOWN: (OKAY, "the domain is being shut down"),
    SHUTOFF: (OKAY, "the domain is shut off"),
    CRASHED: (FAILURE, "the domain is crashed"),
    PM_SUSPENDED: (WARNING, "the domain is suspended by guest power management"),
}
"""How severe each state is, and its text. The text of a pause is always the same; its reason tells who paused."""

REASONS = {
    RUNNING: {
        1: "normal startup from boot",
        2: "migrated from another host",
        3: "restored from a state file",
        4: "restored from snapshot",
        5: "returned from paused state",
        6: "returned from migration",
        7: "returned from failed save process",
        8: "returned from pmsuspended due to wakeup event",
        9: "resumed from crashed",
        10: "running in post-copy migration mode",
        # The C plugin has no text for this reason, and sends nothing.
        11: "running after failed post-copy",
    },
    PAUSED: {
        1: "paused on user request",
        2: "paused for offline migration",
        3: "paused for save",
        4: "paused for offline core dump",
        5: "paused due to a disk I/O error",
        6: "paused due to a watchdog event",
        7: "paused after restoring from snapshot",
        8: "paused during shutdown process",
        9: "paused while creating a snapshot",
        10: "paused due to a guest crash",
        11: "the domain is being started",
        12: "paused for post-copy migration",
        13: "paused after failed post-copy",
        # libvirt has this reason since 10.1. The C plugin does not know it.
        14: "paused after a libvirt call that failed to resume it",
    },
    SHUTDOWN: {1: "shutting down on user request"},
    SHUTOFF: {
        1: "normal shutdown",
        2: "forced poweroff",
        3: "domain crashed",
        4: "migrated to another host",
        5: "saved to a file",
        6: "domain failed to start",
        7: "restored from a snapshot which was taken while domain was shutoff",
        8: "daemon decides to kill domain during reconnection processing",
    },
    CRASHED: {1: "domain panicked"},
}
"""The text of each reason, by state. The reason 0 is unknown in every state."""

EVENTS = {
    STARTED: (RUNNING, {0: 1, 1: 2, 2: 3, 3: 4, 4: 8}),
    SUSPENDED: (PAUSED, {0: 1, 1: 2, 2: 5, 3: 6, 5: 7, 7: 12, 8: 13}),
    RESUMED: (RUNNING, {0: 5, 1: 2, 2: 4, 3: 10, 4: 11}),
    STOPPED: (SHUTOFF, {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 6, 6: 7}),
    EVENT_SHUTDOWN: (SHUTDOWN, {0: 1, 1: 1, 2: 1}),
    EVENT_PM_SUSPENDED: (PM_SUSPENDED, {}),
    EVENT_CRASHED: (CRASHED, {0: 1}),
}
"""The state of a domain after each event, and the reason for each detail of the event. Any other detail is unknown.

DEFINED and UNDEFINED are not here, because they tell nothing about the state. The C plugin reports them so, too.
"""

IO_ERROR_ACTIONS = {0: "ignored", 1: "domain paused", 2: "reported to the guest"}
"""virDomainEventIOErrorAction."""
IO_ERROR_PAUSE = 1
IO_ERROR_REASONS = {
    "": "reason unknown",
    "enospc": "no space left on its storage (enospc)",
    # libvirt 11 says this if QEMU gave a text, but the event does not contain the text.
    "message": "reason unknown",
}

WATCHDOG_ACTIONS = {
    0: "nothing done",
    1: "domain paused",
    2: "domain reset",
    3: "domain powered off",
    4: "domain shut down",
    5: "debugging message",
    6: "non-maskable interrupt injected",
}
"""virDomainEventWatchdogAction."""


def state_after(event: int, detail: int) -> tuple[int, int]:
    """Give the state of a domain after a lifecycle event, and its reason."""
    state, reasons = EVENTS.get(event, (NO_STATE, {}))
    return state, reasons.get(detail, 0)


def state_message(state: int, reason: int) -> tuple[str, str]:
    """Give how severe a state is, and its message."""
    severity, text = STATES.get(state, (WARNING, f"state {state}, which this version does not know"))
    why = REASONS.get(state, {}).get(reason, UNKNOWN_REASON)
    return severity, f"Domain state: {text}. Reason: {why}"


def io_error_message(action: int, reason: str, disk: str) -> tuple[str, str]:
    """Give how severe an I/O error of a disk is, and its message."""
    why = IO_ERROR_REASONS.get(reason, reason)
    done = IO_ERROR_ACTIONS.get(action, f"action {action}")
    return FAILURE if action == IO_ERROR_PAUSE else WARNING, f"I/O error on disk {disk}: {why}; {done}"


def watchdog_message(action: int) -> tuple[str, str]:
    """Give how severe it is that a watchdog fired, and its message."""
    return WARNING, f"watchdog fired: {WATCHDOG_ACTIONS.get(action, f'action {action}')}"
