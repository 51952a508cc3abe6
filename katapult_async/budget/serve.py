"""Who gets the next permits: by priority, then by fewest recent permits, then by arrival.

Pure functions.
"""

from __future__ import annotations

import math

from katapult_async.ratelimit import Belief, Permit, Priority, Wait, WaitReason

from .leases import key_for, window_of
from .state import Lease, Look, Place, State

#: Seconds for which a permit is reserved for another process.
READY = 1.0
#: Seconds after its time-out at which a request that was not reported counts as lost.
MARGIN = 5.0
#: Seconds by which a look may come late without slowing an even pace. The requests that were due
#: meanwhile are sent at once.
LATENESS = 0.02
#: Seconds until the next look of a process that must leave the next permit to another one.
MODESTY = 0.05
#: A process counts as busy for one part in YOUNG of a period after it got a permit.
YOUNG = 20
#: A process may exceed its share by one part in LENIENCE while others are busy.
LENIENCE = 8


def collect(
    state: State, now: float, look: Look, wanted: dict[tuple[str, int], int]
) -> list[tuple[int, Permit]]:
    """Return the permits that are reserved for this process and still wanted.

    Args:
        state: The state, which is changed.
        now: Seconds of the store's clock.
        look: The look of the process.
        wanted: Requests that wait, by type and priority. Reduced by the returned permits.
    """
    permits: list[tuple[int, Permit]] = []
    for number, lease in state.leases.items():
        if lease.owner != look.owner or lease.taken:
            continue
        for (kind, priority), count in wanted.items():
            if kind == lease.permit.kind and count:
                wanted[kind, priority] -= 1
                lease.taken, lease.deadline = True, now + look.timeout + MARGIN
                lease.look = look.number
                permits.append((number, lease.permit))
                break
    return permits


def queue(state: State, owner: str, wanted: dict[tuple[str, int], int]) -> None:
    """Update the places of a process in the queue.

    Requests that already wait keep their place. New ones are added at the end, so that a process
    whose workers return at once does not keep the others waiting for ever.

    Args:
        state: The state, which is changed.
        owner: The key of the process.
        wanted: Requests that wait, by type and priority.
    """
    places: list[Place] = []
    for place in state.places:
        if place.owner == owner:
            key = place.kind, place.priority
            place.count = min(place.count, wanted.get(key, 0))
            if not place.count:
                continue
            wanted[key] -= place.count
        places.append(place)
    for (kind, priority), count in wanted.items():
        if not count:
            continue
        behind = [place for place in places if place.kind == kind and place.priority == priority]
        if behind and behind[-1].owner == owner:
            behind[-1].count += count
        else:
            places.append(Place(owner, kind, priority, state.arrivals, count))
            state.arrivals += 1
    state.places = sorted(places, key=_turn)


def _turn(place: Place) -> tuple[int, int]:
    return place.priority, place.arrival


def serve(
    state: State, now: float, look: Look, permits: list[tuple[int, Permit]]
) -> tuple[dict[str, Wait], bool]:
    """Assign permits in order.

    Args:
        state: The state, which is changed.
        now: Seconds of the store's clock.
        look: The look of the process.
        permits: Extended by the permits of the looking process.

    Returns:
        How long each window is closed now, and whether permits are reserved for other processes.
    """
    waits: dict[str, Wait] = {}
    others = False
    young = now - state.window.period / YOUNG
    busy = {lease.owner for lease in state.leases.values() if lease.permit.sent > young}
    while (place := _next(state, waits)) is not None:
        key = key_for(state, place.kind)
        answer = _be_fair(state, now, place, busy) or _take(state, now, key, _waiting(state, key))
        if isinstance(answer, Wait):
            waits[key] = answer
            continue
        receiver = place if not answer.solo else _at_once(state, look.owner, key, place)
        if receiver is None:
            window_of(state, key).unused(answer)
            waits[key] = Wait(now + MODESTY, WaitReason.WINDOW)
            continue
        receiver.count -= 1
        busy.add(receiver.owner)
        number = _lease(state, now, look, receiver.owner, receiver.kind, answer)
        if receiver.owner == look.owner:
            permits.append((number, answer))
        else:
            others = True
    state.places = [place for place in state.places if place.count]
    if not state.places:
        _serve_in_advance(state, now, look, permits)
    return waits, others


def _lease(state: State, now: float, look: Look, owner: str, kind: str, permit: Permit) -> int:
    """Give a permit to a process, and return the number of the lease."""
    permit.kind, permit.apart = kind, kind in state.apart
    ours = owner == look.owner
    deadline = now + (look.timeout + MARGIN if ours else READY)
    number = state.permits
    state.leases[number] = Lease(owner, permit, deadline, ours, look.number)
    state.permits += 1
    state.members[owner].recent += 1
    return number


def _serve_in_advance(state: State, now: float, look: Look, permits: list[tuple[int, Permit]]) -> None:
    """Give the looking process permits for its next requests, because no request waits."""
    count, kind = look.spare
    key = key_for(state, kind)
    for _ in range(count):
        if window_of(state, key).belief in (Belief.COLD, Belief.OPEN):
            return
        answer = _take(state, now, key, 1)
        if isinstance(answer, Wait):
            return
        if answer.solo:
            window_of(state, key).unused(answer)
            return
        permits.append((_lease(state, now, look, look.owner, kind, answer), answer))
        state.members[look.owner].spare += 1


def _next(state: State, waits: dict[str, Wait]) -> Place | None:
    """Return the next place: highest priority, then fewest recent permits, then arrival."""
    best: tuple[int, float, int] | None = None
    found: Place | None = None
    for place in state.places:
        if place.count and (not waits or key_for(state, place.kind) not in waits):
            order = (place.priority, state.members[place.owner].recent, place.arrival)
            if best is None or order < best:
                best, found = order, place
    return found


def _be_fair(state: State, now: float, place: Place, busy: set[str]) -> Wait | None:
    """Return a wait if this process has had more than its share while others are busy.

    Without this rule the fastest process gets most of every window, because the others return for
    their next batch a moment later.
    """
    limit = state.window.limit
    if limit is None or not busy - {place.owner}:
        return None
    members = state.members
    least = min(members[owner].recent for owner in busy)
    if members[place.owner].recent <= least + max(1.0, limit / (LENIENCE * len(busy | {place.owner}))):
        return None
    return Wait(now + MODESTY, WaitReason.WINDOW)


def _at_once(state: State, owner: str, key: str, head: Place) -> Place | None:
    """Return the place of the looking process that gets a solo permit; None if it must not.

    A process that only polls must not overtake real work.
    """
    for place in state.places:
        if place.owner == owner and key_for(state, place.kind) == key and place.count:
            return None if place.priority == Priority.LOW > head.priority else place
    return None


def _waiting(state: State, key: str) -> int:
    return sum(place.count for place in state.places if key_for(state, place.kind) == key)


def _take(state: State, now: float, key: str, waiting: int) -> Permit | Wait:
    window = window_of(state, key)
    if window.belief is Belief.OPEN and window.in_flight >= max(m.width for m in state.members.values()):
        # The limit is unknown. Risk only as many 429s as a single process would.
        return Wait(math.inf, WaitReason.ANSWER)
    pace = window.pace(now)
    if pace is None:
        state.paced.pop(key, None)
        return window.take(now, waiting=waiting)
    at = state.paced.get(key, now)
    if now < at:
        return Wait(at, WaitReason.PACE)
    answer = window.take(now, waiting=waiting)
    if isinstance(answer, Permit):
        state.paced[key] = max(at, now - LATENESS) + window.period / pace
    return answer
