"""Whether the rate limit headers are believed, and for how long they are not after they were wrong.

Trust that is lost comes back: after some windows, each time after twice as many; or at once when it turns out that it
was the clock that was wrong.
"""

from __future__ import annotations

import math

#: Windows for which the headers are not believed: after a 429 has contradicted them, and after the counter has not
#: restarted at a boundary. Each time doubles it, up to a day of minutes.
CONTRADICTED, NOT_ALIGNED, LONGEST = 1, 30, 1440
#: Answers of the API in a row without headers after which the headers have stopped.
HEADERLESS = 3


class Trust:
    """Trust in the headers of one token. `contradicted`: it was a 429 that contradicted them the last time."""

    __slots__ = ("_clock", "_headerless", "_period", "_times", "_until", "contradicted")

    def __init__(self, period: float) -> None:
        self._period = period
        self._until = -math.inf
        self._times = 0
        self._headerless = 0
        # Which of the server's clocks was believed when trust was lost.
        self._clock = 0
        self.contradicted = False

    def lose(self, now: float, windows: int, clock: int) -> None:
        """The headers were wrong.

        Args:
            now: Local seconds.
            windows: CONTRADICTED or NOT_ALIGNED.
            clock: How often the server's clock has been replaced.
        """
        self.contradicted = windows == CONTRADICTED
        self._until = now + min(windows * 2**self._times, LONGEST) * self._period
        self._times = min(self._times + 1, 16)
        self._clock = clock

    def lost(self, now: float, clock: int) -> bool:
        """Whether the headers are not believed now."""
        return now < self._until and clock == self._clock

    def present(self) -> None:
        """An answer had headers."""
        self._headerless = 0

    def missing(self) -> bool:
        """An answer of the API had none. Whether they have stopped."""
        self._headerless += 1
        return self._headerless >= HEADERLESS
