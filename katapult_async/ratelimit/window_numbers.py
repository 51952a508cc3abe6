"""Which window of the server a request was counted in, as far as the server's clock and the order of answers show it."""

from __future__ import annotations

import math

import msgspec

from .clock import ServerClock


class WindowNumbers(msgspec.Struct):
    """Numbers of windows: multiples of the period since the epoch of the server's clock."""

    clock: ServerClock
    # The newest window that a date has shown.
    _dated: int | None = None
    # Kept, because nearly all requests have the date of the one before, and are sent in the same window.
    _date: float = -math.inf
    _number: int = 0
    _known: int = -1
    _sent_in: int = 0
    _until: float = -math.inf
    #: The newest window whose counter was seen; 0 before that.
    seen: int = 0

    def read_date(self, date: float, sent: float, received: float) -> float | None:
        """The date in the numbering of the clock; None if it cannot be believed (ServerClock.observe)."""
        replacements = self.clock.replacements
        believed = self.clock.observe(date, sent, received)
        if believed is not None:
            if believed != self._date:
                self._date = believed
                self._number = math.floor(believed / self.clock.period)
            number = self._number
            if self.clock.replacements != replacements:
                self.seen = min(self.seen, number)
                self._dated = number
            elif self._dated is None or number > self._dated:
                self._dated = number
        return believed

    def at(self, local: float) -> int:
        """The window of this moment, at the earliest."""
        return math.floor(self.clock.earliest_server_time(local) / self.clock.period + 1e-9)

    def of_request(self, now: float) -> int | None:
        """The earliest window that can count a request that is sent now: not before one that an answer has shown.

        None before the first answer.
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
        """The windows in which a request can have been counted: the first and the last.

        Args:
            sent_in: `of_request` when it was sent. Of the first request of all it is assumed that it was counted in
                the window that its answer shows: the guess that risks no 429.
            sent: When it was sent.
            received: When its answer arrived.
            date: What `read_date` said of the answer, if it had a date.
        """
        if date is None:
            newest = math.floor(self.clock.latest_server_time(received) / self.clock.period)
        else:
            newest = self._number if date == self._date else math.floor(date / self.clock.period)
        if sent_in is None or sent_in >= newest:
            return newest, newest
        # After a long pause the clock was blunt when the request was sent, and its own answer has sharpened it.
        return min(max(sent_in, self.at(sent)), newest), newest
