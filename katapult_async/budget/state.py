"""What the processes that share a token know together, and what they say to each other. Plain data, no decisions."""

from __future__ import annotations

import uuid
from typing import NamedTuple

import msgspec

from katapult_async.ratelimit import Evidence, Permit, Wait, Window
from katapult_async.ratelimit.trailing import TrailingCount

#: Parts of a period in which answers are counted together: fewer than in one process, because they are written down.
GRAIN = 250


def _new_name() -> str:
    return uuid.uuid4().hex[:12]


class Member(msgspec.Struct):
    """A process that shares the token."""

    #: For people, as in "process 4711 on host".
    name: str
    run: str | None
    seen: float
    #: The most requests that it has had at once, in flight and waiting.
    width: int = 0
    #: Permits that it has got, in all and since the current window was first seen.
    sent: int = 0
    sent_in_window: int = 0
    #: Permits of late; each counts for less as time goes by (State.faded_at).
    recent: float = 0.0
    #: How many of the requests that it sent without a permit of this state have been counted.
    strays: int = 0


class Place(msgspec.Struct):
    """Requests of one process that wait."""

    owner: str
    kind: str
    priority: int
    arrival: int
    count: int


class Lease(msgspec.Struct):
    """A permit of one process."""

    owner: str
    permit: Permit
    #: When it goes back (not taken yet) or counts as lost (taken).
    deadline: float
    taken: bool
    #: The number of the look that took it.
    look: int = 0


class State(msgspec.Struct):
    """All that is shared."""

    #: Of all types of requests that are not counted apart.
    window: Window
    apart: dict[str, Window] = {}
    #: When the next request may be sent at an even pace, for each window that has one ("" for the common one).
    paced: dict[str, float] = {}
    members: dict[str, Member] = {}
    places: list[Place] = []
    leases: dict[int, Lease] = {}
    arrivals: int = 0
    permits: int = 0
    #: The window that `Member.sent_in_window` counts in.
    number: int = 0
    #: When `Member.recent` was brought up to date.
    faded_at: float = 0.0
    #: If it was restored: when it had been seen. What was sent later is not in it.
    restored_from: float = 0.0
    #: Tells this state from one that was lost: the numbers of its leases begin anew.
    name: str = msgspec.field(default_factory=_new_name)

    @classmethod
    def start(cls, period: float, limit: int | None) -> State:
        """Nobody has sent anything.

        Args:
            period: The length of a window in seconds.
            limit: Requests per window, if they are known.
        """
        return cls(Window.start(period=period, limit=limit, grain=GRAIN))


class Want(msgspec.Struct, frozen=True):
    """Requests of the looking process that wait: all of this type and priority."""

    kind: str
    priority: int
    count: int


class Report(msgspec.Struct, frozen=True):
    """How the request of a permit ended. evidence: None if no answer came. left: False if it was not sent."""

    lease: int
    evidence: Evidence | None = None
    left: bool = True


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a process says when it looks.

    Args:
        owner: Its key.
        name: Its name for people.
        run: What it is doing, for people.
        period: The length of a window in seconds, as configured.
        limit: Requests per window, if it knows them.
        timeout: Seconds that one of its requests may take.
        number: The number of this look. It repeats if the store failed.
        received: The last look whose result has arrived: permits of later ones were never used.
        state: The name of the state that its permits come from.
        wants: Its requests that wait; what is not among them does not wait any more.
        reports: How its requests ended.
        strays: Requests that it has ever sent without a permit of a state (while the store was gone): they may have
            been counted.
        width: Its requests in flight and waiting.
        in_flight: Its requests in flight.
        past: All its requests of the last period, for a state that does not know of them.
        shift: How far the store's clock was ahead of the clock of `past`.
        spare: Permits that it takes in advance if nobody waits, and of which type.
        known: The state that it saw last, for a store that has lost it; None if that was too long ago.
        leaving: Whether this is its last look.
    """

    owner: str
    name: str
    run: str | None = None
    period: float
    limit: int | None = None
    timeout: float
    number: int = 0
    received: int = 0
    state: str = ""
    wants: tuple[Want, ...] = ()
    reports: tuple[Report, ...] = ()
    strays: int = 0
    width: int = 0
    in_flight: int = 0
    past: TrailingCount | None = None
    shift: float = 0.0
    spare: tuple[int, str] = (0, "")
    known: State | None = None
    leaving: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What the process gets to know.

    Args:
        permits: Those for its requests, with the numbers of their leases.
        wait: How long the first of the other requests has to wait; None if none waits.
        others: Whether permits lie ready for other processes.
    """

    permits: tuple[tuple[int, Permit], ...]
    wait: Wait | None
    others: bool


class Looked(NamedTuple):
    """The result of a look: what the process gets, the state after it, and when (seconds of the store's clock)."""

    seen: Seen
    state: State
    now: float
