"""The requests of one process that wait for a permit, in order of priority and arrival."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque

from katapult_async.ratelimit import Permit, Priority

from .state import Want


class Turn:
    """A request that waits for `permit`."""

    __slots__ = ("key", "kind", "permit")

    def __init__(self, key: tuple[int, int], kind: str) -> None:
        self.key = key
        self.kind = kind
        self.permit: asyncio.Future[Permit] = asyncio.get_running_loop().create_future()


class Turns:
    """The waiting requests of one process."""

    def __init__(self) -> None:
        self._queue: list[Turn] = []
        self._arrivals = itertools.count()

    def add(self, priority: Priority, kind: str) -> Turn:
        """Add a request behind all others of its priority."""
        turn = Turn((priority, next(self._arrivals)), kind)
        self._queue.append(turn)
        return turn

    def waiting(self) -> list[Turn]:
        """Return the requests that still wait, in order."""
        self._queue = sorted(
            (turn for turn in self._queue if not turn.permit.done()), key=lambda turn: turn.key
        )
        return self._queue

    def wants(self) -> tuple[Want, ...]:
        """Return how many requests wait, by type and priority."""
        counts: dict[tuple[str, int], int] = {}
        for turn in self.waiting():
            key = (turn.kind, turn.key[0])
            counts[key] = counts.get(key, 0) + 1
        return tuple(Want(kind, priority, count) for (kind, priority), count in counts.items())

    def hand_out(self, permits: list[Permit]) -> list[Permit]:
        """Give each permit to the first request of its type.

        Returns:
            The permits for which no request waits.
        """
        left: list[Permit] = []
        by_kind: dict[str, deque[Turn]] = {}
        if permits:
            for turn in self.waiting():
                by_kind.setdefault(turn.kind, deque()).append(turn)
        for permit in permits:
            turns = by_kind.get(permit.kind)
            if turns:
                turns.popleft().permit.set_result(permit)
            else:
                left.append(permit)
        return left

    def fail(self, error: type[Exception], *args: object) -> None:
        """End all waiting requests, each with its own instance of the error."""
        for turn in self.waiting():
            turn.permit.set_exception(error(*args))
