"""An event loop whose clock jumps instead of waiting, for tests that need no socket.

When nothing is ready, a selector would sleep until the next timer. This one adds the time to the
clock and returns at once. So an hour of waiting takes only the time of its callbacks.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")
#: Seconds after which a timer fires that is due at once: more than the resolution of the clock.
MOMENT = 2e-6


class _JumpingSelector(selectors.SelectSelector):
    """Adds the time-out to `now` instead of waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, and no timer is set")
        if timeout > 0:
            # A little more than requested: a timer that rounds down would fire again and again at
            # the same time.
            self.now += timeout + 1e-6
        return super().select(0)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop in virtual time, starting at 0."""

    def __init__(self, start: float = 0.0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.now = start
        super().__init__(self._jumping)
        # Far from zero a float cannot tell two times apart that differ by a nanosecond.
        self._clock_resolution = 1e-6

    def time(self) -> float:
        return self._jumping.now

    def call_at(  # type: ignore[override] # typeshed's signature needs Python 3.11
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedule a callback at least one MOMENT from now.

        aiolimiter schedules a timer for the current time again and again if it is short of capacity
        by the last bit of a float. A real clock would have moved on meanwhile.
        """
        return super().call_at(max(when, self.time() + MOMENT), callback, *args, context=context)


def run(main: Coroutine[Any, Any, T], *, start: float = 0.0) -> T:
    """Run a coroutine in virtual time. No task may be left when it returns."""
    loop = VirtualTimeLoop(start)
    try:
        asyncio.set_event_loop(None)
        result = loop.run_until_complete(main)
        pending = asyncio.all_tasks(loop)
        assert not pending, f"tasks left behind: {pending}"
        return result
    finally:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
