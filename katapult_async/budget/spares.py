"""Permits that a busy process takes in advance, so that its next requests need not wait for a look.

Used only with high limits, where a few permits make no difference. Unused permits soon go back.
"""

from __future__ import annotations

from collections import deque

from katapult_async.ratelimit import Permit

#: Seconds after which a permit that was taken in advance goes back.
AGE = 0.1
#: At most one part in PART of the limit is taken in advance.
PART = 200
#: The factor by which demand of earlier looks counts less with each look.
FADING = 0.7


class Spares:
    """The permits that one process has taken in advance.

    Attributes:
        known: How many of them were unused in the store's state after the last look.
    """

    def __init__(self) -> None:
        self.known = 0
        self._permits: deque[tuple[float, Permit]] = deque()
        self._taken = 0
        self._demand = 0.0
        self._kind = ""

    def __len__(self) -> int:
        return len(self._permits)

    def wanted(self, kind: str) -> None:
        """Count a request of this type."""
        self._taken += 1
        self._kind = kind

    def take(self, now: float, kind: str) -> Permit | None:
        """Return a fresh permit of this type, or None."""
        if not self._permits or self._permits[0][0] < now - AGE or self._permits[0][1].kind != kind:
            return None
        return self._permits.popleft()[1]

    def add(self, now: float, permits: list[Permit]) -> None:
        """Keep permits for later."""
        self._permits.extend((now, permit) for permit in permits)

    def order(self, limit: int | None) -> tuple[int, str]:
        """Return how many more permits to ask for, to last for two looks, and their type."""
        self._demand = max(self._taken, FADING * self._demand)
        self._taken = 0
        most = (limit or 0) // PART
        return max(0, min(int(2 * self._demand), most) - len(self._permits)), self._kind

    def give_back(self, older_than: float) -> list[Permit]:
        """Remove and return the permits that were taken before this time."""
        old: list[Permit] = []
        while self._permits and self._permits[0][0] < older_than:
            old.append(self._permits.popleft()[1])
        return old
