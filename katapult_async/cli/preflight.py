"""The result of a preflight for people and programs: current state, cost and expected end."""

from __future__ import annotations

from typing import TextIO

from katapult_async.cli.safe import shown
from katapult_async.cli.terminal import wrapped
from katapult_async.cli.words import clock_time, count, counted, duration
from katapult_async.jobs import Finding, Preflight
from katapult_async.jobs.report.command_documents import PlanDocument, PlanLine
from katapult_async.jobs.report.documents import encode

_WORDS = {
    Finding.TO_ASSIGN: "to assign",
    Finding.ALREADY_THERE: "already assigned",
    Finding.CONFLICT: "on another virtual machine",
    Finding.DISK_NOT_FOUND: "disk not found",
    Finding.MACHINE_NOT_FOUND: "virtual machine not found",
    Finding.IN_TRASH: "in the trash",
    Finding.NOT_READY: "not ready yet (sent last)",
    Finding.NOT_LISTED: "not in the organization's lists (sent last; --thorough reads each)",
    Finding.DATA_CENTERS_DIFFER: "in different data centers",
}


def show(file: TextIO, preflight: Preflight, *, period: float, now: float) -> None:
    """Write counts, the first lines that need attention, and the cost.

    Args:
        file: The stream to write to.
        preflight: The preflight.
        period: Length of the server's window in seconds.
        now: Unix time in seconds.
    """
    for found, number in preflight.counts.items():
        print(f"{count(number):>9}  {_WORDS[found]}", file=file)
        if found in (Finding.TO_ASSIGN, Finding.ALREADY_THERE):
            continue
        for line in preflight.first[found]:
            detail = f": {line.detail}" if line.detail else ""
            text = f"line {line.number}: {line.disk} -> {line.virtual_machine}{detail}"
            print(f"{'':>11}{shown(text)}", file=file)
        if number > len(preflight.first[found]):
            print(f"{'':>11}and {count(number - len(preflight.first[found]))} more", file=file)
    for sentence in sentences(preflight, period=period, now=now):
        print(wrapped(sentence, file), file=file)
    file.flush()


def sentences(preflight: Preflight, *, period: float, now: float) -> list[str]:
    """Return the requests that the preflight used, and the cost of the run.

    Args:
        preflight: The preflight.
        period: Length of the server's window in seconds.
        now: Unix time in seconds.
    """
    found = [f"Preflight used {counted(preflight.requests, 'request')}."]
    requests = preflight.assign_requests + preflight.attach
    if not requests:
        return [*found, "Nothing has to be sent."]
    found.append(f"The run needs {counted(requests, 'request')} or a few more{_parts(preflight)}.")
    found.append(_end(preflight, period=period, now=now))
    if preflight.not_examined:
        machines = counted(preflight.not_examined, "virtual machine")
        found.append(f"Preflight did not check whether {machines} are ready: that needs as many requests.")
    if preflight.not_compared:
        more = counted(preflight.not_compared, "more request")
        found.append(
            f"Preflight did not compare data centers, because lists do not show them: --thorough does, with {more}."
        )
    return found


def _parts(preflight: Preflight) -> str:
    if not preflight.attach:
        return ""
    parts = [f"{count(preflight.assign_requests)} to assign"] if preflight.assign_requests else []
    machines = counted(preflight.attach_machines, "virtual machine")
    parts.append(f"{count(preflight.attach)} to attach, and about three for each of {machines}")
    return f" ({', '.join(parts)})"


def _end(preflight: Preflight, *, period: float, now: float) -> str:
    if preflight.seconds is None:
        return "How long that takes is not known, because the rate limit is not known yet."
    per = "per minute" if period == 60 else f"per {period:g} s"
    permitted = preflight.total_permitted
    at = f"At {counted(permitted, 'request')} {per} it" if permitted else "It"
    seconds = max(round(preflight.seconds), 1)
    return f"{at} ends in about {duration(seconds)}, at {clock_time(now + seconds, now)}."


def as_json(preflight: Preflight) -> str:
    """Return the preflight for a program, as JSON in one line."""
    return encode(
        PlanDocument(
            counts=preflight.counts,
            first={
                found: [
                    PlanLine(
                        line=line.number,
                        disk=line.disk,
                        virtual_machine=line.virtual_machine,
                        detail=line.detail,
                    )
                    for line in lines
                ]
                for found, lines in preflight.first.items()
            },
            requests=preflight.requests,
            assign_requests=preflight.assign_requests,
            attach=preflight.attach,
            total_permitted=preflight.total_permitted,
            seconds=preflight.seconds,
            not_compared=preflight.not_compared,
            not_examined=preflight.not_examined,
        )
    )
