"""Botocore's adaptive retry mode, driven with the event loop's clock.

The decisions are botocore's own: its cubic rate, its token bucket, its retry quota and its
back-off. Only the waiting is ours. Where botocore would block a thread until the bucket has a
token, a task sleeps for the same time.
"""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from benchmarks.peers import peer

from .policies import CONCURRENCY, Policy, Work

#: Quota that a retry after throttling costs, and quota that a request without a retry returns
#: (botocore's standard mode).
RETRY_COST = 5
NO_RETRY_INCREMENT = 1


class LoopClock:
    """Botocore's Clock, of the running event loop."""

    def current_time(self) -> float:
        return asyncio.get_running_loop().time()

    def sleep(self, amount: float) -> None:
        raise AssertionError(f"botocore wants to block for {amount} s")


class _Detector:
    """Says what the caller says: the wire of AWS is not spoken here."""

    def is_throttling_error(self, *, throttled: bool) -> bool:
        return throttled

    def is_throttling_error_from_context(self, context: Any) -> bool:
        return bool(context.throttled)


class AdaptiveClient:
    """One client in the mode `adaptive`, with the limiter that all its requests share."""

    def __init__(self, work: Work, max_attempts: int) -> None:
        adaptive, bucket = peer("botocore.retries.adaptive"), peer("botocore.retries.bucket")
        throttling, standard = peer("botocore.retries.throttling"), peer("botocore.retries.standard")
        clock: Any = LoopClock()
        self._work = work
        self._max_attempts = max_attempts
        self._no_capacity: type[Exception] = peer("botocore.exceptions").CapacityNotAvailableError
        self._bucket: Any = bucket.TokenBucket(max_rate=1, clock=clock)
        # What the limiter calls when it is enabled; botocore's own would block.
        acquire = self._bucket.acquire
        self._bucket.acquire = lambda: acquire(block=False)
        self._limiter: Any = adaptive.ClientRateLimiter(
            rate_adjustor=throttling.CubicCalculator(starting_max_rate=0, start_time=clock.current_time()),
            rate_clocker=adaptive.RateClocker(clock),
            token_bucket=self._bucket,
            throttling_detector=_Detector(),
            clock=clock,
        )
        self._quota: Any = peer("botocore.retries.quota").RetryQuota()
        self._back_off: Any = standard.ExponentialBackoff(
            random=work.rng.random, throttling_detector=_Detector()
        )

    async def call(self) -> bool:
        """One API call with its retries; False if it ends in an error."""
        for attempt in range(1, self._max_attempts + 1):
            await self._wait_for_capacity()
            allowed = await self._work.send()
            self._limiter.on_receiving_response(throttled=not allowed)
            if allowed:
                self._quota.release(RETRY_COST if attempt > 1 else NO_RETRY_INCREMENT)
                return True
            if attempt == self._max_attempts or not self._quota.acquire(RETRY_COST):
                return False
            context = SimpleNamespace(attempt_number=attempt, throttled=True, http_response=None)
            await asyncio.sleep(self._back_off.delay_amount(context))
        raise AssertionError("at least one attempt is made")

    async def _wait_for_capacity(self) -> None:
        while True:
            try:
                self._limiter.on_sending_request(request=None)
            except self._no_capacity:
                missing = 1 - self._bucket.available_capacity
                await asyncio.sleep(missing / self._bucket.max_rate)
            else:
                return


def adaptive_policy(name: str, max_attempts: int) -> Policy:
    async def run(work: Work) -> None:
        client = AdaptiveClient(work, max_attempts)
        left = work.n

        async def worker() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                work.ended(done=await client.call())

        await asyncio.gather(*(worker() for _ in range(min(CONCURRENCY, work.n))))

    return Policy(name, run)
