"""The server's own counter: how many requests it certainly leaves, by the `Remaining` headers.

This module keeps readings (values of `X-Ratelimit-Remaining`) and knows nothing about clocks.
Responses can arrive in another order than the server counted them, so the latest reading is not
always the lowest. The rule below is right for every kind of limiter, because a counter goes down
only when the server counts a request.

A response is superseded once a request that was sent after its arrival has got a response, too: the
server counted the later request later. Among the responses not superseded is the one that was
counted last, and the lowest `Remaining` among them is at most what that one showed. Everything
counted since then is still in flight:

    free >= lowest Remaining among responses not superseded - in flight

So responses out of order, a restart of the counter and a slow refill need no special cases.
`restart` only saves one round trip: it forgets earlier readings at once when a restart is known.
"""

from __future__ import annotations

import math

import msgspec

from .trailing import TrailingCount

#: The highest number of readings in memory.
MOST_KEPT = 4096


class ServerCounter(msgspec.Struct):
    """The readings that are not superseded.

    Args:
        uncounted: Requests that ended without a reading and that the server may have counted.
    """

    uncounted: TrailingCount
    _latest_sent: float = -math.inf
    # (received, remaining) by rising `remaining`: the first one is the lowest in force.
    _lowest: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        return f"<ServerCounter lowest={self.lowest} uncounted={self.uncounted.total}>"

    def __len__(self) -> int:
        """Number of entries in memory."""
        return len(self._lowest) + len(self.uncounted)

    @property
    def lowest(self) -> int | None:
        """The lowest `Remaining` not superseded; None before the first reading."""
        return self._lowest[0][1] if self._lowest else None

    def add_reading(self, sent: float, received: float, remaining: int) -> None:
        """Add a reading.

        Args:
            sent: When the request was sent, local time in seconds.
            received: When the response arrived, local time in seconds.
            remaining: The value of `X-Ratelimit-Remaining`.
        """
        lowest = self._lowest
        while lowest and lowest[-1][1] >= remaining:
            lowest.pop()
        lowest.append((received, remaining))
        if len(lowest) > MOST_KEPT:
            # The lowest reading stays in force until the next one would have been superseded.
            low = lowest.pop(0)[1]
            lowest[0] = (lowest[0][0], low)
        if sent > self._latest_sent:
            self._latest_sent = sent
            while lowest and lowest[0][0] <= sent and len(lowest) > 1:
                lowest.pop(0)
            if self.uncounted.total:
                self.uncounted.forget(sent)

    def restart(self) -> None:
        """Forget all readings: the counter has restarted.

        The caller adds requests that may have been counted on either side of the restart with
        `add_unread`.
        """
        self._lowest.clear()

    def add_unread(self, now: float) -> None:
        """Count a request that ended without a reading. The server may have counted it."""
        self.uncounted.add(now)

    def free(self, in_flight: int, foreign_share: float = 0.0) -> float:
        """Return how many requests may still be sent. Below 1 means none for now.

        Args:
            in_flight: Our requests in flight.
            foreign_share: Expected requests of other clients for each of ours in flight.
        """
        if not self._lowest:
            return 0.0
        return self._lowest[0][1] - self.uncounted.total - in_flight * (1 + foreign_share)

    def refilled(self, now: float, per_second: float, highest: int, in_flight: int) -> float:
        """Like `free`, for a counter that rises at a known rate.

        Args:
            now: Local time, in seconds.
            per_second: How fast the counter rises.
            highest: Where it stops rising.
            in_flight: Our requests in flight.
        """
        if not self._lowest:
            return 0.0
        self.uncounted.forget(now - highest / per_second)  # the bucket has been full since then
        lowest = min(remaining + per_second * (now - received) for received, remaining in self._lowest)
        return min(lowest, highest) - self.uncounted.total - in_flight
