"""The server's own counter, as far as its `Remaining` headers let us know it.

Keeps what was seen and answers one question: how many requests may certainly still be sent? It knows nothing of
clocks. The rule holds for every kind of limiter, because each of them only ever raises its counter by itself:

    A response is superseded once a request that was sent after it arrived has been answered, too: the later one
    was surely counted later. Of the responses not superseded, one was counted last; the lowest `Remaining` among
    them is at most what that one saw. All that can have been counted since is in flight now.

        free >= lowest Remaining among those not superseded - in flight

So out-of-order answers, a restart of the counter and a slow refill need no cases of their own. `restart` only saves
a round trip: it forgets at once what was seen before a restart that is known.
"""

from __future__ import annotations

import math

import msgspec

from .trailing import TrailingCount

#: Readings that are kept at most.
MOST_KEPT = 4096


class ServerCounter(msgspec.Struct):
    """What the answers not yet superseded say.

    Args:
        uncounted: Requests that ended and may have been counted, without saying what was left.
    """

    uncounted: TrailingCount
    _latest_sent: float = -math.inf
    # (received, remaining), remaining rising from left to right: the left one is the lowest that still counts.
    _lowest: list[tuple[float, int]] = []

    def __repr__(self) -> str:
        return f"<ServerCounter lowest={self.lowest} uncounted={self.uncounted.total}>"

    def __len__(self) -> int:
        """Entries in memory."""
        return len(self._lowest) + len(self.uncounted)

    @property
    def lowest(self) -> int | None:
        """The lowest `Remaining` not superseded; None if nothing has been seen."""
        return self._lowest[0][1] if self._lowest else None

    def saw(self, sent: float, received: float, remaining: int) -> None:
        """An answer arrived that said how many requests remain."""
        lowest = self._lowest
        while lowest and lowest[-1][1] >= remaining:
            lowest.pop()
        lowest.append((received, remaining))
        if len(lowest) > MOST_KEPT:
            # The lowest stays in force until the next one would have been superseded, too.
            low = lowest.pop(0)[1]
            lowest[0] = (lowest[0][0], low)
        if sent > self._latest_sent:
            self._latest_sent = sent
            while lowest and lowest[0][0] <= sent and len(lowest) > 1:
                lowest.pop(0)
            if self.uncounted.total:
                self.uncounted.forget(sent)

    def restart(self) -> None:
        """The counter has begun anew: forget what was seen before. Requests that may have been counted on either side
        of the restart are `missed` by the caller.
        """
        self._lowest.clear()

    def missed(self, now: float) -> None:
        """A request ended that may have been counted, but whose answer does not say what remains."""
        self.uncounted.add(now)

    def free(self, in_flight: int, foreign_share: float = 0.0) -> float:
        """Requests that may still be sent; below 1 means none for now.

        `foreign_share` is how many requests of others are expected for each of ours in flight.
        """
        if not self._lowest:
            return 0.0
        return self._lowest[0][1] - self.uncounted.total - in_flight * (1 + foreign_share)

    def refilled(self, now: float, per_second: float, highest: int, in_flight: int) -> float:
        """Like `free`, for a counter that is refilled at a known rate up to `highest`."""
        if not self._lowest:
            return 0.0
        self.uncounted.forget(now - highest / per_second)  # it is full again, whatever those have taken out
        lowest = min(remaining + per_second * (now - received) for received, remaining in self._lowest)
        return min(lowest, highest) - self.uncounted.total - in_flight
