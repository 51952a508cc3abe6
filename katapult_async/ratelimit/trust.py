"""Whether the rate limit headers are trusted, and for how long they are ignored otherwise.

Headers are ignored for some windows, and trusted again afterwards. They are trusted again at once
if the server's clock turns out to have been the error. After a 429 contradicted the headers, trust
returns with caution: one request in flight at first, and twice as many for each window without
another contradiction. So headers that are always wrong cost a few 429s each time, and never a wave
of them.

This module keeps the time. It does not compare headers with responses: `window` and `aligned` do.
"""

from __future__ import annotations

import math

import msgspec

#: Number of windows for which headers are ignored after a 429 contradicted them.
CONTRADICTED = 1
#: The same after the counter did not restart at a boundary. Each time doubles it, up to 1,440.
NOT_ALIGNED, LONGEST = 30, 1440
#: Number of responses without headers in a row after which the headers have stopped.
HEADERLESS = 3
#: Number of requests in flight from which on caution ends.
FREE_FROM = 1024


class Trust(msgspec.Struct):
    """Trust in the headers of one token.

    Args:
        period: Length of a window, in seconds.
    """

    _period: float
    _until: float = -math.inf
    # How often the counter did not restart at a boundary.
    _misalignments: int = 0
    _headerless: int = 0
    # Number of clock replacements (`ServerClock.replacements`) when trust was lost.
    _clock: int = 0
    # When the headers are trusted again after a contradiction.
    _cautious_since: float = math.inf
    #: Whether `caution` limits requests in flight.
    cautious: bool = False
    #: Whether a 429 was the last reason to ignore the headers.
    contradicted: bool = False

    def withdraw(self, now: float, windows: int, clock: int) -> None:
        """Ignore the headers for a while.

        Args:
            now: Local time, in seconds.
            windows: CONTRADICTED or NOT_ALIGNED.
            clock: Number of clock replacements.
        """
        self.contradicted = windows == CONTRADICTED
        if not self.contradicted:
            windows = min(windows * 2**self._misalignments, LONGEST)
            self._misalignments = min(self._misalignments + 1, 16)
        self._until = now + windows * self._period
        self._clock = clock

    def start_caution(self, now: float) -> None:
        """Start caution: the headers did not predict a 429."""
        self._cautious_since = now + CONTRADICTED * self._period
        self.cautious = True

    def is_withdrawn(self, now: float, clock: int) -> bool:
        """Return whether the headers are ignored now. Also reset the count of missing headers.

        Args:
            now: Local time, in seconds.
            clock: Number of clock replacements.
        """
        self._headerless = 0
        return now < self._until and clock == self._clock

    def caution(self, now: float) -> float:
        """Return how many requests may be in flight after the headers were wrong."""
        windows = int(max(0.0, now - self._cautious_since) / self._period)
        allowed = float(2 ** min(windows, 60))
        self.cautious = allowed < FREE_FROM
        return allowed

    def note_missing_headers(self) -> bool:
        """Count a response without headers. Return whether the headers have stopped."""
        self._headerless += 1
        return self._headerless >= HEADERLESS
