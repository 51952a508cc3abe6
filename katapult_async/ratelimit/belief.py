"""The belief: what kind of limiter the server seems to have. Plain data; `window` decides by it.

COLD ── first response ─┬─ no headers ───────────► OPEN ── 429 ──► TRAILING (limit known)
                        └─ headers ─► ALIGNED ─┬─ counter does not restart ──► TRAILING
                                               └─ counter rises by itself ───► REFILLING
"""

from __future__ import annotations

import enum


class Belief(enum.Enum):
    """The kind of limiter that the server seems to have."""

    #: One request is sent, and all others wait for its response.
    COLD = "nothing known yet"
    #: Only the caller's concurrency limits requests.
    OPEN = "no limit known"
    #: Requests in flight plus responses of the last period stay within the limit (trailing.py).
    #: Safe for every kind of limiter if no other client uses the token.
    TRAILING = "limit known"
    #: Only requests that are certainly left in the current window are sent. When it is used up, one
    #: request is sent at the next boundary, and the others after its response (aligned.py).
    ALIGNED = "windows of the server's clock"
    #: A token bucket, refilled at limit/period a second, whose level the headers state.
    REFILLING = "bucket that refills"


#: Compared for each request (see PLAIN).
ALIGNED, REFILLING = Belief.ALIGNED, Belief.REFILLING
