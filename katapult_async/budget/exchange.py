"""How a process changes the state that it shares with the other processes of its token.

Pure functions on plain data. Times are seconds of the store's clock and are passed in. A process
calls `exchange` in a transaction of the store (a *look*). It reports how its requests ended and how
many requests wait, and gets permits or a time to wait for. The state machine of a single process
(`ratelimit.Window`) decides how many requests may be sent. This module decides who sends them.

- Permits are assigned by priority, then to the process with the fewest recent permits. A permit for
  another process is reserved until that process looks. A solo permit, for which all other requests
  wait, always goes to the process that looks.
- A reserved permit that is not collected in time returns to the window. A collected permit whose
  request is not reported by its deadline counts as a request without a response, because the
  request may have been sent.
- A process that has not looked for `DEAD` seconds counts as dead. Its waiting requests are dropped.
- A look may be repeated, and its result may be lost. No request is counted twice, and no permit is
  lost.
"""

from __future__ import annotations

import math

import msgspec

from .errors import BudgetError
from .leases import DEAD, apply_report, end, end_all, key_for, uncount, window_for
from .serve import READY, collect, queue, serve
from .state import Lease, Look, Looked, Member, Seen, State

#: Seconds for which an idle process stays visible after its last look, at least.
SHOWN = 60.0
#: Longest time in seconds between two looks of a process with waiting requests.
HEARTBEAT = 1.0


def exchange(found: State | None, now: float, look: Look) -> Looked:
    """Apply one look of a process to the shared state.

    Args:
        found: The state in the store, which is changed. None if the store has none.
        now: Seconds of the store's clock.
        look: What the process reports and asks for.

    Returns:
        The permits or the wait of the process, and the new state.

    Raises:
        BudgetError: If a live process has configured another length of the window.
    """
    state = found if found is not None else _begin(look, now)
    state = _of_this_period(state, now, look)
    _expire(state, now)
    _update_member(state, now, look)
    if look.state == state.name:
        for report in look.reports:
            apply_report(state, now, look.owner, report)
    _reserve_lost_permits(state, now, look)
    wanted = {(want.kind, want.priority): want.count for want in look.wants if want.count > 0}
    permits = collect(state, now, look, wanted)
    queue(state, look.owner, wanted)
    waits, others = serve(state, now, look, permits)
    _count_sent(state, state.members[look.owner], [state.leases[number] for number, _ in permits])
    mine = next((place for place in state.places if place.owner == look.owner), None)
    wait = waits.get(key_for(state, mine.kind)) if mine is not None else None
    if look.leaving:
        _remove_member(state, look.owner)
    return Looked(Seen(tuple(permits), wait, others), state, now)


def copy_of(state: State) -> State:
    """Return a deep copy of a state."""
    return msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=State)


def _begin(look: Look, now: float) -> State:
    """Return the state for an empty store: what the first process to look knows, or a new one."""
    if look.known is None:
        return State.start(look.period, look.limit)
    state = copy_of(look.known)
    end_all(state, now)
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


def _update_member(state: State, now: float, look: Look) -> None:
    """Add the looking process, or update its entry."""
    member = state.members.get(look.owner)
    if member is None:
        # A new process must not overtake the others, which have used a part of the window.
        recent = [other.recent for other in state.members.values() if now < other.seen + DEAD]
        member = state.members[look.owner] = Member(look.name, look.run, now)
        member.recent = sum(recent) / len(recent) if recent else 0.0
        strays = _sent_since(-math.inf, look)
    else:
        strays = look.strays - member.strays
        if look.state != state.name:
            strays += _sent_since(state.restored_from, look)
    member.seen, member.run, member.spare = now, look.run, look.unused
    member.width = max(member.width, look.width)
    member.strays = look.strays
    for _ in range(strays):
        state.window.stray(now)
    if look.limit is not None and state.window.limit is None:
        state.window.adopt_limit(look.limit)


def _sent_since(moment: float, look: Look) -> int:
    """Return how many requests of the process are not in a state from this moment."""
    return look.in_flight + (look.past.since(moment - look.shift) if look.past is not None else 0)


def _reserve_lost_permits(state: State, now: float, look: Look) -> None:
    """Reserve the permits of a look whose result was lost again, because they were not used."""
    for lease in state.leases.values():
        if lease.owner == look.owner and lease.taken and lease.look > look.received:
            lease.taken, lease.deadline = False, now + READY
            uncount(state, lease)


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
    # A process that is removed and comes back reports all requests of its last period again.
    shown = max(SHOWN, 2 * state.window.period)
    for owner in dead - busy:
        if now >= state.members[owner].seen + shown:
            del state.members[owner]


def _remove_member(state: State, owner: str) -> None:
    state.places = [place for place in state.places if place.owner != owner]
    for number, lease in list(state.leases.items()):
        if lease.owner == owner and not lease.taken:
            del state.leases[number]
            window_for(state, lease.permit).unused(lease.permit)
    if not any(lease.owner == owner for lease in state.leases.values()):
        del state.members[owner]


def _count_sent(state: State, member: Member, taken: list[Lease]) -> None:
    number = state.window.number
    if number != state.number:
        state.number = number
        for other in state.members.values():
            other.sent_in_window = 0
    for lease in taken:
        lease.window = number
    member.sent += len(taken)
    member.sent_in_window += len(taken)
