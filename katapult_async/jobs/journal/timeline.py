"""The timeline of a run: how many requests in which second, and how long they took.

Written now and then.

An observer like any other. The timeline is for the report, so a crash may lose its last second.
What matters for resuming the run is recorded durably by `steps.recorder`.
"""

from __future__ import annotations

import math
import time

import msgspec

from katapult_async.observer import Observer, RequestEvent, WaitEvent

from .group_commit import Writer
from .latency import Histogram
from .queries_sessions import ADD_SECOND, ADD_WAIT, SET_LATENCY, LatencySums, SecondCounts, Wait

#: Seconds of waiting that are worth a mark in the report.
WORTH_A_MARK = 1.0
_encode = msgspec.json.Encoder().encode


class TimelineRecorder(Observer):
    """Counts requests per second and how long they took, and notes the waits.

    Call `flush` at the end.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._since = time.time()
        self._seconds: dict[int, SecondCounts] = {}
        self._permitted: int | None = None
        self._waits_until = 0.0
        self._latency = Histogram()
        # Seconds of the waits that are over, and the latest one: it may end earlier than was
        # foreseen.
        self._waited = 0.0
        self._wait: tuple[float, float] | None = None

    def on_request(self, event: RequestEvent) -> None:
        """Count it in the second in which it was sent."""
        second = math.floor(event.sent_at)
        if second not in self._seconds:
            self.flush()
            self._seconds[second] = SecondCounts(at=second)
        counts = self._seconds[second]
        self._permitted = event.permitted or self._permitted
        succeeded = event.status is not None and 200 <= event.status < 300
        counts.requests += 1
        counts.rate_limited += event.rate_limited
        counts.failed += not (succeeded or event.rate_limited)
        counts.permitted = self._permitted
        took = event.ended_at - event.sent_at
        # Below 0 the clock was set back, and nobody knows how long it took.
        if event.status is not None and took >= 0:
            self._latency.record(took)

    def on_wait(self, event: WaitEvent) -> None:
        """Note it, once for all requests that wait for the same."""
        if event.until is None:
            return
        self._waited += self._waited_since(event.since)
        self._wait = (event.since, event.until)
        if event.until - event.since < WORTH_A_MARK:
            return
        if event.until - self._waits_until >= WORTH_A_MARK:
            self._waits_until = event.until
            self._writer.note(ADD_WAIT, Wait(since=event.since, until=event.until, reason=event.reason))
            self.flush()  # nothing more may happen for a minute, and somebody may ask where the run stands

    def learnt(self, permitted: int | None) -> None:
        """The permitted rate, where no header tells it."""
        self._permitted = permitted or self._permitted

    def flush(self) -> None:
        """Hand what has been gathered to the writer."""
        seconds, self._seconds = self._seconds, {}
        for counts in seconds.values():
            self._writer.note(ADD_SECOND, counts)
        waited = self._waited + self._waited_since(time.time())
        if seconds or waited:
            buckets = _encode(self._latency.pairs()).decode()
            self._writer.note(SET_LATENCY, LatencySums(since=self._since, buckets=buckets, waited=waited))

    def _waited_since(self, now: float) -> float:
        """Seconds of the latest wait until now."""
        if self._wait is None:
            return 0.0
        since, until = self._wait
        return max(min(until, now) - since, 0.0)
