"""What a 429 leads to: the gate is closed, and an even pace is chosen where bursts are refused below the limit.

Joins the closure and the pace. It does not know what the headers say: the state machine (`window`) tells it whether
the next window is known.
"""

from __future__ import annotations

import math

import msgspec

from .closure import Closure
from .pace import Pace
from .permit import Permit
from .trailing import TrailingRule


class Backoff(msgspec.Struct):
    """The state after refusals.

    Args:
        period: The length of a window in seconds.
    """

    _period: float
    #: The closing of the gate, None while it is open.
    closure: Closure | None = None
    #: The even pace (paced mode), None while bursts are fine.
    pace: Pace | None = None
    #: 429s seen.
    refusals: int = 0
    # When the request was sent that ended the last closing.
    _reopened_by: float = -math.inf

    def __repr__(self) -> str:
        parts = [f"refusals={self.refusals}"]
        if self.closure is not None:
            parts.append(f"closed until {self.closure.until:.3f}")
        if self.pace is not None:
            parts.append(f"{self.pace!r}")
        return f"<Backoff {' '.join(parts)}>"

    def permitted(self, permit: Permit) -> None:
        """A solo request was permitted: the gate opens."""
        if self.closure is not None and permit.sent >= self.closure.since:
            self.closure = None
            self._reopened_by = permit.sent

    def refused(self, permit: Permit, now: float, trailing: TrailingRule) -> Closure | None:
        """A request was refused.

        Returns:
            The closing that this refusal has begun or prolonged; None if the refusal says nothing new.
        """
        closure = self.closure
        if closure is None:
            if permit.sent < self._reopened_by:
                return None  # it was sent before the gate was closed the last time
            answers = trailing.answers(permit.sent) - 1
            self.closure = Closure.start(now, period=self._period, sent=permit.sent, answers=answers)
            return self.closure
        if permit.solo and permit.sent >= closure.since:
            closure.refused_again(now)
            return closure
        return None  # it was sent before the gate closed

    def judge(self, closure: Closure, now: float, limit: int | None, trailing: TrailingRule) -> None:
        """Find out, once for each closing, why requests are refused: is the limit used up by ours, or not?"""
        closure.judged = True
        if limit is not None:
            admitted = trailing.admissions.count(closure.sent)
            if closure.answers >= limit > admitted:
                trailing.refusals_count = True
            elif admitted < limit:
                self._slow_down(closure, now, limit, trailing)
                return
            if self.pace is not None:
                self.pace.hold(now)
            return
        self._slow_down(closure, now, limit, trailing)

    def _slow_down(self, closure: Closure, now: float, limit: int | None, trailing: TrailingRule) -> None:
        if self.pace is not None:
            self.pace.refused(now)
        else:
            value = limit if limit is not None else trailing.admissions.count(closure.sent)
            self.pace = Pace.start(now, period=self._period, value=value, limit=limit)
        if limit is not None:
            # Long enough for a bucket to be refilled a little, so that the pace finds some slack for its jitter.
            closure.pause_at_least(3 * self._period / limit)
