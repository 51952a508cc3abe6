"""Permits that a busy process takes in advance, so that its next requests need not wait for a look at the store.

Only where the limit is so high that a few more or less make no difference. They go back when they are not used at once.
"""

from __future__ import annotations

from collections import deque

from katapult_async.ratelimit import Permit

#: Seconds after which a permit that was taken in advance goes back.
AGE = 0.1
#: At most this part of the limit is taken in advance.
PART = 200
#: How fast the demand of earlier looks is forgotten.
FADING = 0.7


class Spares:
    """The permits that one process has taken in advance."""

    def __init__(self) -> None:
        self._permits: deque[tuple[float, Permit]] = deque()
        self._taken = 0
        self._demand = 0.0
        self._kind = ""

    def __len__(self) -> int:
        return len(self._permits)

    def wanted(self, kind: str) -> None:
        """A request of this type has come."""
        self._taken += 1
        self._kind = kind

    def take(self, now: float, kind: str) -> Permit | None:
        """One of this type that is fresh."""
        if not self._permits or self._permits[0][0] < now - AGE or self._permits[0][1].kind != kind:
            return None
        return self._permits.popleft()[1]

    def add(self, now: float, permits: list[Permit]) -> None:
        """Keep these for later."""
        self._permits.extend((now, permit) for permit in permits)

    def order(self, limit: int | None) -> tuple[int, str]:
        """How many more to ask for, and of which type: what comes until the next look but one."""
        self._demand = max(self._taken, FADING * self._demand)
        self._taken = 0
        most = (limit or 0) // PART
        return max(0, min(int(2 * self._demand), most) - len(self._permits)), self._kind

    def give_back(self, older_than: float) -> list[Permit]:
        """Remove and return those that were taken before this time."""
        old: list[Permit] = []
        while self._permits and self._permits[0][0] < older_than:
            old.append(self._permits.popleft()[1])
        return old
