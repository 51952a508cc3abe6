"""How the server's counter gets its permits back: all at the start of a window, one by one, or steadily.

Compares readings of the counter. It takes no part in deciding when to send, except that a well-timed request can
tell more (`Window._ask_well`).
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

#: Windows in a row that begin with less than half of the limit, before one is suspected to be none.
FEWEST_SMALL = 2


class _Quiet(NamedTuple):
    """The last moment at which nothing of ours was in flight."""

    sent: float
    remaining: int
    number: int
    #: Until when none of our requests gets too old to be counted.
    unchanged_until: float


class CounterKind(msgspec.Struct):
    """What the readings say about the counter."""

    _quiet: _Quiet | None = None
    # Windows in a row that began with less than half of the limit, and after how many of them the counter is asked
    # whether it rises by itself: each time twice as many.
    _small: int = 0
    _patience: int = FEWEST_SMALL
    _asked: bool = False
    #: Whether it has not risen by itself during a pause.
    steady: bool = False
    #: The highest reading ever.
    highest: int = 0

    @property
    def quiet_since(self) -> float | None:
        """When the last request was sent, if nothing has been in flight since its answer."""
        return self._quiet.sent if self._quiet is not None else None

    def begins(self, remaining: int, limit: int) -> None:
        """The first request of ours in a window reads this."""
        self._asked = False
        self._small = self._small + 1 if 2 * (remaining + 1) < limit else 0

    def doubtful_at(self, per_second: float) -> float | None:
        """When to ask a counter that is used up whether it has risen by itself. None if there is no reason to ask.

        A bucket that is much smaller than the limit looks like windows of which others use the most.
        """
        if self._asked or self._small < self._patience or self._quiet is None:
            return None
        return self._quiet.sent + max(1.0, 3 / per_second)

    def ask(self) -> None:
        """The counter is being asked."""
        self._asked = True
        self._patience *= 2

    def rose(self) -> None:
        """It had risen. To know by what, it may be asked again."""
        self._asked = False
        self._patience = FEWEST_SMALL

    def unread(self) -> None:
        """A request ended without a reading: the next reading cannot be compared with the one before."""
        self._quiet = None

    def refills(
        self,
        sent: float,
        now: float,
        remaining: int,
        number: int,
        *,
        per_second: float,
        alone: bool,
        others: bool,
    ) -> bool:
        """Whether two readings of one window, with nothing of ours between them, show a bucket that refills.

        Args:
            sent: When the request was sent whose answer arrives now.
            now: Local seconds.
            remaining: What it says.
            number: The window that it certainly belongs to.
            per_second: How fast a bucket of the known limit would refill.
            alone: Whether nothing else of ours was in flight or was sent meanwhile, and nobody else sends as well.
            others: Whether somebody else may have taken what has come back.
        """
        before, self._quiet = self._quiet, None
        if before is None or not alone or before.number != number:
            return False
        elapsed = now - before.sent
        risen = remaining - (before.remaining - 1)
        # Older requests of ours that leave a sliding window let its counter rise, too.
        if 0 < risen <= 1.5 * per_second * elapsed + 2 and now < before.unchanged_until:
            return True
        if risen <= 0 and not others and sent - before.sent >= 2 / per_second:
            self.steady = True
        return False

    def at_rest(self, sent: float, remaining: int, number: int, unchanged_until: float) -> None:
        """Nothing of ours is in flight any more."""
        self._quiet = _Quiet(sent, remaining, number, unchanged_until)


def slides(remaining: int, *, limit: int, admitted: int) -> bool:
    """Whether the counter has not restarted at a boundary but has only forgotten what is older than a period.

    Args:
        remaining: What the first request after the boundary reads.
        limit: Requests permitted per window.
        admitted: Requests of ours of the last period.
    """
    sliding = limit - admitted - 1
    return abs(remaining - sliding) <= 2 and sliding + 2 < limit - 1
