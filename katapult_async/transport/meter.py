"""What a bulk run gives along with each request of an item: it counts, and it says when to stop.

The session reads and fills it. What the numbers mean for the item is for the run to decide.
"""

from __future__ import annotations

from typing import Protocol

from katapult_async.errors import Execution, KatapultError
from katapult_async.ratelimit import BreakerGate


class Meter(Protocol):
    """Counts what one item of a bulk run costs.

    Attributes:
        requests: Requests sent.
        rate_limited: 429s received.
        elapsed: Seconds of its reads, its failed writes and the pauses between them, without 429s
            and without waits for the rate limit.
        request_id: The API's ID of the last request that got a response.
        on_the_wire: Whether a request is in flight.
        stopping: Whether no further request may be sent.
        breaker: The circuit breaker of the run; None outside a run.
        date: The `Date` header of the last response to a GET.
        started_at: When the work on the item began, Unix time in seconds.
    """

    requests: int
    rate_limited: int
    elapsed: float
    request_id: str | None
    date: str | None
    on_the_wire: bool
    stopping: bool

    @property
    def started_at(self) -> float | None: ...

    @property
    def breaker(self) -> BreakerGate | None: ...


class RunStopped(KatapultError):
    """The run was stopped before this request was sent. Never raised to users."""

    execution = Execution.NOT_EXECUTED


def may_send(meter: Meter | None, breaker: BreakerGate | None) -> bool:
    """Return whether the run continues and its breaker is closed."""
    return not (meter is not None and meter.stopping) and (breaker is None or not breaker.open)
