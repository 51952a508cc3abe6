"""The server's clock, known from its `Date` headers to a fraction of a second.

Pure arithmetic on times that are passed in; sends nothing and waits for nothing.

A response sent for at `sent` and received at `received` (local clock) whose `Date` is D says: at some moment
between the two, the server's clock stood in [D, D + 1). So the offset (server minus local) lies in
(D - received, D + 1 - sent). Every response gives such an interval; their intersection shrinks towards the round
trip as soon as responses fall on both sides of a change of second.
"""

from __future__ import annotations

import math

#: Two good quartz clocks drift apart by less than this (seconds a second); the interval widens by it with time.
DRIFT = 1e-4


class ServerClock:
    """An interval for the offset between the server's clock and ours, and the questions it answers."""

    __slots__ = ("_at", "_high", "_low", "_round_trip")

    def __init__(self) -> None:
        self._low = -math.inf
        self._high = math.inf
        self._at = 0.0
        self._round_trip = math.inf

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

    def observe(self, date: float, sent: float, received: float) -> None:
        """Take in a response with this `Date` (unix seconds)."""
        aged = DRIFT * max(0.0, received - self._at)
        low, high = date - received, date + 1 - sent
        self._low = max(self._low - aged, low)
        self._high = min(self._high + aged, high)
        self._at = received
        self._round_trip = min(self._round_trip, received - sent)
        if self._low >= self._high:
            # A clock was set, or another server answered: start again from what was seen last.
            self._low, self._high = low, high

    def earliest_server_time(self, local: float) -> float:
        """The server's clock stands at this or later when ours stands at `local`."""
        return local + self._low

    def latest_local_time(self, server: float) -> float:
        """When our clock stands here, the server's has surely reached `server`."""
        return server - self._low

    def earliest_local_time(self, server: float) -> float:
        """Before our clock stands here, the server's has surely not reached `server`."""
        return server - self._high

    def informative_time(self, now: float) -> float:
        """The next moment (local) at which a request would halve the uncertainty: its `Date` shows on which side
        of a change of second it was answered.
        """
        middle = (self._low + self._high) / 2
        travel = self._round_trip / 2
        return math.ceil(now + travel + middle) - middle - travel
