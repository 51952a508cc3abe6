"""Whether and when a failed request is sent again: a pure policy, without clock and sleep.

A 429 is not a failure. `ratelimit/window.py` (`Window._read_refusal`) decides what a 429 means and
when its request is sent again.
"""

from __future__ import annotations

import random

import msgspec

from katapult_async.errors import Execution, KatapultError

from .address import check_count, check_delay, check_instance


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Exponential back-off with full jitter.

    After attempt k fails, the pause is random between 0 and min(cap, base * 2**(k-1)) seconds.

    Args:
        attempts: Attempts at most, including the first one. A 429 is not an attempt: the server did
            not execute the request, and it waits for its turn.
        base: Seconds.
        cap: The longest pause, in seconds.
        total: No new attempt begins after this many seconds of attempts and pauses. Waits for the
            rate limit do not count.

    What is sent again:

    | failure | a read (GET) | a write |
    |---|---|---|
    | certainly not executed: no connection, 503 service_unavailable | yes | yes |
    | unclear: reset, time-out, 5xx, unreadable, foreign 4xx | yes | no (bulk runs read back) |
    | refused: any other error of the API | no | no |
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
        """Return the seconds to wait after a failed attempt; None if there is no further one.

        Args:
            attempt: The number of the failed attempt, from 1.
            elapsed: Seconds of attempts and pauses so far.
            rng: The source of the jitter.
        """
        if attempt >= self.attempts:
            return None
        delay = rng.uniform(0, min(self.cap, self.base * 2 ** (attempt - 1)))
        return delay if elapsed + delay <= self.total else None


def check_retry(retry: object) -> None:
    """Raise TypeError unless `retry` is a RetryPolicy."""
    number = isinstance(retry, int) and not isinstance(retry, bool) and retry > 0
    check_instance("retry", retry, RetryPolicy, f"give RetryPolicy(attempts={retry if number else 5})")


def may_repeat(error: KatapultError, *, safe: bool) -> bool:
    """Return whether sending the same request again is safe and may help.

    Args:
        error: How the request failed.
        safe: Whether the request changes nothing (GET).
    """
    if error.stops_run:
        return False
    if error.execution is Execution.NOT_EXECUTED:
        return True
    return safe and error.execution is Execution.UNCLEAR
