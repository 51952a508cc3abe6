"""The number of the server's window in which a request was counted.

Derives it from the server's clock and from the order of responses. It does not know what the
windows permit.
"""

from __future__ import annotations

import math

import msgspec

from .clock import ServerClock


class WindowNumbers(msgspec.Struct):
    """Numbers of windows: whole periods since the epoch of the server's clock.

    Args:
        clock: The server's clock.
    """

    clock: ServerClock
    # The newest window that a `Date` has shown.
    _dated: int | None = None
    # Cached, because nearly all responses repeat the date of the previous one, and nearly all
    # requests are sent in the same window.
    _date: float = -math.inf
    _number: int = 0
    _known: int = -1
    _sent_in: int = 0
    _until: float = -math.inf
    # The last `Date`, when it was read, and the span of time in which it tells nothing new while
    # the clock has this version.
    _same: float = -math.inf
    _same_read: float = math.inf
    _same_from: float = math.inf
    _same_until: float = -math.inf
    _same_version: int = -1
    #: The newest window whose counter was read; 0 before the first reading.
    newest_read: int = 0

    def read_date(self, date: float, sent: float, received: float) -> float | None:
        """Return the date in the numbering of the clock, or None if it is set aside.

        Args:
            date: The `Date` of the response, Unix time in seconds.
            sent: When the request was sent, local time in seconds.
            received: When the response arrived, local time in seconds.
        """
        replacements = self.clock.replacements
        self._same, self._same_until = date, -math.inf
        believed = self.clock.observe(date, sent, received)
        if believed is not None:
            if believed != self._date:
                self._date = believed
                self._number = math.floor(believed / self.clock.period)
            number = self._number
            if self.clock.replacements != replacements:
                self.newest_read = min(self.newest_read, number)
                self._dated = number
            elif self._dated is None or number > self._dated:
                self._dated = number
            self._same_read = received
            self._same_from, self._same_until = self.clock.unchanged_within(believed, received)
            self._same_version = self.clock.version
        return believed

    def repeats(self, date: float | None, sent_in: int, sent: float, received: float) -> bool:
        """Return whether a response says only that its request was counted in `newest_read`.

        `read_date` would change nothing then.

        Args:
            date: The `Date` of the response, Unix time in seconds; None if it had none.
            sent_in: `of_request` when the request was sent.
            sent: When the request was sent, local time in seconds.
            received: When the response arrived, local time in seconds.
        """
        clock = self.clock
        return (
            date == self._same
            and sent_in == self._number == self.newest_read
            and sent >= self._same_from
            and self._same_read <= received < self._same_until
            and received - sent >= clock.round_trip
            and clock.version == self._same_version
        )

    def at(self, local: float) -> int:
        """Return the earliest window in which the server can be at this local time."""
        return math.floor(self.clock.earliest_server_time(local) / self.clock.period + 1e-9)

    def of_request(self, now: float) -> int | None:
        """Return the earliest window that can count a request sent now; None if unknown.

        It is never older than a window that a response has shown.
        """
        if self._dated is None:
            return None
        clock = self.clock
        if now >= self._until or clock.version != self._known:
            self._sent_in = self.at(now)
            self._until = clock.latest_local_time((self._sent_in + 1) * self.clock.period)
            self._known = clock.version
        return self._sent_in if self._sent_in > self._dated else self._dated

    def place(self, sent_in: int | None, sent: float, received: float, date: float | None) -> tuple[int, int]:
        """Return the first and the last window in which the server can have counted a request.

        Args:
            sent_in: `of_request` when the request was sent. It is None for the first request, which
                is assumed to be counted in the window that its response shows. This guess risks no
                429.
            sent: When the request was sent, local time in seconds.
            received: When the response arrived, local time in seconds.
            date: What `read_date` returned for the response, if it had a date.
        """
        if date is None:
            newest = math.floor(self.clock.latest_server_time(received) / self.clock.period)
        else:
            newest = self._number if date == self._date else math.floor(date / self.clock.period)
        if sent_in is None or sent_in >= newest:
            return newest, newest
        # After a long pause the clock was imprecise when the request was sent. Its response has
        # made it precise again.
        return min(max(sent_in, self.at(sent)), newest), newest
