"""The answers of the rate window: a permit to send one request, or how long to wait and why. Plain data."""

from __future__ import annotations

import enum

import msgspec


class WaitReason(enum.Enum):
    """Why a request has to wait."""

    ANSWER = "the answer to the request that asks for all"
    WINDOW = "the next window of the server's clock"
    LIMIT = "permits that come back"
    REFUSED = "the end of a refusal (429)"
    REFILL = "the server's bucket to refill"
    PACE = "its turn in an even pace"


class Wait(msgspec.Struct, frozen=True, gc=False):
    """Not before `until` (monotonic seconds; infinity: only an answer can tell)."""

    until: float
    reason: WaitReason


class Role(enum.Enum):
    """What a request is to the state machine. All but the plain ones are solo."""

    PLAIN = "one of many"
    FIRST = "nothing is known yet"
    ENTRY = "the first one after a boundary of the server's clock"
    CANARY = "the first one after a refusal"


class Permit(msgspec.Struct, eq=False):
    """One request that may be sent, and what was known when it was."""

    #: Monotonic seconds.
    sent: float
    #: How many had been sent before it, and whether none of them was in flight any more.
    serial: int
    alone: bool
    role: Role
    #: The number of the window of the server in which it was sent, at the earliest; None while nothing is known.
    window: int | None
    #: The number of the newest window whose counter had been seen, and the lowest reading of it.
    after: int
    lowest: int | None
    #: The type of request that it is for, and whether such requests have a window of their own (set by the gates).
    kind: str = ""
    apart: bool = False

    @property
    def solo(self) -> bool:
        """Whether everything else waits for its answer."""
        return self.role is not Role.PLAIN
