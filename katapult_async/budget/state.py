"""What the processes that share a token know together, and what happens when one of them looks at it.

Pure functions on plain data. Times are seconds of the store's clock and are passed in. A process takes part by calling
`exchange` in a transaction of the store: it reports how its requests ended, says how many it wants to send, and gets
permits or a time to wait for. Everything that the rate limit decides is decided by the same state machine that a
single process has (`ratelimit.Window`); here is only who gets the permits.

- Permits are handed out in order of priority and arrival, a batch at a time, whichever process is looking. A permit for
  another process lies ready for it until it looks. A request that all others wait for goes to the process that looks.
- A permit that lies ready for too long goes back. A permit that was taken and whose request is not reported by its
  deadline is counted as a request that got no answer: it may have been sent.
- A process that has not looked for a while is dead: it waits for nothing any more.
"""

from __future__ import annotations

import math

import msgspec

from katapult_async.ratelimit import Belief, Evidence, Permit, Wait, WaitReason, Window

#: Seconds for which a permit lies ready for another process.
READY = 1.0
#: Seconds after which a process that has not looked is taken for dead. Whoever waits looks every second.
DEAD = 5.0
#: Seconds for which a process is shown after it has last looked, if it has nothing in flight.
SHOWN = 60.0
#: Seconds that a request may take longer than its time-out before it is taken for lost.
MARGIN = 5.0
#: Seconds of an even pace that may be sent at once, because nobody looks more often.
EVENNESS = 0.02
#: Seconds after which somebody who waits for an answer looks again in any case.
HEARTBEAT = 1.0


class Member(msgspec.Struct):
    """A process that shares the token."""

    #: For people, as in "process 4711 on host".
    name: str
    run: str | None
    seen: float
    #: The most requests that it has had at once, in flight and waiting.
    width: int = 0
    #: Requests that have been sent, in all and since the current window was first seen.
    sent: int = 0
    sent_in_window: int = 0


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

    @classmethod
    def start(cls, period: float, limit: int | None) -> State:
        """Nobody has sent anything."""
        return cls(Window.start(period=period, limit=limit, grain=GRAIN))


#: Parts of a period in which answers are counted together: fewer than in one process, because they are written down.
GRAIN = 250


class Want(msgspec.Struct, frozen=True):
    """Requests of the looking process that wait: all of this type and priority."""

    kind: str
    priority: int
    count: int


class Report(msgspec.Struct, frozen=True):
    """How the request of a permit ended. evidence: None if no answer came. left: False if it never left."""

    lease: int
    evidence: Evidence | None = None
    left: bool = True


class Look(msgspec.Struct, frozen=True):
    """What a process says when it looks.

    Args:
        owner: Its key.
        name: Its name for people.
        run: What it is doing, for people.
        timeout: Seconds that one of its requests may take.
        wants: Its requests that wait; what is not among them does not wait any more.
        reports: How its requests ended.
        strays: Requests that it sent without a permit of this state (while the store was gone): they may have been
            counted.
        width: Its requests in flight and waiting.
        past: All its requests of the last period, for a state that does not know the process: it was lost and has
            begun anew.
    """

    owner: str
    name: str
    timeout: float
    run: str | None = None
    wants: tuple[Want, ...] = ()
    reports: tuple[Report, ...] = ()
    width: int = 0
    strays: int = 0
    past: int = 0


class Seen(msgspec.Struct, frozen=True):
    """What it gets to know.

    permits: those for its requests, with the number of the lease. wait: how long the first of the others has to wait;
    None if none waits. others: whether other processes should look, because something has changed for them.
    """

    permits: tuple[tuple[int, Permit], ...]
    wait: Wait | None
    others: bool


def exchange(state: State, now: float, look: Look) -> Seen:
    """One process looks at the state and changes it."""
    _expire(state, now)
    member = state.members.get(look.owner)
    strays = look.strays
    if member is None:
        member = state.members[look.owner] = Member(look.name, look.run, now)
        strays = look.past
    member.seen, member.run = now, look.run
    member.width = max(member.width, look.width)
    for _ in range(strays):
        state.window.stray(now)
    for report in look.reports:
        _hear(state, now, look.owner, report)
    wanted = {(want.kind, want.priority): want.count for want in look.wants if want.count > 0}
    permits = _collect(state, now, look, wanted)
    _queue(state, look.owner, wanted)
    waits, others = _serve(state, now, look, permits)
    _count_sent(state, member, len(permits))
    mine = next((place for place in state.places if place.owner == look.owner), None)
    wait = waits.get(_key(state, mine.kind)) if mine is not None else None
    heard = bool(look.reports) and any(place.owner != look.owner for place in state.places)
    return Seen(tuple(permits), wait, others or heard)


# -- parts ---------------------------------------------------------------------------------------------------------------


def _key(state: State, kind: str) -> str:
    return kind if kind in state.apart else ""


def _window(state: State, key: str) -> Window:
    return state.apart[key] if key else state.window


def _of(state: State, permit: Permit) -> Window:
    return state.apart[permit.kind] if permit.apart else state.window


def _expire(state: State, now: float) -> None:
    for number, lease in list(state.leases.items()):
        if now < lease.deadline:
            continue
        del state.leases[number]
        window = _of(state, lease.permit)
        if lease.taken:
            window.lost(lease.permit, now)
        else:
            window.unused(lease.permit)
    dead = {owner for owner, member in state.members.items() if now >= member.seen + DEAD}
    state.places = [place for place in state.places if place.owner not in dead]
    busy = {lease.owner for lease in state.leases.values()}
    for owner in dead - busy:
        if now >= state.members[owner].seen + SHOWN:
            del state.members[owner]


def _hear(state: State, now: float, owner: str, report: Report) -> None:
    lease = state.leases.get(report.lease)
    if lease is None or lease.owner != owner:
        return  # its deadline had passed, and it was counted then
    del state.leases[report.lease]
    permit, window = lease.permit, _of(state, lease.permit)
    if not report.left:
        window.unused(permit)
    elif report.evidence is None:
        window.lost(permit, now)
    elif report.evidence.refused and not permit.apart and window.counts_apart(permit):
        _split(state, now, permit, report.evidence)
    else:
        window.answered(permit, now, report.evidence)


def _split(state: State, now: float, permit: Permit, evidence: Evidence) -> None:
    """From now on this type of request has a window of its own, which begins with this refusal."""
    state.window.unused(permit)
    if permit.kind not in state.apart:
        window = Window.start(period=state.window.period, limit=evidence.total_permitted, grain=GRAIN)
        first = window.take(now)
        if isinstance(first, Permit):
            window.answered(first, now, evidence)
        state.apart[permit.kind] = window


def _collect(
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
                permits.append((number, lease.permit))
                break
    return permits


def _queue(state: State, owner: str, wanted: dict[tuple[str, int], int]) -> None:
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


def _serve(
    state: State, now: float, look: Look, permits: list[tuple[int, Permit]]
) -> tuple[dict[str, Wait], bool]:
    """Hand out permits in order. Those for the looking process are added to `permits`.

    Returns:
        How long each window is closed then, and whether permits lie ready for other processes.
    """
    waits: dict[str, Wait] = {}
    others = False
    for place in state.places:
        key = _key(state, place.kind)
        while place.count and key not in waits:
            answer = _take(state, now, key, _waiting(state, key))
            if isinstance(answer, Wait):
                waits[key] = answer
                break
            receiver: Place | None = place
            if answer.solo and place.owner != look.owner:
                # All others wait for its answer: it goes to a process that sends it at once.
                receiver = _first_place(state, look.owner, key)
            if receiver is None:
                _window(state, key).unused(answer)
                waits[key] = Wait(now, WaitReason.WINDOW)
                break
            receiver.count -= 1
            answer.kind, answer.apart = receiver.kind, bool(key)
            ours = receiver.owner == look.owner
            deadline = now + (look.timeout + MARGIN if ours else READY)
            state.leases[state.permits] = Lease(receiver.owner, answer, deadline, taken=ours)
            if ours:
                permits.append((state.permits, answer))
            else:
                others = True
            state.permits += 1
    state.places = [place for place in state.places if place.count]
    return waits, others


def _first_place(state: State, owner: str, key: str) -> Place | None:
    for place in state.places:
        if place.owner == owner and _key(state, place.kind) == key and place.count:
            return place
    return None


def _waiting(state: State, key: str) -> int:
    return sum(place.count for place in state.places if _key(state, place.kind) == key)


def _take(state: State, now: float, key: str, waiting: int) -> Permit | Wait:
    window = _window(state, key)
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


def _count_sent(state: State, member: Member, sent: int) -> None:
    number = state.window.number
    if number != state.number:
        state.number = number
        for other in state.members.values():
            other.sent_in_window = 0
    member.sent += sent
    member.sent_in_window += sent
