"""What happened at the emulator, for tests to ask about.

The ledger counts and remembers; it refuses to decide anything. With `keep_arrivals=False` it forgets each request
once it is counted, so that a load test may send millions.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple


@dataclass(slots=True)
class Arrival:
    """One request as it reached the server.

    sequence: from 1. time: seconds of the server's clock. path: as documented, without `/core/v1`,
    however the client has spelled it; as it came if it leads nowhere. disk, virtual_machine: ids
    the request was about, where it named them. status: what was answered; None while unanswered,
    and for good where the connection was cut or left to hang. refused: by the limiter, with 429.
    fault: name of the fault that befell it.
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


class Change(NamedTuple):
    """One change of state that the server made. disk: ID of the disk; of the machine for a power action."""

    time: float
    action: str
    disk: str
    virtual_machine: str | None


class Ledger:
    """All that arrived and all that changed, in order.

    arrivals: every `Arrival`, or none of them with `keep_arrivals=False`. applied: every `Change`, likewise.
    total, refusals: how many requests arrived, and how many of these the limiter refused. by_path, by_status,
    by_fault, by_token: counters. max_in_flight, max_in_flight_per_virtual_machine: most requests that were being
    handled at one moment.
    """

    def __init__(self, *, keep_arrivals: bool = True) -> None:
        self.keep_arrivals = keep_arrivals
        self.clear()

    def clear(self) -> None:
        """Forget everything, for instance after a warm-up. Requests being handled go uncounted."""
        self.arrivals: list[Arrival] = []
        self.applied: list[Change] = []
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
        """Record that a request arrived; give what this returns to `leave` when it is over."""
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
        """Record that a request was answered, cut off or given up."""
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
        """How many times `action` changed this disk."""
        return self._changes[action, disk]

    @property
    def applied_total(self) -> Counter[str]:
        """How many changes of each kind were made."""
        totals: Counter[str] = Counter()
        for (action, _disk), count in self._changes.items():
            totals[action] += count
        return totals

    def applied_more_than_once(self, action: str = "assign") -> list[str]:
        """The disks that `action` changed twice or more."""
        return [disk for (what, disk), count in self._changes.items() if what == action and count > 1]

    def as_json(self) -> dict[str, object]:
        """All counters, as an object for JSON. It names no token.

        changes: how many times each action changed each disk. applied: each change in order, None
        unless they are kept.
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
        """Arrivals per window of the server's clock: start of the window -> how many, only where there were any.

        Windows of whole seconds work always; others need the arrivals to be kept.
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
