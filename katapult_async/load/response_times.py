"""Response times of a client's own requests, with the histograms of load tests.

For a bulk run, which has no load test around it. Waits for the rate limit do not count.
"""

from __future__ import annotations

from katapult_async.observer import Observer, RequestEvent

from .histogram import Histogram
from .recording import DONE


class ResponseTimes(Observer):
    """An observer that counts response times by operation and outcome.

        times = ResponseTimes()
        with client.session.watching(times):
            await client.disks.assign_many(pairs)
        print(times.of("POST /disks/disk/assign").percentile(99))

    Attributes:
        histograms: By operation (`POST /disks/disk/assign`) and outcome: `ok`, the code of an
            error of the API, `http_…` for another status, or the class of a transport error.
    """

    def __init__(self) -> None:
        self.histograms: dict[tuple[str, str], Histogram] = {}

    def __repr__(self) -> str:
        return f"<ResponseTimes {sum(one.total for one in self.histograms.values())} requests>"

    def on_request(self, event: RequestEvent) -> None:
        """Count one response time."""
        key = event.operation, _outcome(event)
        histogram = self.histograms.get(key)
        if histogram is None:
            histogram = self.histograms[key] = Histogram()
        histogram.record(event.ended_at - event.sent_at)

    def of(self, operation: str) -> Histogram:
        """Return the response times of an operation, of all outcomes together.

        Args:
            operation: Method and path, as in events.
        """
        found = Histogram()
        for (name, _), histogram in self.histograms.items():
            if name == operation:
                found.add(histogram)
        return found


def _outcome(event: RequestEvent) -> str:
    if event.failure is not None:
        return event.failure
    if event.status is not None and event.status < 300:
        return DONE
    return event.code or f"http_{event.status}"
