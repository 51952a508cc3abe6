"""Whether and when a failed request is tried again: a pure policy, no clock and no sleep."""

from __future__ import annotations

import random

import msgspec

from katapult_async.errors import Execution, KatapultError

from .address import check_count, check_delay, check_instance


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off with full jitter: before try k + 1 a random wait between 0 and min(cap, base * 2**(k-1)).

    attempts: tries at most, the first one included (a 429 is not a try: it was not executed and waits its turn).
    base, cap: seconds. total: no new try begins after this many seconds of tries and of pauses
    between them. Waits for the rate limit do not count.

    What is tried again:

    | failure | a read (GET) | a write |
    |---|---|---|
    | surely not executed: no connection, 503 service_unavailable | yes | yes |
    | unclear: reset, time-out, 5xx, unreadable, a 4xx not of the API | yes | no (bulk runs read back) |
    | refused: any other answer of the API | no | no |
    | never sent, because the client is closed | no | no |

    Raises:
        TypeError: If `attempts` is not an integer, or a time is not a number.
        ValueError: If `attempts` is below 1, or a time is negative or not finite.
    """

    attempts: int = 5
    base: float = 0.5
    cap: float = 15.0
    total: float = 120.0

    def __post_init__(self) -> None:
        check_count("attempts", self.attempts)
        for name in ("base", "cap", "total"):
            check_delay(name, getattr(self, name))

    def delay(self, attempt: int, elapsed: float, rng: random.Random) -> float | None:
        """Seconds to wait after the failure of try number `attempt`; None when there is to be no further try."""
        if attempt >= self.attempts:
            return None
        delay = rng.uniform(0, min(self.cap, self.base * 2 ** (attempt - 1)))
        return delay if elapsed + delay <= self.total else None


def check_retry(retry: object) -> None:
    """Raise TypeError unless `retry` is a RetryPolicy."""
    number = isinstance(retry, int) and not isinstance(retry, bool) and retry > 0
    check_instance("retry", retry, RetryPolicy, f"give RetryPolicy(attempts={retry if number else 5})")


def may_repeat(error: KatapultError, *, safe: bool) -> bool:
    """Whether sending the same request again cannot do anything twice, and may help."""
    if error.stops_run:
        return False
    if error.execution is Execution.NOT_EXECUTED:
        return True
    return safe and error.execution is Execution.UNCLEAR
