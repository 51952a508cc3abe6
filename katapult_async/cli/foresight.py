"""What a preflight says, for people: what is there, what a run would cost, when it would be done."""

from __future__ import annotations

import json
import time

from rich.console import Console

from katapult_async.jobs import Found, Preflight

_WORDS = {
    Found.TO_ASSIGN: "to assign",
    Found.ALREADY_THERE: "already there",
    Found.CONFLICT: "on another virtual machine",
    Found.DISK_NOT_FOUND: "disk not found",
    Found.MACHINE_NOT_FOUND: "virtual machine not found",
    Found.IN_TRASH: "in the trash",
    Found.NOT_READY: "not ready yet (sent last)",
    Found.NOT_LISTED: "not in the organization's lists (sent last; --thorough reads each)",
    Found.DATA_CENTERS_DIFFER: "in different data centres",
}


def show(console: Console, preflight: Preflight, *, period: float, now: float) -> None:
    """Counts, the first lines of what will not simply be done, and the cost. now: unix seconds."""
    file = console.file
    for found, count in preflight.counts.items():
        print(f"{count:>8}  {_WORDS[found]}", file=file)
        if found not in (Found.TO_ASSIGN, Found.ALREADY_THERE):
            for line in preflight.first[found]:
                detail = f": {line.detail}" if line.detail else ""
                print(f"{'':>10}line {line.number}: {line.disk} -> {line.virtual_machine}{detail}", file=file)
            if count > len(preflight.first[found]):
                print(f"{'':>10}and {count - len(preflight.first[found])} more", file=file)
    for sentence in _sentences(preflight, period=period, now=now):
        print(sentence, file=file)
    file.flush()


def _sentences(preflight: Preflight, *, period: float, now: float) -> list[str]:
    looked = _requests(preflight.requests)
    sentences = [f"This look has cost {looked}."]
    cost = preflight.assign_requests + preflight.attach
    if not cost:
        return [*sentences, "There is nothing to send."]
    parts = [f"{preflight.assign_requests} to assign"] if preflight.assign_requests else []
    if preflight.attach:
        parts.append(
            f"{preflight.attach} to attach, and some for each of {preflight.attach_machines} machines"
        )
    sentence = f"The run will cost {_requests(cost)} or a little more ({', '.join(parts)})"
    per = "a minute" if period == 60 else f"in {period:g} s"
    if preflight.seconds is None:
        sentence += "; how many are permitted is not known yet."
    else:
        at = time.strftime("%H:%M:%S", time.localtime(now + preflight.seconds))
        sentence += (
            f": at {preflight.total_permitted} permitted {per} it will be done about {at}"
            f" ({_duration(preflight.seconds)} from now)."
        )
    sentences.append(sentence)
    if preflight.not_examined:
        sentences.append(
            f"Whether the {preflight.not_examined} virtual machines are ready was not looked at: it would cost as "
            "many requests."
        )
    if preflight.not_compared:
        sentences.append(
            f"Data centres were not compared (lists do not show a disk's): --thorough does, for "
            f"{preflight.not_compared} requests more."
        )
    return sentences


def _requests(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def as_json(preflight: Preflight) -> str:
    """The same for a program."""
    return json.dumps(
        {
            "counts": {found.value: count for found, count in preflight.counts.items()},
            "first": {
                found.value: [
                    {
                        "line": line.number,
                        "disk": line.disk,
                        "virtual_machine": line.virtual_machine,
                        "detail": line.detail,
                    }
                    for line in lines
                ]
                for found, lines in preflight.first.items()
            },
            "requests": preflight.requests,
            "assign_requests": preflight.assign_requests,
            "attach": preflight.attach,
            "total_permitted": preflight.total_permitted,
            "seconds": preflight.seconds,
            "not_compared": preflight.not_compared,
            "not_examined": preflight.not_examined,
        }
    )
