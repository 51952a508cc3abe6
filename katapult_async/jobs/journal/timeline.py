"""The timeline of a run: what happened in which second and how long it took, gathered as it happens, written now and then.

An observer like any other. It is for the report, so it may lose its last second in a crash; what matters for going on
is recorded by the recorder, durably.
"""

from __future__ import annotations

import math
import time

import msgspec

from katapult_async.observer import Observer, RequestEvent, WaitEvent

from .group_commit import Writer, column
from .latency import Histogram

_SECOND = f"""
    INSERT INTO second SELECT {", ".join(map(column, range(5)))} FROM json_each(?) AS r WHERE TRUE
    ON CONFLICT (at) DO UPDATE SET
        requests = requests + excluded.requests,
        rate_limited = rate_limited + excluded.rate_limited,
        failed = failed + excluded.failed,
        permitted = coalesce(excluded.permitted, permitted)
"""
_WAIT = f"INSERT INTO wait SELECT {', '.join(map(column, range(3)))} FROM json_each(?) AS r"
# Always the sums since this chronicle began: a later row holds all that an earlier one did.
_LATENCY = f"""
    INSERT INTO latency SELECT {", ".join(map(column, range(3)))} FROM json_each(?) AS r WHERE TRUE
    ON CONFLICT (since) DO UPDATE SET buckets = excluded.buckets, waited = excluded.waited
"""
#: Seconds of waiting that are worth a mark in the report.
WORTH_A_MARK = 1.0
_encode = msgspec.json.Encoder().encode


class Chronicle(Observer):
    """Counts requests per second and how long they took, and notes the waits. Call `flush` at the end."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._since = time.time()
        # requests, 429s, failures and the permitted rate by second
        self._seconds: dict[int, list[int | None]] = {}
        self._permitted: int | None = None
        self._waits_until = 0.0
        self._latency = Histogram()
        # Seconds of the waits that are over, and the latest one: it may end earlier than was foreseen.
        self._waited = 0.0
        self._wait: tuple[float, float] | None = None

    def on_request(self, event: RequestEvent) -> None:
        """Count it in the second in which it was sent."""
        second = math.floor(event.sent_at)
        if second not in self._seconds:
            self.flush()
        counts = self._seconds.setdefault(second, [0, 0, 0, None])
        self._permitted = event.permitted or self._permitted
        succeeded = event.status is not None and 200 <= event.status < 300
        for index, one in enumerate((1, event.rate_limited, not (succeeded or event.rate_limited))):
            counts[index] = (counts[index] or 0) + one
        counts[3] = self._permitted
        took = event.ended_at - event.sent_at
        if (
            event.status is not None and took >= 0
        ):  # below 0 the clock was set back: nobody knows how long it took
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
            self._writer.note(_WAIT, (event.since, event.until, event.reason))
            self.flush()  # nothing more may happen for a minute, and somebody may ask where the run stands

    def learnt(self, permitted: int | None) -> None:
        """The permitted rate, where no header tells it."""
        self._permitted = permitted or self._permitted

    def flush(self) -> None:
        """Hand what has been gathered to the writer."""
        seconds, self._seconds = self._seconds, {}
        for at, counts in seconds.items():
            self._writer.note(_SECOND, (at, *counts))
        waited = self._waited + self._waited_since(time.time())
        if seconds or waited:
            self._writer.note(_LATENCY, (self._since, _encode(self._latency.pairs()).decode(), waited))

    def _waited_since(self, now: float) -> float:
        """Seconds of the latest wait until now."""
        if self._wait is None:
            return 0.0
        since, until = self._wait
        return max(min(until, now) - since, 0.0)
