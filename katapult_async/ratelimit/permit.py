"""The two results of asking the rate window: a permit or a wait. Plain data."""

from __future__ import annotations

import enum

import msgspec


class WaitReason(enum.Enum):
    """Why a request has to wait. The values complete the sentence "waits for …"."""

    ANSWER = "the response to a request in flight"
    WINDOW = "the next window of the server's clock"
    LIMIT = "earlier requests to leave the rate window"
    REFUSED = "the end of the pause after a 429"
    REFILL = "the server's token bucket to refill"
    PACE = "its turn in paced mode"


class Wait(msgspec.Struct, frozen=True, gc=False):
    """How long to wait, and why.

    Args:
        until: Monotonic time in seconds. Infinity: until a response arrives.
        reason: Why.
    """

    until: float
    reason: WaitReason


class Role(enum.Enum):
    """The role of a request in the state machine. All roles but PLAIN are solo.

    Shared budgets store the values, so a value never changes.
    """

    PLAIN = "one of many"
    FIRST = "the first request, while nothing is known"
    ENTRY = "the first request in a new window of the server's clock"
    PROBE = "a probe after a 429"


#: Used for each request. Before Python 3.12, a class finds its member in fourteen times the time.
PLAIN = Role.PLAIN


class Permit(msgspec.Struct, eq=False):
    """The permission to send one request, and what was known when it was given.

    Args:
        sent: When the request may be sent (at once), monotonic time in seconds.
        serial: Number of permits given before this one.
        alone: Whether none of our requests was in flight.
        role: The role of the request.
        window: The earliest window of the server that can count the request; None while unknown.
        after: The newest window whose counter had been read.
        lowest: The lowest reading of that counter.
        kind: The type of the request (set by the gate).
        apart: Whether this type of request has a rate window of its own (set by the gate).
    """

    sent: float
    serial: int
    alone: bool
    role: Role
    window: int | None
    after: int
    lowest: int | None
    kind: str = ""
    apart: bool = False

    @property
    def solo(self) -> bool:
        """Whether all other requests wait for the response to this one."""
        return self.role is not Role.PLAIN
