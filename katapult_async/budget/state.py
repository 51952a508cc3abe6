"""The shared state of a token, and the messages between a process and its store. Plain data."""

from __future__ import annotations

import uuid
from typing import NamedTuple

import msgspec

from katapult_async.ratelimit import Evidence, Permit, Wait, Window
from katapult_async.ratelimit.trailing import TrailingCount

#: Buckets per period in which responses are counted. Fewer than in one process, to keep the state
#: small.
GRAIN = 250


def _new_name() -> str:
    return uuid.uuid4().hex[:12]


class Member(msgspec.Struct):
    """A process that shares the token."""

    #: The name for people: "process 4711 on host", or "load test 4711 on host".
    name: str
    run: str | None
    seen: float
    #: The most requests that were in flight or waiting at once.
    width: int = 0
    #: Permits of the process, in total and in the current window, without those that came back.
    sent: int = 0
    sent_in_window: int = 0
    #: Permits among them that the process has taken in advance, and no request had used at its last
    #: look.
    spare: int = 0
    #: Recent permits. Each one counts for less as time passes (State.faded_at).
    recent: float = 0.0
    #: Requests without a permit of this state that have been counted.
    strays: int = 0


class Place(msgspec.Struct):
    """Waiting requests of one process."""

    owner: str
    kind: str
    priority: int
    arrival: int
    count: int


class Lease(msgspec.Struct):
    """A permit of one process."""

    owner: str
    permit: Permit
    #: When the permit goes back (reserved) or counts as lost (taken).
    deadline: float
    taken: bool
    #: The number of the look that took it.
    look: int = 0
    #: The window in which it was taken, as in `State.number`.
    window: int = 0


class State(msgspec.Struct):
    """The shared state of one token."""

    #: The window of all types of requests that have no window of their own in `apart`.
    window: Window
    apart: dict[str, Window] = {}
    #: When the next request may be sent, for each window with an even pace ("" for `window`).
    paced: dict[str, float] = {}
    members: dict[str, Member] = {}
    places: list[Place] = []
    leases: dict[int, Lease] = {}
    arrivals: int = 0
    permits: int = 0
    #: The window that `Member.sent_in_window` counts in.
    number: int = 0
    #: When `Member.recent` was updated last.
    faded_at: float = 0.0
    #: The time of a restored state. Later requests are not in it.
    restored_from: float = 0.0
    #: Distinguishes this state from a lost one, whose leases had other numbers.
    name: str = msgspec.field(default_factory=_new_name)

    @classmethod
    def start(cls, period: float, limit: int | None) -> State:
        """Return the state before the first request.

        Args:
            period: The length of a window in seconds.
            limit: Requests per window. None if the limit is not known.
        """
        return cls(Window.start(period=period, limit=limit, grain=GRAIN))


class Want(msgspec.Struct, frozen=True):
    """Waiting requests of the looking process with one type and priority."""

    kind: str
    priority: int
    count: int


class Report(msgspec.Struct, frozen=True):
    """How the request of a permit ended.

    Args:
        lease: The number of the lease.
        evidence: What the response shows of the rate limit. None without a response.
        left: Whether the request was sent.
    """

    lease: int
    evidence: Evidence | None = None
    left: bool = True


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a process reports and asks for in one look.

    Args:
        owner: The key of the process.
        name: The name of the process for people.
        run: The ID of the durable run that the process executes, or None.
        period: The configured length of a window in seconds.
        limit: Requests per window. None if the process does not know the limit.
        timeout: Longest time of one request in seconds.
        number: The number of this look.
        received: The last look whose result has arrived. Permits of later looks were not used.
        state: The name of the state that the reported permits come from.
        wants: All waiting requests of the process.
        reports: How its requests ended.
        strays: All requests that the process has ever sent without a permit of the store, while the
            store was unavailable.
        width: Requests in flight and waiting.
        in_flight: Requests in flight, and permits taken in advance, which may be used meanwhile.
        unused: Permits taken in advance that no request has used.
        past: All requests of the last period, for a state that does not include them.
        shift: Seconds by which the store's clock is ahead of the clock of `past`.
        spare: How many permits to take in advance if no request waits, and of which type.
        known: The state after the last look, for a store that has lost it. None if it is too old.
        leaving: Whether this is the last look of the process.
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
    unused: int = 0
    past: TrailingCount | None = None
    shift: float = 0.0
    spare: tuple[int, str] = (0, "")
    known: State | None = None
    leaving: bool = False


class Seen(msgspec.Struct, frozen=True):
    """What the process gets from a look.

    Args:
        permits: Permits for its requests, each with the number of its lease.
        wait: How long the first of the other requests has to wait. None if none waits.
        others: Whether permits are reserved for other processes.
    """

    permits: tuple[tuple[int, Permit], ...]
    wait: Wait | None
    others: bool


class Looked(NamedTuple):
    """The result of a look: what the process gets, the new state, and the time of the store (s)."""

    seen: Seen
    state: State
    now: float
