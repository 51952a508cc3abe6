"""Decide what a bulk run does with an item after a failed attempt. Pure functions.

The steps of a line in a durable run are another matter: `jobs/steps/transitions.py`.

| response | meaning | verdict |
|---|---|---|
| a response that decodes | done | (no error, no verdict) |
| 503 service_unavailable, no connection | not executed | RETRY |
| 500, 502, 504, reset or time-out after sending, unreadable 200 | unclear | READ_BACK |
| 408, or a 4xx that is not from the API (see errors) | unclear | READ_BACK |
| 200 that shows another disk, or after assign another machine | unclear | READ_BACK |
| an error in the action's `may_be_done` | refused or already done | CHECK |
| any refusal after an unclear attempt | refused or already done | CHECK |
| any other error of the API, even with an unknown code | refused | FAIL |
| the token, the network or the scope is refused | the whole run is refused | STOP |

A 429 needs no verdict: it was not executed, and its request waits for the next permit
(`ratelimit/window.py`).
"""

from __future__ import annotations

import enum

from katapult_async.errors import Execution, KatapultError


class Start(enum.Enum):
    """How the work on an item starts."""

    SEND = "the item was never sent: send it"
    READ_BACK = "an earlier run may have sent the item: read it back first"
    READ_FIRST = "the item was never sent: read it before each attempt"
    SKIP = "leave the item out: it is not attempted"


class Verdict(enum.Enum):
    """What the run does after a failed attempt."""

    RETRY = "send the item again later"
    READ_BACK = "read the item: if it is not done, send it again"
    CHECK = "read the item once: it may already be done"
    FAIL = "the item cannot be done"
    STOP = "no item of this run can be done"


class ReadBack(enum.Enum):
    """What a read shows about an item."""

    DONE = "it is in the wanted state"
    NOT_DONE = "it is in the state from before"
    CONFLICT = "it is in another state: another client has changed it"
    BOOT_DISK = "it is the boot disk of its machine, which cannot be removed"
    UNCLEAR = "the read does not show whether the request was executed"


def judge(
    error: KatapultError, *, unclear_before: bool, may_be_done: tuple[type[KatapultError], ...] = ()
) -> Verdict:
    """Return what the run does after a failed attempt.

    Args:
        error: The error of the attempt.
        unclear_before: Whether an earlier attempt for this item may have been executed.
        may_be_done: Refusals that may mean that the item was already done.

    Returns:
        The verdict.
    """
    if error.stops_run:
        return Verdict.STOP
    if error.execution is Execution.NOT_EXECUTED:
        return Verdict.RETRY
    if error.execution is Execution.UNCLEAR:
        return Verdict.READ_BACK
    if unclear_before or isinstance(error, may_be_done):
        return Verdict.CHECK
    return Verdict.FAIL
