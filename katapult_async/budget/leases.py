"""How permits end: by a report of their process, at their deadline, or because the state is given up. Pure functions."""

from __future__ import annotations

from katapult_async.ratelimit import Evidence, Permit, Window

from .state import GRAIN, Lease, Report, State

#: Seconds after which a process that has not looked is taken for dead. Whoever waits looks every second.
DEAD = 5.0


def key_for(state: State, kind: str) -> str:
    return kind if kind in state.apart else ""


def window_of(state: State, key: str) -> Window:
    return state.apart[key] if key else state.window


def window_for(state: State, permit: Permit) -> Window:
    return state.apart[permit.kind] if permit.apart else state.window


def end(state: State, now: float, number: int, lease: Lease) -> None:
    """Nobody reports how this permit was used."""
    del state.leases[number]
    window = window_for(state, lease.permit)
    if lease.taken:
        window.lost(lease.permit, now)
    else:
        window.unused(lease.permit)


def let_go(state: State, now: float, *, keep: frozenset[int] = frozenset()) -> None:
    """End all leases: nobody will report how their requests ended.

    Args:
        state: Is changed.
        now: Seconds of the store's clock.
        keep: Numbers of leases that are left as they are.
    """
    for number, lease in list(state.leases.items()):
        if number not in keep:
            end(state, now, number, lease)


def hear(state: State, now: float, owner: str, report: Report) -> None:
    """Take in how a request ended."""
    lease = state.leases.get(report.lease)
    if lease is None or lease.owner != owner:
        return  # its deadline had passed, and it was counted then
    del state.leases[report.lease]
    permit, window = lease.permit, window_for(state, lease.permit)
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


def alone(state: State, now: float, owner: str, reports: list[Report], *, keep: frozenset[int]) -> State:
    """What one process continues with when the store is gone. Whatever others had in flight counts as used.

    Args:
        state: As it was seen last. It is changed.
        now: Seconds of the store's clock.
        owner: The process.
        reports: How requests of the process ended that the store does not know of.
        keep: The leases of the process that are in flight.
    """
    for report in reports:
        hear(state, now, owner, report)
    let_go(state, now, keep=keep)
    # Those that were busy lately are alone now, too, and send as well.
    sharers = sum(member.seen > now - DEAD for member in state.members.values())
    for window in (state.window, *state.apart.values()):
        window.sharers = max(1, sharers)
    return state
