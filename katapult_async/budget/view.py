"""A shared budget for people: which processes use the token, and how much of the window is used.

Pure functions that read a state and do not change it. All decisions are in `exchange` and
`ratelimit`.
"""

from __future__ import annotations

import msgspec

from katapult_async.observer import BudgetEvent, BudgetProcess

from .exchange import SHOWN
from .leases import DEAD
from .state import State


class MemberView(msgspec.Struct, frozen=True):
    """A process that shares the budget.

    Args:
        name: The name for people: `process 4711 on host`, or `load test 4711 on host`.
        run: The ID of the durable run that the process executes, or None.
        seen_ago: Seconds since the last look. A process with waiting requests looks every second.
        in_flight: Requests in flight at the last look.
        waiting: Requests that wait for a permit.
        sent: Requests sent since the process joined, without those that it sent while the budget
            was unavailable.
        sent_in_window: Those of the current window. None if the windows do not follow the server's
            clock.
    """

    name: str
    run: str | None
    seen_ago: float
    in_flight: int
    waiting: int
    sent: int
    sent_in_window: int | None


class BudgetView(msgspec.Struct, frozen=True):
    """A budget at one moment.

    Args:
        limiter: The kind of limiter that the server seems to have.
        period: The length of a window in seconds.
        limit: Requests permitted per window. None if the limit is not known.
        remaining: Requests that are certainly left in the window. None if this is not known.
        used: Requests that the server may have counted in the current window, from any client of
            the token. This includes permits that processes have taken in advance, up to 0.5 % of
            the limit each. If the windows do not follow the server's clock: requests of these
            processes in the last period.
        in_flight: Requests in flight.
        waiting: Requests that wait for a permit.
        next_window_in: Seconds until the next window of the server's clock. None if this is not
            known, or if that window has started.
        members: The processes.
    """

    limiter: str
    period: float
    limit: int | None
    remaining: int | None
    used: int
    in_flight: int
    waiting: int
    next_window_in: float | None
    members: tuple[MemberView, ...]


def view_of(state: State, now: float) -> BudgetView:
    """Return the view of a state.

    Args:
        state: The state from the store.
        now: Seconds of the store's clock.
    """
    window = state.window
    windows = (window, *state.apart.values())
    boundary = window.next_window()
    over = boundary is not None and now >= boundary
    members = tuple(
        _member(state, owner, now, aligned=boundary is not None, over=over)
        for owner, member in state.members.items()
        if now < member.seen + SHOWN or _in_flight(state, owner, now)
    )
    limits = [one.limit for one in windows if one.limit is not None]
    remaining = window.limit if over else window.remaining
    if boundary is None or window.limit is None or remaining is None:
        used = sum(one.counted(now) for one in windows) + sum(one.in_flight for one in windows)
    else:
        used = window.limit - remaining
    return BudgetView(
        limiter=window.belief.value,
        period=window.period,
        limit=min(limits, default=None),
        remaining=remaining,
        used=used,
        in_flight=sum(member.in_flight for member in members),
        waiting=sum(member.waiting for member in members),
        next_window_in=None if boundary is None or over else round(boundary - now, 3),
        members=members,
    )


def event_of(state: State, now: float, owner: str, place: str, *, reachable: bool) -> BudgetEvent:
    """Return the event for observers of one process.

    Args:
        state: The state after the last look of the process.
        now: Seconds of the store's clock.
        owner: The key of the process.
        place: Where the budget is kept.
        reachable: Whether the store is available.
    """
    view = view_of(state, now)
    return BudgetEvent(
        place=place,
        reachable=reachable,
        limit=view.limit,
        remaining=view.remaining,
        used=view.used,
        in_flight=view.in_flight,
        waiting=view.waiting,
        others=tuple(
            BudgetProcess(name=member.name, run=member.run)
            for key, member in state.members.items()
            if key != owner and now < member.seen + DEAD
        ),
    )


def _member(state: State, owner: str, now: float, *, aligned: bool, over: bool) -> MemberView:
    member = state.members[owner]
    dead = now >= member.seen + DEAD
    waiting = 0 if dead else sum(place.count for place in state.places if place.owner == owner)
    in_window = None if not aligned else 0 if over else max(member.sent_in_window - member.spare, 0)
    return MemberView(
        name=member.name,
        run=member.run,
        seen_ago=round(max(now - member.seen, 0.0), 3),
        in_flight=_in_flight(state, owner, now),
        waiting=waiting,
        sent=max(member.sent - member.spare, 0),
        sent_in_window=in_window,
    )


def _in_flight(state: State, owner: str, now: float) -> int:
    spare = state.members[owner].spare
    taken = sum(
        lease.owner == owner and lease.taken and now < lease.deadline for lease in state.leases.values()
    )
    return max(taken - spare, 0)
