"""How permits end: by a report of their process, at their deadline, or with the whole state.

Pure functions.
"""

from __future__ import annotations

from katapult_async.ratelimit import Evidence, Permit, Window

from .state import GRAIN, Lease, Report, State

#: Seconds without a look after which a process counts as dead. A waiting one looks every second.
DEAD = 5.0


def key_for(state: State, kind: str) -> str:
    """Return the key of the window for a type of request. Empty for the common window."""
    return kind if kind in state.apart else ""


def window_of(state: State, key: str) -> Window:
    """Return the window with this key. See `key_for`."""
    return state.apart[key] if key else state.window


def window_for(state: State, permit: Permit) -> Window:
    """Return the window that a permit comes from."""
    return state.apart[permit.kind] if permit.apart else state.window


def end(state: State, now: float, number: int, lease: Lease) -> None:
    """End a lease without a report of its process."""
    del state.leases[number]
    window = window_for(state, lease.permit)
    if lease.taken:
        window.lost(lease.permit, now)
    else:
        window.unused(lease.permit)


def end_all(state: State, now: float, *, keep: frozenset[int] = frozenset()) -> None:
    """End all leases without a report.

    Args:
        state: The state, which is changed.
        now: Seconds of the store's clock.
        keep: Numbers of leases that do not end.
    """
    for number, lease in list(state.leases.items()):
        if number not in keep:
            end(state, now, number, lease)


def apply_report(state: State, now: float, owner: str, report: Report) -> None:
    """Record how a request ended."""
    lease = state.leases.get(report.lease)
    if lease is None or lease.owner != owner:
        return  # the deadline has passed, and the request is already counted
    del state.leases[report.lease]
    permit, window = lease.permit, window_for(state, lease.permit)
    if not report.left:
        window.unused(permit)
        uncount(state, lease)
    elif report.evidence is None:
        window.lost(permit, now)
    elif report.evidence.refused and not permit.apart and window.counts_apart(permit):
        _split(state, now, permit, report.evidence)
    else:
        window.answered(permit, now, report.evidence)


def uncount(state: State, lease: Lease) -> None:
    """Subtract a permit that was not used from what its process has sent."""
    member = state.members.get(lease.owner)
    if member is None:
        return
    member.sent -= 1
    if lease.window == state.number:
        member.sent_in_window -= 1


def _split(state: State, now: float, permit: Permit, evidence: Evidence) -> None:
    """Give this type of request a window of its own, which starts with this refusal."""
    state.window.unused(permit)
    if permit.kind not in state.apart:
        window = Window.start(period=state.window.period, limit=evidence.total_permitted, grain=GRAIN)
        first = window.take(now)
        if isinstance(first, Permit):
            window.answered(first, now, evidence)
        state.apart[permit.kind] = window


def alone(state: State, now: float, owner: str, reports: list[Report], *, keep: frozenset[int]) -> State:
    """Return the state that one process continues with while the store is unavailable.

    Requests of other processes in flight count as used.

    Args:
        state: The state after the last look, which is changed.
        now: Seconds of the store's clock.
        owner: The key of the process.
        reports: How requests of the process ended that the store has not recorded.
        keep: The leases of the process that are in flight.
    """
    for report in reports:
        apply_report(state, now, owner, report)
    end_all(state, now, keep=keep)
    # The other processes are on their own, too, and continue to send.
    sharers = sum(member.seen > now - DEAD for member in state.members.values())
    for window in (state.window, *state.apart.values()):
        window.sharers = max(1, sharers)
    return state
