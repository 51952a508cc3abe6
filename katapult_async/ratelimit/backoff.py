"""What a 429 leads to: the gate closes, and requests may have to be spaced evenly.

Combines the closure (until when requests wait) and the pace (how evenly they are sent). It does not
read headers. `window` tells the closure when the next window is known to start.
"""

from __future__ import annotations

import math

import msgspec

from .closure import Closure
from .pace import Pace
from .permit import Permit
from .trailing import TrailingRule


class Backoff(msgspec.Struct):
    """The state after 429s.

    Args:
        period: Length of a window, in seconds.
    """

    _period: float
    #: The closure; None while the gate is open.
    closure: Closure | None = None
    #: The even pace (paced mode); None while bursts are allowed.
    pace: Pace | None = None
    #: Number of 429s received.
    refusals: int = 0
    # When the probe was sent that ended the last closure.
    _reopened_by: float = -math.inf

    def __repr__(self) -> str:
        parts = [f"refusals={self.refusals}"]
        if self.closure is not None:
            parts.append(f"closed until {self.closure.until:.3f}")
        if self.pace is not None:
            parts.append(f"{self.pace!r}")
        return f"<Backoff {' '.join(parts)}>"

    def permitted(self, permit: Permit) -> None:
        """Open the gate: the server permitted a solo request.

        Args:
            permit: The permit of the request.
        """
        if self.closure is not None and permit.sent >= self.closure.since:
            self.closure = None
            self._reopened_by = permit.sent

    def refused(self, permit: Permit, now: float, trailing: TrailingRule) -> Closure | None:
        """Close the gate after a 429, or prolong the closure.

        Args:
            permit: The permit of the refused request.
            now: When the 429 arrived, local time in seconds.
            trailing: The count of our own requests.

        Returns:
            The closure that this 429 started or prolonged; None if the request was sent before the
            gate closed, so that the 429 adds nothing.
        """
        closure = self.closure
        if closure is None:
            if permit.sent < self._reopened_by:
                return None  # sent before the last closure ended
            responses = trailing.responses(permit.sent) - 1
            self.closure = Closure.start(now, period=self._period, sent=permit.sent, responses=responses)
            return self.closure
        if permit.solo and permit.sent >= closure.since:
            closure.refused_again(now)
            return closure
        return None  # sent before the gate closed

    def diagnose(self, closure: Closure, now: float, limit: int | None, trailing: TrailingRule) -> None:
        """Find out, once for each closure, whether our own requests explain the 429.

        If our responses reach the limit only with earlier 429s included, the server counts refused
        requests, too. If they do not reach the limit at all, the server refuses bursts or another
        client uses the token: send evenly.

        Args:
            closure: The closure to explain.
            now: Local time, in seconds.
            limit: Requests permitted per window, if known.
            trailing: The count of our own requests.
        """
        closure.diagnosed = True
        if limit is not None:
            admitted = trailing.admissions.count(closure.sent)
            if closure.responses >= limit > admitted:
                trailing.refusals_count = True
            elif admitted < limit:
                self._slow_down(closure, now, limit, trailing)
                return
            if self.pace is not None:
                self.pace.restart_window(now)
            return
        self._slow_down(closure, now, limit, trailing)

    def _slow_down(self, closure: Closure, now: float, limit: int | None, trailing: TrailingRule) -> None:
        if self.pace is not None:
            self.pace.slow_down(now)
        else:
            value = limit if limit is not None else trailing.admissions.count(closure.sent)
            self.pace = Pace.start(now, period=self._period, value=value, limit=limit)
        if limit is not None:
            # Long enough for a token bucket to refill by three requests, which absorbs jitter.
            closure.pause_at_least(3 * self._period / limit)
