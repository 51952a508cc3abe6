"""The closure: after a 429 the gate is closed, and one request at a time goes out as a probe.

Pure arithmetic on times that are passed in. It does not know why the server refused the request.

A 429 never leads to an immediate retry. From the first 429 until the server permits a request, at
most one probe is in flight, and the pauses between probes double from one second. Headers and
beliefs can make a pause longer. One thing can make it shorter: if a window is believed to start at
a certain moment, a probe may be sent at that moment, but at least one first pause after the last
429. A client that comes later would find nothing left.
"""

from __future__ import annotations

import msgspec

#: The pause (seconds) after the first 429. It doubles with each refused probe.
FIRST_PAUSE = 1.0
#: Once requests have been refused for a whole period, every second pause is this many periods long.
LONGER = 1.05


class Closure(msgspec.Struct):
    """One closure of the gate. Create it with `Closure.start`.

    In the first period no pause is longer than half a period, unless Retry-After asks for more. At
    most six probes are refused in one period.

    Attributes:
        since: When the first 429 arrived, local time in seconds.
        sent: When the first refused request was sent.
        responses: Responses of the last period that had arrived by then.
    """

    since: float
    _period: float
    sent: float
    responses: int
    _pause: float
    #: When the next probe may be sent.
    until: float
    _refused_at: float
    # From when on a pause may be shortened (again), and whether the current one was.
    _shorten_from: float
    _shortened: bool = False
    # Whether the current pause is longer than a period.
    _waited_long: bool = False
    #: Whether `Backoff.diagnose` has looked for the reason.
    diagnosed: bool = False

    @classmethod
    def start(cls, now: float, *, period: float, sent: float, responses: int) -> Closure:
        """Close the gate.

        Args:
            now: When the 429 arrived, local time in seconds.
            period: Length of a window, in seconds.
            sent: When the refused request was sent.
            responses: Responses of the last period that had arrived by then.
        """
        pause = min(FIRST_PAUSE, period / 2)
        return cls(now, period, sent, responses, pause, now + pause, now, now)

    def refused_again(self, now: float) -> None:
        """Double the pause: the server refused a probe, too."""
        self._pause = min(2 * self._pause, self._period / 2)
        if self._shortened:
            self._pause, self._shortened = self._period / 2, False
        self._refused_at = now
        self.until = now + self._pause
        window_over = self.since + self._period
        if now < window_over:
            self.allow_probe_at(window_over)  # the window of the first 429 has ended by then
        elif not self._waited_long:
            # The server may count refused requests, too. Then each probe blocks the next one for a
            # period.
            self.until = now + LONGER * self._period
        self._waited_long = now >= window_over and not self._waited_long

    def retry_after(self, seconds: float) -> None:
        """Wait at least as long as the server asks, but at most one period."""
        self.until = max(self.until, self._refused_at + min(seconds, self._period))

    def allow_probe_at(self, moment: float) -> None:
        """Allow a probe at the moment at which a window is believed to start, once in a period."""
        at = max(moment, self._refused_at + min(FIRST_PAUSE, self._period / 2))
        if at < self.until and at >= self._shorten_from:
            self.until = at
            self._shortened = True
            self._shorten_from = at + self._period

    def pause_at_least(self, seconds: float) -> None:
        """Make no pause of this closure shorter than this."""
        self._pause = max(self._pause, min(seconds, self._period / 4))
        self.until = max(self.until, self.since + self._pause)
