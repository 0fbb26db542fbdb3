"""Time that passes only when nobody can do anything any more, so that no test depends on how fast the machine is."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from virt2.domains.inventory import Inventory
from virt2.workers.budget import Budget
from virt2.workers.pool import Pool

BOUND = 10.0
"""Seconds after which a call that nobody released fails its test; it never takes that long."""
LOOK = 0.0005
"""Seconds between two looks at whether anybody can still do anything."""


class Stage:
    """Where calls happen: each stays for as long as something holds it, and who holds it lets it go by itself.

    A call that waits is counted as blocked until the moment its obstacle is gone, not until its thread runs again:
    so whoever removed the obstacle sees at once that there is something to do.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._blocked: list[tuple[Callable[[], bool], threading.Event, str]] = []
        self._entered = threading.Condition(self.lock)

    @property
    def blocked(self) -> int:
        """Calls that cannot go on."""
        return len(self._blocked)

    @property
    def blocked_workers(self) -> int:
        """Those of them that workers of a pool have made."""
        return sum(thread != "virt2/list" for _, _, thread in self._blocked)

    @property
    def blocked_list(self) -> bool:
        """Whether the inventory's thread is in one of them."""
        return any(thread == "virt2/list" for _, _, thread in self._blocked)

    def hold(self, obstacle: Callable[[], bool]) -> None:
        """Stay as long as there is an obstacle."""
        released = threading.Event()
        with self.lock:
            if not obstacle():
                return
            self._blocked.append((obstacle, released, threading.current_thread().name))
            self._entered.notify_all()
        if not released.wait(BOUND):
            raise AssertionError("a blocked call was never released")

    def review(self) -> None:
        """Let go whom nothing holds any more; to be called after every change."""
        with self.lock:
            for entry in [entry for entry in self._blocked if not entry[0]()]:
                self._blocked.remove(entry)
                entry[1].set()

    def await_blocked(self, count: int) -> None:
        """Wait until so many calls are blocked."""
        with self.lock:
            assert self._entered.wait_for(lambda: len(self._blocked) >= count, BOUND), "no call got blocked"


class Messages:
    """The queue of an inventory's thread, which tells whether that thread has done all it was asked."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self.done = True

    def put(self, message: Any) -> None:
        with self._lock:
            self.done = False
            self._queue.put(message)

    def get(self, timeout: float | None = None) -> Any:
        if timeout is None:
            with self._lock:
                self.done = self._queue.empty()
        return self._queue.get(timeout=timeout)

    def empty(self) -> bool:
        return self._queue.empty()


class Clock:
    """Monotonic seconds that pass only when no worker, and no inventory that is watched, can do anything.

    Arguments:
        stage: where the workers' calls block.
    """

    def __init__(self, stage: Stage, now: float = 1000.0) -> None:
        self.now = now
        self._stage = stage
        self._pools: list[tuple[Budget, Pool]] = []
        self._inventories: list[tuple[Inventory, Messages]] = []

    def __call__(self) -> float:
        return self.now

    def wall(self) -> float:
        """The time of day."""
        return self.now + 1.7e9

    def watch(self, budget: Budget, pool: Pool) -> None:
        """Let no time pass while a worker of this pool can do something."""
        self._pools.append((budget, pool))

    def watch_inventory(self, inventory: Inventory) -> None:
        """Let no time pass while its thread can do something; to be called before it is started."""
        messages = inventory._messages = Messages()
        self._inventories.append((inventory, messages))

    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for an event like `threading.Event.wait`; to be a pool's ``wait``."""
        if not self.settle(event):
            self.now += seconds
        return event.is_set()

    def settle(self, event: threading.Event | None = None) -> bool:
        """Wait until the event is set or nobody can do anything any more; returns whether it is set."""
        event = event or threading.Event()
        limit = time.monotonic() + BOUND
        while not event.is_set() and not self.is_settled():
            assert time.monotonic() < limit, "the workers never came to rest"
            event.wait(LOOK)
        return event.is_set()

    def is_settled(self) -> bool:
        """Whether nobody can do anything before time passes."""
        for inventory, messages in self._inventories:
            # One that cannot connect waits for time to pass.
            if not messages.done and inventory.link is not None and inventory.link.up and not self._stage.blocked_list:
                return False
        locks = {id(budget): budget.lock for budget, _ in self._pools}.values()
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(lock)
            # A worker that was notified is no waiter any more, long before its thread runs.
            waiting = sum(len(pool.wanted._waiters) for _, pool in self._pools)
            return sum(pool.workers for _, pool in self._pools) == waiting + self._stage.blocked_workers
