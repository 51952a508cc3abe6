"""The call in progress: where its time goes. The pool of a load test fills it in.

A call is one arrival: usually one request. It is found through a context variable, so an action of
the user may use any method of the client, also from tasks that it starts itself.
"""

from __future__ import annotations

import time
from contextvars import ContextVar

#: The clock of all times of a call, in seconds. Not the event loop's: uvloop's has milliseconds.
clock = time.perf_counter


class Call:
    """One call of an action.

    Args:
        operation: What it does. An action with several operations sets it.
        due: When it should start.

    Attributes:
        began: When it started. Later than `due` if this client was busy.
        waited: Seconds for which its requests waited for permits.
        queued: Seconds for which it waited for a free disk.
        service: Seconds from each permit to the response, all requests together.
        requests: Requests sent.
        rate_limited: Those of them that got a 429.
        held: Whether it waits for a permit or a free disk at the moment.
        given_up: Whether the test ended before it was sent.
    """

    __slots__ = (
        "began",
        "due",
        "given_up",
        "held",
        "operation",
        "queued",
        "rate_limited",
        "requests",
        "service",
        "waited",
    )

    def __init__(self, operation: str, due: float) -> None:
        self.operation = operation
        self.due = due
        self.began = due
        self.waited = 0.0
        self.queued = 0.0
        self.service = 0.0
        self.requests = 0
        self.rate_limited = 0
        self.held = False
        self.given_up = False


#: The call of the current task; None outside a load test, and while it prepares.
current: ContextVar[Call | None] = ContextVar("katapult_async_load_call", default=None)
