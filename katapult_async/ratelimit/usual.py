"""The usual response: a permitted request among others, counted in the window that is known.

In a run at full speed nearly all responses are usual. `AlignedWindows.read` and
`WindowNumbers.read_date` would change little after them. This module changes the same, and nothing
else (tests/property/test_usual_readings.py compares the states).
"""

from __future__ import annotations

from .aligned import AlignedWindows
from .evidence import Evidence
from .permit import PLAIN, Permit


def read_usual(
    aligned: AlignedWindows,
    permit: Permit,
    now: float,
    evidence: Evidence,
    *,
    limit: int | None,
    in_flight: int,
) -> bool:
    """Process a response if it is usual.

    Args:
        aligned: The windows of the server's clock.
        permit: The permit of the request.
        now: When the response arrived, local time in seconds.
        evidence: The facts in the response.
        limit: Requests permitted per window; None while unknown.
        in_flight: Our requests in flight now, at least one.

    Returns:
        False if the response is not usual. Nothing has changed then.
    """
    remaining, window, lowest = evidence.remaining, permit.window, permit.lowest
    if (
        remaining is None
        or window is None
        or permit.role is not PLAIN
        or evidence.refused
        or evidence.permitted != limit
        or aligned.unread
        or aligned.kind.idle is not None
        or not aligned.numbers.repeats(evidence.date, window, permit.sent, now)
    ):
        return False
    if lowest is not None and remaining >= lowest and window == permit.after:
        aligned.types.note_higher_reading(permit.kind, now, remaining, window)
    if remaining > aligned.kind.highest:
        aligned.kind.highest = remaining
    aligned.counter.add_reading(permit.sent, now, remaining)
    aligned.others.add_reading(window, remaining, in_flight=in_flight, first=None)
    aligned.last_response_at = now
    return True
