"""The listeners for reports about a shared budget, and when they get one."""

from __future__ import annotations

import math
from collections.abc import Callable

from katapult_async.observer import BudgetEvent

from .state import State
from .view import event_of

#: Seconds between two reports while no process joins or leaves.
REPORT_EVERY = 1.0


class Watchers:
    """The listeners of one process.

    Args:
        owner: The key of the process in the state.
        place: Where the budget is kept.
    """

    def __init__(self, owner: str, place: str) -> None:
        self._owner = owner
        self.place = place
        self._listeners: list[Callable[[BudgetEvent], None]] = []
        self._reported_at = -math.inf
        self._members: frozenset[str] = frozenset()

    def add(self, listener: Callable[[BudgetEvent], None]) -> Callable[[], None]:
        """Call `listener` after the next look, and with each report from then on.

        Returns:
            A function that removes the listener.
        """
        self._listeners.append(listener)
        self._reported_at = -math.inf
        return lambda: self._listeners.remove(listener)

    def looked(self, state: State, now: float) -> None:
        """Report after a look if a process has joined or left, or if a report is due.

        Args:
            state: The state after the look.
            now: Seconds of the store's clock.
        """
        members = frozenset(state.members)
        if members != self._members or not 0 <= now - self._reported_at < REPORT_EVERY:
            self._members, self._reported_at = members, now
            self._report(state, now, reachable=True)

    def gone(self, state: State, now: float) -> None:
        """Report that the store is unavailable. See `looked`; `state` is the last known state."""
        self._reported_at = -math.inf  # the next look is news
        self._report(state, now, reachable=False)

    def _report(self, state: State, now: float, *, reachable: bool) -> None:
        if self._listeners:
            event = event_of(state, now, self._owner, self.place, reachable=reachable)
            for listener in self._listeners:
                listener(event)
