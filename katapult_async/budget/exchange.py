"""What happens when one of the processes that share a token looks at their state.

Pure functions on plain data. Times are seconds of the store's clock and are passed in. A process takes part by calling
`exchange` in a transaction of the store: it reports how its requests ended, says how many it wants to send, and gets
permits or a time to wait for. Everything that the rate limit decides is decided by the same state machine that a
single process has (`ratelimit.Window`); here is only who gets the permits.

- Permits are handed out by priority, then to whoever has had least of late, whichever process is looking. A permit for
  another process lies ready for it until it looks. A request that all others wait for goes to the process that looks.
- A permit that lies ready for too long goes back. A permit that was taken and whose request is not reported by its
  deadline is counted as a request that got no answer: it may have been sent.
- A process that has not looked for a while is dead: it waits for nothing any more.
- Looks may be repeated, and their results may be lost: nothing is counted twice, and no permit is lost with them.
"""

from __future__ import annotations

import math

import msgspec

from .errors import BudgetError
from .leases import DEAD, end, hear, key_for, let_go, window_for
from .serve import READY, collect, queue, serve
from .state import Look, Looked, Member, Seen, State

#: Seconds for which a process is shown after it has last looked, if it has nothing in flight, at least.
SHOWN = 60.0
#: Seconds after which somebody who waits looks again in any case.
HEARTBEAT = 1.0


def exchange(found: State | None, now: float, look: Look) -> Looked:
    """One process looks at the state and changes it.

    Args:
        found: The state of the store, which is changed; None if it has none.
        now: Seconds of the store's clock.
        look: What the process says.

    Raises:
        BudgetError: If a process that is alive gives another length of the window.
    """
    state = found if found is not None else _begin(look, now)
    state = _of_this_period(state, now, look)
    _expire(state, now)
    _greet(state, now, look)
    if look.state == state.name:
        for report in look.reports:
            hear(state, now, look.owner, report)
    _take_back(state, now, look)
    wanted = {(want.kind, want.priority): want.count for want in look.wants if want.count > 0}
    permits = collect(state, now, look, wanted)
    queue(state, look.owner, wanted)
    waits, others = serve(state, now, look, permits)
    _count_sent(state, state.members[look.owner], len(permits))
    mine = next((place for place in state.places if place.owner == look.owner), None)
    wait = waits.get(key_for(state, mine.kind)) if mine is not None else None
    if look.leaving:
        _bid_farewell(state, look.owner)
    return Looked(Seen(tuple(permits), wait, others), state, now)


def copy_of(state: State) -> State:
    """The same, to be changed on its own."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)


# -- parts -------------------------------------------------------------------------------------------------------


def _begin(look: Look, now: float) -> State:
    """A store that has lost the state continues with what the first process to look knows."""
    if look.known is None:
        return State.start(look.period, look.limit)
    state = copy_of(look.known)
    let_go(state, now)
    state.places = []
    state.restored_from = state.faded_at
    state.name = State.start(look.period, None).name
    return state


def _of_this_period(state: State, now: float, look: Look) -> State:
    period = state.window.period
    if period == look.period:
        return state
    for owner, member in state.members.items():
        busy = any(lease.owner == owner for lease in state.leases.values())
        if owner != look.owner and (busy or now < member.seen + DEAD):
            raise BudgetError(
                f"rate_window={look.period:g} contradicts the {period:g} seconds of {member.name} with the same token:"
                " give both the same, or no shared budget"
            )
    return State.start(look.period, look.limit)


def _greet(state: State, now: float, look: Look) -> None:
    """Bring what is known of the looking process up to date."""
    member = state.members.get(look.owner)
    if member is None:
        # Not before those that are here already: they have had a part of the window.
        recent = [other.recent for other in state.members.values() if now < other.seen + DEAD]
        member = state.members[look.owner] = Member(look.name, look.run, now)
        member.recent = sum(recent) / len(recent) if recent else 0.0
        strays = _sent_since(-math.inf, look)
    else:
        strays = look.strays - member.strays
        if look.state != state.name:
            strays += _sent_since(state.restored_from, look)
    member.seen, member.run = now, look.run
    member.width = max(member.width, look.width)
    member.strays = look.strays
    for _ in range(strays):
        state.window.stray(now)
    if look.limit is not None and state.window.limit is None:
        state.window.adopt_limit(look.limit)


def _sent_since(moment: float, look: Look) -> int:
    """Requests of the process that a state of this moment does not know."""
    return look.in_flight + (look.past.since(moment - look.shift) if look.past is not None else 0)


def _take_back(state: State, now: float, look: Look) -> None:
    """Permits of a look whose result was lost have not been used: they lie ready again."""
    for lease in state.leases.values():
        if lease.owner == look.owner and lease.taken and lease.look > look.received:
            lease.taken, lease.deadline = False, now + READY


def _expire(state: State, now: float) -> None:
    faded = math.exp(min(0.0, state.faded_at - now) / state.window.period)
    for member in state.members.values():
        member.recent *= faded
    state.faded_at = now
    for number, lease in list(state.leases.items()):
        if now >= lease.deadline:
            end(state, now, number, lease)
    dead = {owner for owner, member in state.members.items() if now >= member.seen + DEAD}
    state.places = [place for place in state.places if place.owner not in dead]
    busy = {lease.owner for lease in state.leases.values()}
    # Whoever is forgotten and comes back tells all of its last period again.
    shown = max(SHOWN, 2 * state.window.period)
    for owner in dead - busy:
        if now >= state.members[owner].seen + shown:
            del state.members[owner]


def _bid_farewell(state: State, owner: str) -> None:
    state.places = [place for place in state.places if place.owner != owner]
    for number, lease in list(state.leases.items()):
        if lease.owner == owner and not lease.taken:
            del state.leases[number]
            window_for(state, lease.permit).unused(lease.permit)
    if not any(lease.owner == owner for lease in state.leases.values()):
        del state.members[owner]


def _count_sent(state: State, member: Member, sent: int) -> None:
    number = state.window.number
    if number != state.number:
        state.number = number
        for other in state.members.values():
            other.sent_in_window = 0
    member.sent += sent
    member.sent_in_window += sent
