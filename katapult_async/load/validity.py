"""Whether a load test measured the server, or only its own client. Pure.

A result is not valid if the calls did not start when they were due, or could not be sent. Its
latencies then describe the client, the rate limit, or the length of the test.
"""

from __future__ import annotations

from katapult_async.words import count, counted, milliseconds

from .recording import NOT_SENT, Recording
from .result import LoadPart
from .schedule import OpenLoop

#: The part of the calls that may start late, or wait for a permit, in an otherwise valid result.
_PART = 0.01
#: The accepted wait for a permit in seconds. At each minute of the server one request goes ahead.
_PERMIT_WAIT = 0.5
#: Less of the offered calls within the measured time means that the rate was not kept.
_KEPT = 0.95
#: Seconds of calls that may be in progress at the end. A short test says nothing about less.
_BEHIND = 1.0


def problems_of(recording: Recording, part: LoadPart) -> list[str]:
    """Return why the measurement of one process is not valid, in sentences."""
    found: list[str] = []
    late = recording.lag.percentile(100 * (1 - _PART))
    if late > part.max_lag:
        found.append(
            f"This client could not keep up: 1 % of its calls started {milliseconds(late)} late or more"
            f" ({milliseconds(part.max_lag)} is accepted). Offer less, use several"
            " processes, or accept more with --max-lag."
        )
    if recording.full:
        found.append(
            f"{counted(recording.full, 'call')} started late, because too many were in flight."
            " Add --max-in-flight, or offer less."
        )
    if recording.queued.above(part.max_lag) > _PART * recording.offered:
        found.append(
            f"{counted(recording.queued.total, 'call')} waited for a free machine. The manifest needs more"
            " machines, or the rate is too high for it."
        )
    if isinstance(part.schedule, OpenLoop):
        found += _not_kept(recording, part)
    if not recording.offered:
        found.append("No call was due in the measured time.")
    return found


def _not_kept(recording: Recording, part: LoadPart) -> list[str]:
    found: list[str] = []
    waits = recording.total().wait
    held = waits.above(_PERMIT_WAIT)
    not_sent = recording.outcomes().get(NOT_SENT, 0)
    if held > _PART * max(waits.total, 1):
        found.append(
            f"The rate limit held back {count(held)} of {counted(waits.total, 'call')}, for up to"
            f" {milliseconds(waits.max)}. The rate cannot be kept within the limit. Offer less, or add"
            " --ignore-limit."
        )
    if not_sent:
        found.append(f"{counted(not_sent, 'call')} had not been sent when the test ended.")
    achieved = sum(second.ended for second in recording.seconds.values())
    behind = recording.offered - achieved
    if behind > (1 - _KEPT) * recording.offered and behind > _BEHIND * recording.offered / part.duration:
        found.append(
            f"The rate was not kept: {count(achieved)} of {counted(recording.offered, 'call')} ended within the"
            " measured time. The latency grows with the length of the test."
        )
    return found


def notes_of(recording: Recording, part: LoadPart) -> list[str]:
    """Return remarks on a measurement that do not make it invalid."""
    found: list[str] = []
    if not isinstance(part.schedule, OpenLoop):
        found.append(
            "In a closed loop a slow server gets fewer requests, so the percentiles leave out the requests that"
            " independent users would have sent while it was slow."
        )
        held = recording.total().wait.above(_PERMIT_WAIT)
        if held:
            found.append(f"The rate limit held back {counted(held, 'call')}.")
    if recording.rate_limited and not part.ignores_limit:
        found.append(f"{counted(recording.rate_limited, 'request')} got a 429 and was sent again.")
    if part.interrupted:
        found.append(f"The test was stopped after {milliseconds(part.duration)}.")
    return found
