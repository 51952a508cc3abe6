"""The gate is closed after a 429: until when the next single request has to wait.

Pure arithmetic on times that are passed in. It does not know why the request was refused.

A refusal never leads to an immediate resend. From the first refusal until a request is permitted again there is one
request at a time (a probe), and the pauses between probes double from one second. What the server or anybody's
belief says can only make a pause longer, with one exception: where a window is believed to begin, the pause may be as
short as the first one, because whoever comes later finds nothing left.
"""

from __future__ import annotations

import msgspec

#: The pause (seconds) after the first refusal; it doubles with each refused probe.
FIRST_PAUSE = 1.0
#: Once requests have been refused for a whole period, every second pause is this many periods.
LONGER = 1.05


class Closure(msgspec.Struct):
    """One closing of the gate.

    No pause is longer than half a period in the first period, unless Retry-After says so. At most six probes are refused
    in one period.
    """

    since: float
    _period: float
    sent: float
    answers: int
    _pause: float
    #: Not before this moment.
    until: float
    _refused_at: float
    # Whether the pause that goes on now was shortened, and from when on one may be again.
    _shorten_from: float
    _shortened: bool = False
    # Whether the pause that goes on now is longer than a period.
    _waited_long: bool = False
    #: Whether it has been found out why requests are refused.
    judged: bool = False

    @classmethod
    def start(cls, now: float, *, period: float, sent: float, answers: int) -> Closure:
        """Close the gate.

        Args:
            now: When the refusal arrived.
            period: The length of a rate window in seconds.
            sent: When the refused request was sent.
            answers: How many answers of the last period had arrived when it was sent.
        """
        pause = min(FIRST_PAUSE, period / 2)
        return cls(now, period, sent, answers, pause, now + pause, now, now)

    def refused_again(self, now: float) -> None:
        """A probe was refused, too."""
        self._pause = min(2 * self._pause, self._period / 2)
        if self._shortened:
            self._pause, self._shortened = self._period / 2, False
        self._refused_at = now
        self.until = now + self._pause
        window_over = self.since + self._period
        if now < window_over:
            self.begins_at(window_over)  # by then the window of the first refusal has ended
        elif not self._waited_long:
            # The server may count refused requests, too: then each probe blocks the next one, for a period.
            self.until = now + LONGER * self._period
        self._waited_long = now >= window_over and not self._waited_long

    def retry_after(self, seconds: float) -> None:
        """The server asks for a pause: not shorter than the own one, nor longer than a window."""
        self.until = max(self.until, self._refused_at + min(seconds, self._period))

    def begins_at(self, moment: float) -> None:
        """A window is believed to begin at this moment: a probe may go then. Once in a period."""
        at = max(moment, self._refused_at + min(FIRST_PAUSE, self._period / 2))
        if at < self.until and at >= self._shorten_from:
            self.until = at
            self._shortened = True
            self._shorten_from = at + self._period

    def pause_at_least(self, seconds: float) -> None:
        """No pause of this closing is shorter than this."""
        self._pause = max(self._pause, min(seconds, self._period / 4))
        self.until = max(self.until, self.since + self._pause)
