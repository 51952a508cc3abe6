"""What a load test measures while it runs. Pure: takes times and counts, awaits nothing.

Two recordings add up to the one that had seen all calls of both.
"""

from __future__ import annotations

from .call import Call
from .histogram import Histogram

#: Significant digits of the histograms of one second.
COARSE = 2
#: The outcome of a call that did what it should.
DONE = "ok"
#: The outcome of a call that still waited for a permit or a free disk when the test ended.
NOT_SENT = "not_sent"


class Series:
    """The durations of one operation with one outcome.

    Attributes:
        latency: From when the call was due to its end.
        service: From each permit to its response, all requests of the call together.
        wait: For permits.
    """

    __slots__ = ("latency", "service", "wait")

    def __init__(self) -> None:
        self.latency = Histogram()
        self.service = Histogram()
        self.wait = Histogram()

    def add(self, other: Series) -> None:
        """Add the durations of another series."""
        self.latency.add(other.latency)
        self.service.add(other.service)
        self.wait.add(other.wait)


class Second:
    """One second of the test.

    Attributes:
        offered: Calls that were due in it.
        ended: Calls that ended in it, whenever they were due.
        failed: Those of them whose outcome is not ok.
        rate_limited: 429s of those calls.
        latency: Latency of the calls that were due in it, by operation.
    """

    __slots__ = ("ended", "failed", "latency", "offered", "rate_limited")

    def __init__(self) -> None:
        self.offered = 0
        self.ended = 0
        self.failed = 0
        self.rate_limited = 0
        self.latency: dict[str, Histogram] = {}

    def add(self, other: Second) -> None:
        """Add the counts of the same second elsewhere."""
        self.offered += other.offered
        self.ended += other.ended
        self.failed += other.failed
        self.rate_limited += other.rate_limited
        for operation, latency in other.latency.items():
            self.latency_of(operation).add(latency)

    def latency_of(self, operation: str) -> Histogram:
        """Return the histogram of an operation."""
        found = self.latency.get(operation)
        if found is None:
            found = self.latency[operation] = Histogram(COARSE)
        return found


class Recording:
    """All that a load test measures.

    Attributes:
        series: Durations by operation and outcome.
        lag: By how much calls started late, because this client was busy.
        queued: Time that calls waited for a free disk.
        seconds: The seconds of the test, by number from 0.
        offered: Calls that were due.
        requests: Requests sent.
        rate_limited: Requests that got a 429.
        full: Calls that started late, because max_in_flight was reached.
    """

    def __init__(self) -> None:
        self.series: dict[tuple[str, str], Series] = {}
        self.lag = Histogram()
        self.queued = Histogram()
        self.seconds: dict[int, Second] = {}
        self.offered = 0
        self.requests = 0
        self.rate_limited = 0
        self.full = 0

    def second(self, at: float) -> Second:
        """Return the second that contains a time, in seconds from the start."""
        number = int(at // 1)
        found = self.seconds.get(number)
        if found is None:
            found = self.seconds[number] = Second()
        return found

    def due(self, at: float) -> None:
        """Count a call that is due at `at`, in seconds from the start."""
        self.offered += 1
        self.second(at).offered += 1

    def ended(self, call: Call, outcome: str, *, due: float, end: float) -> None:
        """Record a call that was due in the measured time.

        Args:
            call: The call.
            outcome: Its outcome: ok, or the code of an error.
            due: When it was due, in seconds from the start.
            end: When it ended, in seconds from the start.
        """
        key = call.operation, outcome
        series = self.series.get(key)
        if series is None:
            series = self.series[key] = Series()
        latency = end - due
        series.latency.record(latency)
        if call.requests:
            series.service.record(call.service)
        series.wait.record(call.waited)
        if call.queued:
            self.queued.record(call.queued)
        self.requests += call.requests
        self.rate_limited += call.rate_limited
        self.second(due).latency_of(call.operation).record(latency)

    def throughput(self, call: Call, outcome: str, *, end: float) -> None:
        """Count a call that ended at `end` seconds from the start, whenever it was due."""
        second = self.second(end)
        second.ended += 1
        second.failed += outcome != DONE
        second.rate_limited += call.rate_limited

    def add(self, other: Recording) -> None:
        """Add what another process has measured in the same seconds."""
        for key, series in other.series.items():
            self.series.setdefault(key, Series()).add(series)
        self.lag.add(other.lag)
        self.queued.add(other.queued)
        for number, second in other.seconds.items():
            self.second(number).add(second)
        self.offered += other.offered
        self.requests += other.requests
        self.rate_limited += other.rate_limited
        self.full += other.full

    def total(self) -> Series:
        """Return the durations of all operations and outcomes together."""
        together = Series()
        for series in self.series.values():
            together.add(series)
        return together

    def outcomes(self) -> dict[str, int]:
        """Return the number of calls by outcome."""
        counts: dict[str, int] = {}
        for (_, outcome), series in self.series.items():
            counts[outcome] = counts.get(outcome, 0) + series.latency.total
        return counts
