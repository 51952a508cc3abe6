"""A rate-limited server in virtual time whose responses lie for a while, and what a client did.

The limiter is always right. A lie changes only what a response says.
"""

from __future__ import annotations

import asyncio
import email.utils
import math
from dataclasses import dataclass, field

from katapult_async.ratelimit import Gate, Permit, read_evidence
from katapult_async.testing.limiters import Verdict
from tests.model_server import ModelServer


@dataclass(frozen=True)
class Lie:
    """What responses say instead of the truth.

    Args:
        what: "date", "remaining", "permitted", "retry_after" or "details".
        value: For a date: seconds by which it is wrong, "missing", "garbled" or "frozen". For
            remaining and permitted: the number, "missing", or a factor (a float). For retry_after:
            the header. For details: total_permitted, or "missing".
        begin: Seconds after the start.
        end: Seconds after the start.
        share: Probability with which a response lies.
    """

    what: str
    value: object
    begin: float = 0.0
    end: float = math.inf
    share: float = 1.0


@dataclass
class Sent:
    """One request as the client saw it."""

    sent: float
    answered: float
    permitted: bool


@dataclass
class LyingServer(ModelServer):
    """A ModelServer with lies.

    Args:
        lies: What responses say instead of the truth.
        started: When the lies' seconds start to count.
    """

    lies: tuple[Lie, ...] = ()
    started: float = 0.0
    log: list[Sent] = field(default_factory=list[Sent])
    frozen: str | None = None

    async def request(self, gate: Gate, permit: Permit) -> bool:
        verdict, headers = await self.exchange()
        fields: dict[str, object] = {**headers, "details": verdict.permitted}
        now = asyncio.get_running_loop().time() - self.started
        for lie in self.lies:
            if lie.begin <= now < lie.end and self.rng.random() < lie.share:
                self._falsify(lie, fields, verdict)
        details = fields.pop("details", None)
        evidence = read_evidence(
            200 if verdict.allowed else 429,
            {name: str(value) for name, value in fields.items()},
            total_permitted=details,
        )
        gate.answered(permit, evidence)
        at = asyncio.get_running_loop().time()
        self.log.append(Sent(permit.sent, at, verdict.allowed))
        return verdict.allowed

    def _falsify(self, lie: Lie, fields: dict[str, object], verdict: Verdict) -> None:
        names = {"remaining": "X-Ratelimit-Remaining", "permitted": "X-Ratelimit-Permitted", "date": "Date"}
        name = names.get(lie.what, lie.what)
        if lie.value == "missing":
            fields.pop(name, None)
        elif lie.what == "retry_after":
            if not verdict.allowed:
                fields["Retry-After"] = lie.value
        elif lie.what == "date":
            self._falsify_date(lie, fields)
        elif isinstance(lie.value, float) and name in fields:
            fields[name] = int(int(str(fields[name])) * lie.value)
        elif name in fields:
            fields[name] = lie.value

    def _falsify_date(self, lie: Lie, fields: dict[str, object]) -> None:
        if lie.value == "garbled":
            fields["Date"] = "once upon a time"
        elif lie.value == "frozen":
            self.frozen = self.frozen or email.utils.formatdate(math.floor(self.now()), usegmt=True)
            fields["Date"] = self.frozen
        else:
            wrong = float(str(lie.value))
            fields["Date"] = email.utils.formatdate(math.floor(self.now() + wrong), usegmt=True)


def refused_probes(log: list[Sent]) -> tuple[list[list[float]], float]:
    """Find out from a client's log what it did after 429s.

    Returns:
        For each closure, when it sent the probes that were refused; and the shortest pause between
        a 429 and the next request.
    """
    blocks: list[list[float]] = []
    shortest = math.inf
    blocked_since: float | None = None
    reopened_by = -math.inf
    sends = sorted(entry.sent for entry in log)
    for entry in sorted(log, key=lambda entry: entry.answered):
        if entry.permitted:
            if blocked_since is not None and entry.sent > blocked_since:
                blocked_since, reopened_by = None, entry.sent
            continue
        if blocked_since is None:
            if entry.sent < reopened_by:
                continue  # refused in the closure before
            blocked_since = entry.answered
            blocks.append([])
        elif entry.sent > blocked_since:
            blocks[-1].append(entry.sent)
        else:
            continue  # in flight at the first 429
        following = next((at for at in sends if at > entry.answered), math.inf)
        shortest = min(shortest, following - entry.answered)
    return blocks, shortest


def most_in_a_period(blocks: list[list[float]], period: float) -> int:
    """Return the largest number of refused probes of one closure in one period."""
    return max(
        (sum(at <= other < at + period for other in block) for block in blocks for at in block), default=0
    )
