"""Who else uses the token, as the server's counter shows it: what is gone from it and was not ours.

Counts and compares; decides nothing about sending.
"""

from __future__ import annotations

import msgspec

#: A share of foreign requests (for each of ours) above which somebody else is on the token.
FOREIGN = 0.05
#: So many windows in a row may have been used up by others before the boundary is taken for a wrong belief.
MOST_BEATEN = 5
#: Answers of ours in one window before what is missing from the counter is compared with them.
FEWEST_ANSWERS = 8


class OtherUsers(msgspec.Struct):
    """What the readings of the server's counter say of others."""

    _number: int | None = None
    _highest: int = 0
    _lowest: int = 0
    _ours: int = 0
    #: Requests of others for each of ours.
    share: float = 0.0
    #: Whether somebody had used the newest window before our first request in it.
    here_first: bool = False
    #: Windows in a row that others had used up before our first request in them.
    beaten: int = 0

    def __repr__(self) -> str:
        return f"<OtherUsers share={self.share:.2f} here_first={self.here_first} beaten={self.beaten}>"

    @property
    def foreign(self) -> bool:
        """Whether a part of what is used between our answers is not ours."""
        return self.share > FOREIGN

    @property
    def present(self) -> bool:
        """Whether somebody else is on the token."""
        return self.here_first or self.foreign

    def saw(self, number: int, remaining: int, *, in_flight: int, first: int | None) -> None:
        """A reading of the counter.

        Args:
            number: The window that it belongs to.
            remaining: What it says.
            in_flight: Requests of ours that it may or may not include.
            first: What a request that is certainly our first one of its window reads if nobody was there before;
                None if it is not certain.
        """
        if number != self._number:
            self._number, self._highest, self._lowest, self._ours = number, remaining, remaining, 0
            if first is not None:
                self.here_first = remaining < first
            return
        self._ours += 1
        self._highest = max(self._highest, remaining)
        self._lowest = min(self._lowest, remaining)
        if self._ours >= FEWEST_ANSWERS:
            foreign = self._highest - self._lowest - self._ours - in_flight
            self.share = min(10.0, max(0, foreign) / self._ours)

    def took_the_window(self) -> bool:
        """The first request in a window was refused. Whether others explain that."""
        if self.present and self.beaten < MOST_BEATEN:
            self.beaten += 1
            return True
        return False
