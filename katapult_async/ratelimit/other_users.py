"""Usage of other clients with the same token, as the server's counter shows it.

Whatever has gone from the counter and was not ours was theirs. This module counts and compares. It
does not decide about sending.
"""

from __future__ import annotations

import msgspec

#: Above this many foreign requests for each of ours, another client is using the token.
FOREIGN = 0.05
#: After this many windows in a row that seem used up by others, the belief about the boundary is
#: wrong.
MOST_WINDOWS_LOST = 5
#: Responses in one window that are needed to compute the share of other clients.
FEWEST_RESPONSES = 8


class OtherUsers(msgspec.Struct):
    """What the readings of the server's counter show about other clients."""

    _number: int | None = None
    _highest: int = 0
    _lowest: int = 0
    _ours: int = 0
    #: Requests of other clients for each of ours.
    share: float = 0.0
    #: Whether another client had used the newest window before our first request in it.
    arrived_first: bool = False
    #: Windows in a row that other clients had used up before our first request in them.
    windows_lost: int = 0

    def __repr__(self) -> str:
        return f"<OtherUsers share={self.share:.2f} arrived_first={self.arrived_first} windows_lost={self.windows_lost}>"

    @property
    def foreign(self) -> bool:
        """Whether other clients account for a part of what is used between our responses."""
        return self.share > FOREIGN

    @property
    def present(self) -> bool:
        """Whether another client is using the token."""
        return self.arrived_first or self.foreign

    def add_reading(self, number: int, remaining: int, *, in_flight: int, first: int | None) -> None:
        """Process a reading of the counter.

        Args:
            number: The window that the reading belongs to.
            remaining: The reading.
            in_flight: Our requests that the reading may or may not include.
            first: The reading that our first request in a window gets if no other client was there
                before; None unless this is certainly our first request.
        """
        if number != self._number:
            self._number, self._highest, self._lowest, self._ours = number, remaining, remaining, 0
            if first is not None:
                self.arrived_first = remaining < first
            return
        ours = self._ours = self._ours + 1
        if remaining > self._highest:
            self._highest = remaining
        elif remaining < self._lowest:
            self._lowest = remaining
        if ours >= FEWEST_RESPONSES:
            foreign = self._highest - self._lowest - ours - in_flight
            self.share = min(10.0, foreign / ours) if foreign > 0 else 0.0

    def explains_refused_entry(self) -> bool:
        """Return whether other clients can explain that our entry was refused."""
        if self.present and self.windows_lost < MOST_WINDOWS_LOST:
            self.windows_lost += 1
            return True
        return False
