"""Whether the rate limit headers are believed, and for how long they are not after they were wrong.

Trust that is lost comes back: after some windows, or at once when it turns out that it was the clock that was wrong.
After a contradiction it comes back with caution: one request in flight at first, and twice as many for each window
without another contradiction. So headers that are wrong all the time cost a few 429s each time and not a wave of them.
"""

from __future__ import annotations

import math

import msgspec

#: Windows for which the headers are not believed after a 429 has contradicted them.
CONTRADICTED = 1
#: The same after the counter has not restarted at a boundary. Each time doubles it, up to a day of minutes.
NOT_ALIGNED, LONGEST = 30, 1440
#: Answers of the API in a row without headers after which the headers have stopped.
HEADERLESS = 3
#: Requests in flight from which on caution is over.
FREE_FROM = 1024


class Trust(msgspec.Struct):
    """Trust in the headers of one token.

    Args:
        period: The length of a window in seconds.
    """

    _period: float
    _until: float = -math.inf
    # How often the counter has not restarted at a boundary.
    _times: int = 0
    _headerless: int = 0
    # Which of the server's clocks was believed when trust was lost.
    _clock: int = 0
    # Since when the headers are believed again after a contradiction.
    _cautious_since: float = math.inf
    #: Whether `caution` limits anything.
    cautious: bool = False
    #: Whether it was a 429 that contradicted the headers the last time.
    contradicted: bool = False

    def lose(self, now: float, windows: int, clock: int) -> None:
        """The headers were wrong.

        Args:
            now: Local seconds.
            windows: CONTRADICTED or NOT_ALIGNED.
            clock: How often the server's clock has been replaced.
        """
        self.contradicted = windows == CONTRADICTED
        if not self.contradicted:
            windows = min(windows * 2**self._times, LONGEST)
            self._times = min(self._times + 1, 16)
        self._until = now + windows * self._period
        self._clock = clock

    def doubt(self, now: float) -> None:
        """A 429 was no consequence of what the headers had said."""
        self._cautious_since = now + CONTRADICTED * self._period
        self.cautious = True

    def lost(self, now: float, clock: int) -> bool:
        """An answer has headers. Whether they are not believed now."""
        self._headerless = 0
        return now < self._until and clock == self._clock

    def caution(self, now: float) -> float:
        """Requests in flight at most, because the headers were wrong some windows ago."""
        windows = int(max(0.0, now - self._cautious_since) / self._period)
        allowed = float(2 ** min(windows, 60))
        self.cautious = allowed < FREE_FROM
        return allowed

    def missing(self) -> bool:
        """An answer of the API had none. Whether they have stopped."""
        self._headerless += 1
        return self._headerless >= HEADERLESS
