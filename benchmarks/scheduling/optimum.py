"""The optimum: an omniscient client without round trips.

It sends whenever the server would accept. It meets the same limiter as every other client. For the
five limiters and a constant limit, the result equals the formulas of the theory
(tests/unit/test_benchmarks.py). This module also works for limits that change.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from katapult_async.testing.limiters import Limiter

#: (seconds after the start, the limit from then on)
Changes = Sequence[tuple[float, int]]


def omniscient(limiter: Limiter, n: int, *, start: float, changes: Changes = ()) -> list[float]:
    """Return when a fresh limiter accepts n requests at the earliest, in seconds after `start`."""
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
