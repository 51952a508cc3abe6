"""The clock that jumps, for the code of others: it never stands still while somebody waits for a moment that has come.

A limiter that waits until it has room may find itself short of it by the last bit of a float, and ask for a timer at this
very moment, again and again (aiolimiter does). A real clock has gone on meanwhile; this one would not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

from tests.virtual_time import VirtualTimeLoop

T = TypeVar("T")
#: Seconds in which a timer fires that is due at once: more than the resolution of that clock.
MOMENT = 2e-6


class MovingLoop(VirtualTimeLoop):
    """An event loop in virtual time on which every timer takes a moment."""

    def call_at(  # type: ignore[override] # to say it as typeshed does needs Python 3.11
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(max(when, self.time() + MOMENT), callback, *args, context=context)


def run(main: Coroutine[Any, Any, T], *, start: float) -> T:
    """Run a coroutine in virtual time; no task may be left when it returns."""
    loop = MovingLoop(start)
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left behind: {left}"
        return result
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
