"""Whether the client waits for responses: the open and the closed loop. Plain data."""

from __future__ import annotations

import math

import msgspec

from .arrivals import Arrivals, Part

#: Requests in flight at most in an open loop. Each needs a connection and a file descriptor.
MOST_IN_FLIGHT = 2000


class OpenLoop(msgspec.Struct, frozen=True, kw_only=True, tag="open"):
    """Requests are sent when they are due, whether the server responds or not.

    Latency counts from the moment a request was due. So requests that a stalled server delays count
    with their whole delay (no coordinated omission).

    Args:
        arrivals: When requests are due.
        max_in_flight: Requests in flight at most. Requests that are due beyond it start late, and
            the run is then marked as invalid.

    Raises:
        ValueError: If max_in_flight is below 1.
    """

    arrivals: Arrivals
    max_in_flight: int = MOST_IN_FLIGHT

    def __post_init__(self) -> None:
        if self.max_in_flight < 1:
            raise ValueError(f"max_in_flight must be at least 1, not {self.max_in_flight}")

    def __str__(self) -> str:
        return f"open loop, {self.arrivals}"


class ClosedLoop(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """A fixed number of users, each of whom waits for a response before the next request.

    A slow server slows the users down, so they send fewer requests while it is slow. Use an open
    loop to measure what independent users see.

    Args:
        in_flight: Number of users, so the most requests in flight.
        think: Seconds that a user pauses after each response.

    Raises:
        ValueError: If in_flight is below 1, or think is negative or not finite.
    """

    in_flight: int
    think: float = 0.0

    def __post_init__(self) -> None:
        if self.in_flight < 1:
            raise ValueError(f"in_flight must be at least 1, not {self.in_flight}")
        if not 0 <= self.think < math.inf:
            raise ValueError(f"think must be 0 or more seconds, not {self.think:g}")

    def __str__(self) -> str:
        think = f", {self.think:g} s think time" if self.think else ""
        return f"closed loop, {self.in_flight} in flight{think}"


#: Any loop.
Schedule = OpenLoop | ClosedLoop


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How long a test lasts, and which share of it this process has.

    Args:
        schedule: The loop.
        duration: Measured seconds.
        warm_up: Seconds before them, which are not measured.
        part: The share of this process in an open loop.
        max_lag: Seconds by which 1 % of the requests may start late. More makes the run invalid.
        time_to_end: Seconds after the last arrival for requests that wait for a permit. Requests
            that were sent are always awaited.

    Raises:
        ValueError: If a time is out of range.
    """

    schedule: Schedule
    duration: float
    warm_up: float = 0.0
    part: Part = Part()
    max_lag: float = 0.02
    time_to_end: float = 1.0

    def __post_init__(self) -> None:
        for name, lowest in (("duration", 0.1), ("warm_up", 0.0), ("max_lag", 0.001), ("time_to_end", 0.0)):
            seconds = getattr(self, name)
            if not lowest <= seconds < math.inf:
                raise ValueError(f"{name} must be at least {lowest:g} seconds, not {seconds:g}")

    @property
    def is_open(self) -> bool:
        """Whether the loop is open."""
        return isinstance(self.schedule, OpenLoop)
