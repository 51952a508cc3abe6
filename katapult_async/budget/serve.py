"""Who gets the next permits: by priority, then whoever has had least of late, then in order of arrival. Pure functions."""

from __future__ import annotations

import math

from katapult_async.ratelimit import Belief, Permit, Priority, Wait, WaitReason

from .leases import key_for, window_of
from .state import Lease, Look, Place, State

#: Seconds for which a permit lies ready for another process.
READY = 1.0
#: Seconds that a request may take longer than its time-out before it is taken for lost.
MARGIN = 5.0
#: Seconds of an even pace that may be sent at once, because nobody looks more often.
EVENNESS = 0.02
#: Seconds after which a process looks again that must not take the request that others wait for.
MODESTY = 0.05
#: A process counts as busy for this part of a period after it has got a permit.
YOUNG = 20
#: This part of its share may a process have more than others that are busy.
LENIENCE = 8


def collect(
    state: State, now: float, look: Look, wanted: dict[tuple[str, int], int]
) -> list[tuple[int, Permit]]:
    """Take the permits that lie ready for this process, and that it still wants."""
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
    """Bring the places of a process up to date.

    Requests that wait already keep their place. Those that have come since get one at the end: a process whose workers
    come back at once would else be served for ever.
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
    """Hand out permits in order. Those for the looking process are added to `permits`.

    Returns:
        How long each window is closed then, and whether permits lie ready for other processes.
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
    """Give a permit to a process; the number of the lease."""
    permit.kind, permit.apart = kind, kind in state.apart
    ours = owner == look.owner
    deadline = now + (look.timeout + MARGIN if ours else READY)
    number = state.permits
    state.leases[number] = Lease(owner, permit, deadline, ours, look.number)
    state.permits += 1
    state.members[owner].recent += 1
    return number


def _serve_in_advance(state: State, now: float, look: Look, permits: list[tuple[int, Permit]]) -> None:
    """Nobody waits: the looking process may take some more for its next requests."""
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


def _next(state: State, waits: dict[str, Wait]) -> Place | None:
    """Whose turn it is: of the highest priority, whoever has had least of late, whoever came first."""
    best: tuple[int, float, int] | None = None
    found: Place | None = None
    for place in state.places:
        if place.count and (not waits or key_for(state, place.kind) not in waits):
            order = (place.priority, state.members[place.owner].recent, place.arrival)
            if best is None or order < best:
                best, found = order, place
    return found


def _be_fair(state: State, now: float, place: Place, busy: set[str]) -> Wait | None:
    """Whether this process has had more than its share while others are busy: they come back in a moment.

    Without this whoever is fastest gets all that a batch for each process leaves, in every window.
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
    """Whose request everything else waits for: the looking process sends it at once.

    A process that only polls does not go before real work.
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
        # Nothing is known, and the first refusals are coming: not more of them than one process alone would meet.
        return Wait(math.inf, WaitReason.ANSWER)
    pace = window.pace(now)
    if pace is None:
        state.paced.pop(key, None)
        return window.take(now, waiting=waiting)
    at = state.paced.get(key, now)
    if now < at - EVENNESS:
        return Wait(at, WaitReason.PACE)
    answer = window.take(now, waiting=waiting)
    if isinstance(answer, Permit):
        state.paced[key] = max(at, now) + window.period / pace
    return answer
