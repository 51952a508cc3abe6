"""Record the timeline of a run: requests per second, waits, and response times.

The timeline is for reports only, so a crash may lose its last second. `steps.recorder` durably
records what a resumed run needs.
"""

from __future__ import annotations

import time

import msgspec

from katapult_async.errors import ConnectTimeout, RequestTimeout
from katapult_async.observer import Observer, RequestEvent, WaitEvent

from .group_commit import Writer
from .latency import Histogram
from .queries_sessions import ADD_SECOND, ADD_WAIT, SET_LATENCY, LatencySums, SecondCounts, Wait

#: The shortest wait that is recorded, in seconds.
WORTH_A_MARK = 1.0
#: The failures whose durations count as response times.
_TIME_OUTS = frozenset({RequestTimeout.__name__, ConnectTimeout.__name__})
_encode = msgspec.json.Encoder().encode


class TimelineRecorder(Observer):
    """Counts requests per second, and records response times and waits.

    Call `flush` at the end.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._since = time.time()
        self._seconds: dict[int, SecondCounts] = {}
        self._permitted: int | None = None
        self._waits_until = 0.0
        self._latency = Histogram()
        # Seconds of all earlier waits, and the latest wait, which may end earlier than announced.
        self._waited = 0.0
        self._wait: tuple[float, float] | None = None

    def on_request(self, event: RequestEvent) -> None:
        """Count a request in the second in which it was sent."""
        second = int(event.sent_at)
        counts = self._seconds.get(second)
        if counts is None:
            self.flush()
            counts = self._seconds[second] = SecondCounts(at=second)
        if event.permitted:
            self._permitted = event.permitted
        counts.permitted = self._permitted
        counts.requests += 1
        status = event.status
        if status is None:
            counts.failed += 1
        elif not 200 <= status < 300:
            counts.rate_limited += event.rate_limited
            counts.failed += not event.rate_limited
        took = event.ended_at - event.sent_at
        # A request that timed out would have taken longer. Percentiles without it would hide that.
        # After other failures, and if the clock was set back, no response time is known.
        if (status is not None or event.failure in _TIME_OUTS) and took >= 0:
            self._latency.record(took)

    def on_wait(self, event: WaitEvent) -> None:
        """Record a wait. Requests that wait until about the same time count as one wait."""
        if event.until is None:
            return
        self._waited += self._waited_since(event.since)
        self._wait = (event.since, event.until)
        if event.until - event.since < WORTH_A_MARK:
            return
        if event.until - self._waits_until >= WORTH_A_MARK:
            self._waits_until = event.until
            self._writer.note(ADD_WAIT, Wait(since=event.since, until=event.until, reason=event.reason))
            self.flush()  # no other event may follow for a minute, and `status` should show the timeline

    def learnt(self, permitted: int | None) -> None:
        """Note the limit that was learnt from a 429, without headers."""
        self._permitted = permitted or self._permitted

    def flush(self) -> None:
        """Give the counts so far to the writer."""
        seconds, self._seconds = self._seconds, {}
        for counts in seconds.values():
            self._writer.note(ADD_SECOND, counts)
        waited = self._waited + self._waited_since(time.time())
        if seconds or waited:
            buckets = _encode(self._latency.pairs()).decode()
            self._writer.note(SET_LATENCY, LatencySums(since=self._since, buckets=buckets, waited=waited))

    def _waited_since(self, now: float) -> float:
        """Return the seconds of the latest wait so far."""
        if self._wait is None:
            return 0.0
        since, until = self._wait
        return max(min(until, now) - since, 0.0)
