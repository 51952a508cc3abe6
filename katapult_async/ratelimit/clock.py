"""The server's clock, estimated from `Date` headers to a fraction of a second.

This module is pure arithmetic on times that are passed in. It sends nothing and waits for nothing.

A `Date` has whole seconds. If a request is sent at `sent`, its response arrives at `received`
(local clock) and its `Date` is D, then the server's clock was in [D, D + 1) at some moment between
the two. So the offset (server clock minus local clock) lies in

    (D - received, D + 1 - sent)

Every response gives such an interval. The intersection of the intervals shrinks to about one round
trip once responses fall on both sides of a change of second.

A `Date` is evidence and can be wrong. Only the start of a window matters, so an error of whole
windows (a day, an hour, five minutes) does no harm. An interval that contradicts the known one is
set aside. Several set-aside intervals replace the known one if they agree with each other and their
dates move. Each replacement doubles the number that must agree. So two servers with different
clocks behind one address cannot make the client switch between them for ever.
"""

from __future__ import annotations

import math

import msgspec

#: Two quartz clocks drift apart by less than this (seconds a second). The interval widens by it
#: with time.
DRIFT = 1e-4
#: Seconds (the resolution of a `Date`) by which the next boundary moves after a request came too
#: early.
SET_BACK = 1.0
#: Number of contradicting responses that must agree before they replace the interval: at first, and
#: at most.
FEWEST_AGREEING, MOST_AGREEING = 4, 64
#: Seconds by which `unchanged_within` is shorter at each end, so that no rounding matters.
EARLY = 1e-4


class _Contradiction(msgspec.Struct):
    """Responses that contradict the known interval and agree with each other."""

    low: float
    high: float
    _first: float
    count: int = 1
    #: Whether two of them have different dates. A proxy that caches a response repeats its date for
    #: ever.
    moves: bool = False

    def agrees(self, low: float, high: float, date: float) -> bool:
        """Count one more response and return True, if it agrees with those before."""
        low, high = max(self.low, low), min(self.high, high)
        if low >= high:
            return False
        self.low, self.high = low, high
        self.count += 1
        self.moves = self.moves or date != self._first
        return True


class ServerClock(msgspec.Struct):
    """An interval for the offset between the server's clock and the local one.

    Args:
        period: Length of the server's rate window, in seconds. Server times are known up to
            multiples of it.
    """

    period: float = 60.0
    _low: float = -math.inf
    _high: float = math.inf
    # When each end was measured. Each end moves outwards with time.
    _low_at: float = 0.0
    _high_at: float = 0.0
    #: The shortest time between a request and its response, in seconds.
    round_trip: float = math.inf
    # Number of responses that agree with the interval, up to MOST_AGREEING.
    _support: int = 0
    _contradiction: _Contradiction | None = None
    _needed: int = FEWEST_AGREEING
    #: How often contradicting responses have replaced the interval.
    replacements: int = 0
    #: Changes whenever `earliest_server_time` changes.
    version: int = 0

    def __repr__(self) -> str:
        if not self.known:
            return "<ServerClock unknown>"
        return f"<ServerClock offset {self._low:.3f}..{self._high:.3f} s>"

    @property
    def known(self) -> bool:
        """Whether at least one `Date` was read."""
        return self._low > -math.inf

    @property
    def uncertainty(self) -> float:
        """Width of the interval, in seconds."""
        return self._high - self._low

    @property
    def imprecise(self) -> bool:
        """Whether a request at a well-chosen moment would narrow the interval noticeably."""
        return self.known and self.uncertainty > max(0.05, 2 * self.round_trip)

    def observe(self, date: float, sent: float, received: float) -> float | None:
        """Process the `Date` of a response.

        Args:
            date: The `Date`, Unix time in seconds.
            sent: When the request was sent, local time in seconds.
            received: When the response arrived, local time in seconds.

        Returns:
            The date in the numbering of this clock, or None if it contradicts the known interval.
        """
        if received - sent < self.round_trip:
            self.round_trip = received - sent
        if self._support:
            behind = (sent + received + self._low + self._high) / 2 - date
            if not -self.period < 2 * behind < self.period:
                date += round(behind / self.period) * self.period
        low, high = date - received, date + 1 - sent
        known_low = self._low - DRIFT * (received - self._low_at)
        known_high = self._high + DRIFT * (received - self._high_at)
        if low < known_high and high > known_low:
            if low > known_low:
                self._low, self._low_at = low, received
                self.version += 1
            if high < known_high:
                self._high, self._high_at = high, received
            self._support += self._support < MOST_AGREEING
            self._contradiction = None
            return date
        if low < known_high + 1 and high > known_low - 1:
            # The contradiction is smaller than the resolution of a `Date`: the server's clock may
            # have been set back a little. Accept both for now. The client then enters a window
            # later, never earlier, and the next responses narrow the interval again.
            self._low, self._high, self._low_at, self._high_at = (
                min(low, known_low),
                max(high, known_high),
                received,
                received,
            )
            self.version += 1
            return date
        contradiction = self._contradiction
        if contradiction is None or not contradiction.agrees(low, high, date):
            contradiction = self._contradiction = _Contradiction(low, high, date)
        if not contradiction.moves or contradiction.count < min(self._support + 1, self._needed):
            return None
        self._low, self._high, self._low_at, self._high_at = (
            contradiction.low,
            contradiction.high,
            received,
            received,
        )
        self.version += 1
        self._support, self._contradiction = contradiction.count, None
        self._needed = min(2 * self._needed, MOST_AGREEING)
        self.replacements += 1
        return date

    def unchanged_within(self, date: float, received: float) -> tuple[float, float]:
        """Return the span of time in which the same date again tells this clock nothing.

        It holds for requests that are sent after its start, answered before its end and after
        `received`, and take at least `round_trip`, while `version` stays the same.

        Args:
            date: What `observe` has just returned.
            received: When the response arrived, local time in seconds.

        Returns:
            Start and end, local time in seconds. The end comes first if there is no such span.
        """
        if self._support < MOST_AGREEING or self._contradiction is not None:
            return math.inf, -math.inf
        # The later a response with this date arrives, the less it says about the lower end of the
        # interval. The upper end is narrowed by a request sent close to the change of second.
        narrows = (date + 1 - self._high + DRIFT * self._high_at) / (1 + DRIFT)
        # Outside of these times `observe` might take the date for one of another window.
        twice = 2 * date - self._low - self._high
        start = twice - self.period - received
        return start + EARLY, min(narrows, (twice + self.period) / 2) - EARLY

    def set_back(self, now: float) -> None:
        """Move the interval: the server's clock reached a boundary later than it should have."""
        self._low -= SET_BACK
        self._low_at = now
        self.version += 1

    def earliest_server_time(self, local: float) -> float:
        """Return the earliest time that the server's clock can show at this local time."""
        return local + self._low - DRIFT * abs(local - self._low_at)

    def latest_server_time(self, local: float) -> float:
        """Return the latest time that the server's clock can show at this local time."""
        return local + self._high + DRIFT * abs(local - self._high_at)

    def latest_local_time(self, server: float) -> float:
        """Return the local time at which the server's clock has certainly reached `server`."""
        local = server - self._low
        return local + max(0.0, local - self._low_at) * DRIFT / (1 - DRIFT)

    def earliest_local_time(self, server: float) -> float:
        """Return the local time before which the server's clock has not reached `server`."""
        local = server - self._high
        return local - max(0.0, local - self._high_at) * DRIFT / (1 + DRIFT)

    def informative_time(self, now: float) -> float:
        """Return the next local time at which a request would halve the uncertainty.

        The `Date` of its response shows on which side of a change of second the server sent it.
        """
        middle = (self._low + self._high) / 2
        travel = self.round_trip / 2
        return math.ceil(now + travel + middle) - middle - travel
