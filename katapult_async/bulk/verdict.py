"""What an answer means: a pure function from an error and what went before to the next step.

| answer | meaning | step |
|---|---|---|
| a response that decodes | done | (no error, no verdict) |
| 503 service_unavailable, no connection | not executed | RETRY |
| 500, 502, 504, reset or time-out after sending, unreadable 200 | unclear | READ_BACK |
| 408, or a 4xx that is not the API's (see errors) | unclear | READ_BACK |
| 200 that shows another disk, or after assign another machine | unclear | READ_BACK |
| an error that the action lists in `may_be_done`, or any refusal after an unclear try | this item cannot, or it is so already | CHECK |
| any other error of the API, also with an unknown code | this item cannot | FAIL |
| the token, the network or the scope is refused | the run cannot | STOP |

A 429 never comes here: it was not executed, and its request waits for the next permit.
"""

from __future__ import annotations

import enum

from katapult_async.errors import Execution, KatapultError


class Start(enum.Enum):
    """How the work on an item begins."""

    SEND = "nothing has been done for it: send"
    READ_BACK = "an earlier run may have sent it: read the disk first"
    READ_FIRST = "nothing has been done for it, and it must not be sent without having looked"
    SKIP = "not now: it comes out as not attempted"


class Verdict(enum.Enum):
    RETRY = "send it again later"
    READ_BACK = "read the disk: done, or to be sent again?"
    CHECK = "read the disk once: was it so already?"
    FAIL = "this item cannot be done"
    STOP = "nothing of this run can be done"


class ReadBack(enum.Enum):
    """What reading the disk shows, for the action that is wanted."""

    DONE = "it is as wanted"
    NOT_DONE = "it is as before"
    CONFLICT = "it is neither: somebody else has acted on it"
    BOOT_DISK = "it is the boot disk of its machine, which is never taken away"
    UNCLEAR = "it does not show whether the request was executed"


def judge(
    error: KatapultError, *, unclear_before: bool, may_be_done: tuple[type[KatapultError], ...] = ()
) -> Verdict:
    """Return the next step after a try that failed.

    Args:
        error: Why it failed.
        unclear_before: Whether an earlier try of this item may have been executed.
        may_be_done: Refusals that may mean that the item was in the wanted state already.
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
