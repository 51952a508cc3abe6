"""A record of the emulator's requests and changes, for tests.

With `keep_arrivals=False` the ledger only counts, for load tests with millions of requests.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Arrival:
    """One request at the server.

    Args:
        sequence: Number of the request, from 1.
        time: Seconds of the server's clock.
        path: The documented path without `/core/v1`, or an unknown path unchanged.
        disk: ID of the disk that the request names.
        virtual_machine: ID of the machine that the request names, or of its disk's machine.
        status: Status of the response. None before, and without a response.
        refused: Whether the limiter refused the request with 429.
        fault: Name of the request's fault.
        answered: When the response was sent, in seconds of the server's clock. None before, and
            without a response.
    """

    sequence: int
    time: float
    method: str
    path: str
    token: str | None
    disk: str | None = None
    virtual_machine: str | None = None
    status: int | None = None
    refused: bool = False
    fault: str | None = None
    answered: float | None = None


class Stall(NamedTuple):
    """A time in which the server answered nothing, in seconds of its clock."""

    since: float
    until: float


class Change(NamedTuple):
    """One change of state. `disk` is the ID of the disk, or of the machine for a power action."""

    time: float
    action: str
    disk: str
    virtual_machine: str | None


class Ledger:
    """All requests and changes, in order.

    Attributes:
        arrivals: Each `Arrival`. Empty with `keep_arrivals=False`.
        applied: Each `Change`. Empty with `keep_arrivals=False`.
        stalls: Each `Stall`, in order.
        total: Number of requests.
        refusals: Number of requests that the limiter refused.
        by_path, by_status, by_fault, by_token: Numbers of requests.
        max_in_flight: The most requests in progress at one time.
        max_in_flight_per_virtual_machine: The same for one machine.
    """

    def __init__(self, *, keep_arrivals: bool = True) -> None:
        self.keep_arrivals = keep_arrivals
        self.clear()

    def clear(self) -> None:
        """Forget everything, for example after a warm-up. Requests in progress are not counted."""
        self.arrivals: list[Arrival] = []
        self.applied: list[Change] = []
        self.stalls: list[Stall] = []
        self.total = 0
        self.refusals = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[int | None] = Counter()
        self.by_fault: Counter[str] = Counter()
        self.by_token: Counter[str | None] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0
        self.max_in_flight_per_virtual_machine = 0
        self._busy: Counter[str] = Counter()
        self._changes: Counter[tuple[str, str]] = Counter()
        self._per_second: Counter[int] = Counter()
        self._cleared_after = getattr(self, "_sequence", 0)
        self._sequence: int = self._cleared_after

    def arrive(
        self,
        time: float,
        method: str,
        path: str,
        token: str | None,
        *,
        disk: str | None = None,
        virtual_machine: str | None = None,
    ) -> Arrival:
        """Record a request. Call `leave` with the returned object at its end."""
        self._sequence += 1
        arrival = Arrival(self._sequence, time, method, path, token, disk, virtual_machine)
        if self.keep_arrivals:
            self.arrivals.append(arrival)
        self.total += 1
        self.by_path[path] += 1
        self.by_token[token] += 1
        self._per_second[math.floor(time)] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        if virtual_machine is not None:
            busy = self._busy
            busy[virtual_machine] += 1
            self.max_in_flight_per_virtual_machine = max(
                self.max_in_flight_per_virtual_machine, busy[virtual_machine]
            )
        return arrival

    def leave(self, arrival: Arrival) -> None:
        """Record the end of a request, with or without a response."""
        if arrival.sequence <= self._cleared_after:
            return
        self.in_flight -= 1
        self.refusals += arrival.refused
        self.by_status[arrival.status] += 1
        if arrival.fault is not None:
            self.by_fault[arrival.fault] += 1
        machine = arrival.virtual_machine
        if machine is not None:
            self._busy[machine] -= 1
            if not self._busy[machine]:
                del self._busy[machine]

    def apply(self, time: float, action: str, disk: str, virtual_machine: str | None = None) -> None:
        """Record one change of state."""
        self._changes[action, disk] += 1
        if self.keep_arrivals:
            self.applied.append(Change(time, action, disk, virtual_machine))

    def applied_count(self, disk: str, action: str = "assign") -> int:
        """Return how many times `action` changed this disk."""
        return self._changes[action, disk]

    @property
    def applied_total(self) -> Counter[str]:
        """The number of changes by action."""
        totals: Counter[str] = Counter()
        for (action, _disk), count in self._changes.items():
            totals[action] += count
        return totals

    def applied_more_than_once(self, action: str = "assign") -> list[str]:
        """Return the disks that `action` changed twice or more."""
        return [disk for (what, disk), count in self._changes.items() if what == action and count > 1]

    def as_json(self) -> dict[str, object]:
        """Return all counters, without tokens, as an object for JSON.

        `changes` has the number of changes by action and disk. `applied` has each change in order.
        It is None with `keep_arrivals=False`.
        """
        changes: dict[str, dict[str, int]] = {}
        for (action, disk), count in self._changes.items():
            changes.setdefault(action, {})[disk] = count
        applied = [change._asdict() for change in self.applied] if self.keep_arrivals else None
        return {
            "requests": self.total,
            "refused": self.refusals,
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "max_in_flight_per_virtual_machine": self.max_in_flight_per_virtual_machine,
            "by_path": dict(self.by_path),
            "by_status": {str(status or "unanswered"): count for status, count in self.by_status.items()},
            "by_fault": dict(self.by_fault),
            "changes": changes,
            "applied": applied,
        }

    def histogram(self, window: float = 1.0) -> dict[float, int]:
        """Return the number of requests by start of their window, without empty windows.

        Args:
            window: Length of a window in seconds. A fraction of a second needs
                `keep_arrivals=True`.
        """
        counts: Counter[float] = Counter()
        if window == math.floor(window):
            for second, count in self._per_second.items():
                counts[math.floor(second / window) * window] += count
        elif not self.keep_arrivals:
            raise ValueError("windows of a fraction of a second need keep_arrivals=True")
        else:
            for arrival in self.arrivals:
                counts[math.floor(arrival.time / window) * window] += 1
        return dict(sorted(counts.items()))

    def __repr__(self) -> str:
        return f"Ledger({self.total} arrivals, {self.refusals} refused, {self.in_flight} in flight)"
