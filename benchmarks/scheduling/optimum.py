"""What an omniscient client needs: it has no round trips, and sends whenever the server would accept.

It plays against the same limiter as everybody else. For the five limiters and a limit that stays, that is the same as
the formulas of the theory (tests/unit/test_benchmarks.py); it also answers for limits that change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from katapult_async.testing.limiters import Limiter

#: (seconds after the start, the limit from then on)
Changes = Sequence[tuple[float, int]]


def omniscient(limiter: Limiter, n: int, *, start: float, changes: Changes = ()) -> list[float]:
    """The moments, in seconds after `start`, at which n requests are accepted by a fresh limiter at the earliest."""
    coming = list(changes)
    now = start
    accepted: list[float] = []
    while len(accepted) < n:
        while coming and start + coming[0][0] <= now:
            limiter.limit = coming.pop(0)[1]
        verdict = limiter.hit(now)
        if verdict.allowed:
            accepted.append(now - start)
            continue
        until = now + verdict.retry_after
        if coming:
            until = min(until, start + coming[0][0])
        if not math.isfinite(until):
            raise ValueError("the server accepts nothing any more")
        now = max(until, math.nextafter(now, math.inf))
    return accepted
