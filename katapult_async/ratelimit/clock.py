"""The server's clock, known from its `Date` headers to a fraction of a second.

Pure arithmetic on times that are passed in; sends nothing and waits for nothing.

A response sent for at `sent` and received at `received` (local clock) whose `Date` is D says: at some moment
between the two, the server's clock stood in [D, D + 1). So the offset (server minus local) lies in
(D - received, D + 1 - sent). Every response gives such an interval; their intersection shrinks towards the round
trip as soon as responses fall on both sides of a change of second.

A `Date` is evidence, not truth. Only where a window begins matters, so a date that is wrong by whole windows (by a
day, an hour, five minutes) is not wrong at all. An interval that contradicts what is known is set aside. Several
that agree with each other, and show a clock that moves, replace it. Each replacement doubles how many must agree, so
that two servers with different clocks behind one address do not make the client change its mind for ever.
"""

from __future__ import annotations

import math

import msgspec

#: Two good quartz clocks drift apart by less than this (seconds a second); the interval widens by it with time.
DRIFT = 1e-4
#: Seconds (the resolution of a date) by which a boundary is entered later after it was entered too early.
SET_BACK = 1.0
#: Contradicting answers that must agree with each other before they replace what is known: at first, and at most.
FEWEST_AGREEING, MOST_AGREEING = 4, 64


class _Doubt(msgspec.Struct):
    """Answers that contradict the clock and agree with each other."""

    low: float
    high: float
    _first: float
    count: int = 1
    #: Whether two of them differ in their dates: a proxy that keeps an old answer shows one for ever.
    moves: bool = False

    def agrees(self, low: float, high: float, date: float) -> bool:
        """Count one more, if it agrees with those before."""
        low, high = max(self.low, low), min(self.high, high)
        if low >= high:
            return False
        self.low, self.high = low, high
        self.count += 1
        self.moves = self.moves or date != self._first
        return True


class ServerClock(msgspec.Struct):
    """An interval for the offset between the server's clock and ours, and the questions it answers.

    Args:
        period: The length of the server's rate window in seconds. Server times are known up to multiples of it.
    """

    period: float = 60.0
    _low: float = -math.inf
    _high: float = math.inf
    # Since when each end is known: it moves outwards with time.
    _low_at: float = 0.0
    _high_at: float = 0.0
    _round_trip: float = math.inf
    # Answers that agree with the interval, counted as far as it matters.
    _support: int = 0
    _doubt: _Doubt | None = None
    _needed: int = FEWEST_AGREEING
    #: How often the answers have shown that the clock is another one than was believed.
    replacements: int = 0
    #: Changes whenever `earliest_server_time` does.
    version: int = 0

    def __repr__(self) -> str:
        if not self.known:
            return "<ServerClock unknown>"
        return f"<ServerClock offset {self._low:.3f}..{self._high:.3f} s>"

    @property
    def known(self) -> bool:
        """Whether a single `Date` has been seen."""
        return self._low > -math.inf

    @property
    def uncertainty(self) -> float:
        """Width of the interval in seconds."""
        return self._high - self._low

    @property
    def round_trip(self) -> float:
        """The shortest time (seconds) between a request and its answer."""
        return self._round_trip

    @property
    def blunt(self) -> bool:
        """Whether a well-timed request would tell noticeably more about the clock."""
        return self.known and self.uncertainty > max(0.05, 2 * self._round_trip)

    def observe(self, date: float, sent: float, received: float) -> float | None:
        """Take in a response.

        Args:
            date: The `Date` of the response, unix seconds.
            sent: When its request was sent, local seconds.
            received: When it arrived, local seconds.

        Returns:
            The date in the numbering of this clock, or None if it contradicts what is known.
        """
        if received - sent < self._round_trip:
            self._round_trip = received - sent
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
            self._doubt = None
            return date
        if low < known_high + 1 and high > known_low - 1:
            # By less than the resolution of a date: set back a little, perhaps. Believe both for now, which makes the
            # client enter a window later and never earlier. The next answers sharpen it again.
            self._low, self._high, self._low_at, self._high_at = (
                min(low, known_low),
                max(high, known_high),
                received,
                received,
            )
            self.version += 1
            return date
        doubt = self._doubt
        if doubt is None or not doubt.agrees(low, high, date):
            doubt = self._doubt = _Doubt(low, high, date)
        if not doubt.moves or doubt.count < min(self._support + 1, self._needed):
            return None
        self._low, self._high, self._low_at, self._high_at = doubt.low, doubt.high, received, received
        self.version += 1
        self._support, self._doubt = doubt.count, None
        self._needed = min(2 * self._needed, MOST_AGREEING)
        self.replacements += 1
        return date

    def too_early(self, now: float) -> None:
        """The server's clock had not reached what it surely should have: it was set back by a little."""
        self._low -= SET_BACK
        self._low_at = now
        self.version += 1

    def earliest_server_time(self, local: float) -> float:
        """The server's clock stands at this or later when ours stands at `local`."""
        return local + self._low - DRIFT * abs(local - self._low_at)

    def latest_server_time(self, local: float) -> float:
        """The server's clock stands at this or earlier when ours stands at `local`."""
        return local + self._high + DRIFT * abs(local - self._high_at)

    def latest_local_time(self, server: float) -> float:
        """When our clock stands here, the server's has surely reached `server`."""
        local = server - self._low
        return local + max(0.0, local - self._low_at) * DRIFT / (1 - DRIFT)

    def earliest_local_time(self, server: float) -> float:
        """Before our clock stands here, the server's has surely not reached `server`."""
        local = server - self._high
        return local - max(0.0, local - self._high_at) * DRIFT / (1 + DRIFT)

    def informative_time(self, now: float) -> float:
        """The next moment (local) at which a request would halve the uncertainty: its `Date` shows on which side
        of a change of second it was answered.
        """
        middle = (self._low + self._high) / 2
        travel = self._round_trip / 2
        return math.ceil(now + travel + middle) - middle - travel
