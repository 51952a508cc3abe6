"""Compute how long a number of requests takes under a rate limit.

`plan`, `run`, `status`, `rollback` and the live display use it. Pure functions. They assume windows
of the server's clock, a server clock equal to this machine's, and no retries.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from katapult_async.jobs.journal.records import Step, TimelineSecond
from katapult_async.resources.actions import action_named


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """What limits the number of requests per second of a run.

    Attributes:
        limit: Requests permitted in a window. None if not known.
        remaining: Requests permitted in the rest of the current window. None for a full window.
        period: Length of the window in seconds.
        max_per_second: The user's maximum of requests per second. None without one.
        measured: Requests per second that the run reaches while it does not wait for permits. None
            if not known. See `reached`.
    """

    limit: int | None
    remaining: int | None = None
    period: float = 60.0
    max_per_second: float | None = None
    measured: float | None = None


def seconds_for(requests: int, throughput: Throughput, now: float) -> float | None:
    """Return the seconds until the last of the requests has been sent.

    None if neither the limit nor the user's maximum is known.

    Args:
        requests: The number of requests to send.
        throughput: What limits them.
        now: Unix time in seconds, for the position in the current window.
    """
    if requests <= 0:
        return 0.0
    own = [rate for rate in (throughput.max_per_second, throughput.measured) if rate is not None and rate > 0]
    fastest = min(own, default=math.inf)
    if throughput.limit is None:
        # Without a limit, only the user's maximum determines the time.
        return requests / fastest if throughput.max_per_second is not None else None
    to_boundary = throughput.period - now % throughput.period
    remaining = throughput.limit if throughput.remaining is None else max(throughput.remaining, 0)
    in_this_window = min(remaining, fastest * to_boundary)
    if requests <= in_this_window:
        return requests / fastest
    left = requests - in_this_window
    per_window = min(throughput.limit, fastest * throughput.period)
    full_windows = math.ceil(left / per_window) - 1
    return to_boundary + full_windows * throughput.period + (left - full_windows * per_window) / fastest


def reached(seconds: Iterable[tuple[float, float]], now: float) -> float | None:
    """Return the requests per second that a run reaches while it does not wait for permits.

    This is the number of requests in the second of an average request. Seconds without requests do
    not count, and seconds with few requests hardly count. So a wait does not change the result, nor
    do the stragglers before it. Response times would: the last responses before a wait are the
    slowest ones.

    Args:
        seconds: Seconds of about one window, each as Unix time and the number of requests.
        now: Unix time in seconds. The current second counts only if there is no other one.

    Returns:
        The rate, or None without a request.
    """
    counted = [(at, sent) for at, sent in seconds if sent > 0]
    complete = [sent for at, sent in counted if at + 1 <= now] or [sent for _, sent in counted]
    return sum(sent * sent for sent in complete) / sum(complete) if complete else None


def used_in_window(seconds: Iterable[TimelineSecond], period: float, now: float) -> int:
    """Return how many of a run's requests were sent in the current window.

    Args:
        seconds: The timeline of the run, or its end.
        period: Length of the window in seconds.
        now: Unix time in seconds.
    """
    return sum(second.requests for second in seconds if second.at >= now - now % period)


def action_requests(lines: int, action: str) -> int:
    """Return how many requests a run of an action needs without retries and polls.

    Args:
        lines: The number of its lines.
        action: The name of the action.
    """
    return lines * (2 if action_named(action).read_first else 1)


def step_requests(lines: int, step: str) -> int:
    """Return how many requests a step needs without retries and polls.

    Args:
        lines: The number of its open lines.
        step: The name of the step, or of an action. A rollback reads each disk first.
    """
    if step in (Step.ASSIGN, Step.ATTACH):
        return lines
    return 2 * lines if step in (Step.DETACH, Step.UNASSIGN) else action_requests(lines, step)


def rollback_requests(lines: int, attached: int) -> int:
    """Return about how many requests a rollback needs.

    Args:
        lines: Disks to unassign. Each is read, then unassigned.
        attached: Disks among them to detach first. Each is read, then detached, and its task is
            polled.
    """
    return 2 * lines + 3 * attached
