"""Which window of the server a request was counted in, as far as the server's clock and the order of answers show it."""

from __future__ import annotations

import math
from typing import NamedTuple

from .clock import ServerClock


class Place(NamedTuple):
    """The windows in which a request can have been counted: the first and the last."""

    oldest: int
    newest: int

    @property
    def certain(self) -> bool:
        """Whether it is only one."""
        return self.oldest == self.newest


class WindowNumbers:
    """Numbers of windows: multiples of the period since the epoch of the server's clock.

    seen: the newest window whose counter was seen; 0 before that.
    """

    __slots__ = ("_clock", "_dated", "_period", "seen")

    def __init__(self, clock: ServerClock, period: float) -> None:
        self._clock = clock
        self._period = period
        # The newest window that a date has shown.
        self._dated: int | None = None
        self.seen = 0

    def read_date(self, date: float, sent: float, received: float) -> float | None:
        """The date in the numbering of the clock; None if it cannot be believed (ServerClock.observe)."""
        replacements = self._clock.replacements
        believed = self._clock.observe(date, sent, received)
        if believed is not None:
            number = math.floor(believed / self._period)
            if self._clock.replacements != replacements:
                self.seen = min(self.seen, number)
                self._dated = number
            elif self._dated is None or number > self._dated:
                self._dated = number
        return believed

    def at(self, local: float) -> int:
        """The window of this moment, at the earliest."""
        return math.floor(self._clock.earliest_server_time(local) / self._period + 1e-9)

    def of_request(self, now: float) -> int | None:
        """The earliest window that can count a request that is sent now: not before one that an answer has shown.

        None before the first answer.
        """
        return None if self._dated is None else max(self._dated, self.at(now))

    def place(self, sent_in: int | None, received: float, date: float | None) -> Place:
        """Where a request was counted.

        Args:
            sent_in: `of_request` when it was sent. Of the first request of all it is assumed that it was counted in
                the window that its answer shows: the guess that risks no 429.
            received: When its answer arrived.
            date: What `read_date` said of the answer, if it had a date.
        """
        shown = date if date is not None else self._clock.latest_server_time(received)
        newest = math.floor(shown / self._period)
        return Place(newest if sent_in is None else min(sent_in, newest), newest)
