"""A rate-limited server in virtual time whose answers lie for a while, and what a client made of them.

The limiter is true all the time: what a lie changes are the words of the answers.
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
    """What answers say from `begin` to `end` (seconds after the start), each with probability `share`.

    what: "date" (value: seconds by which it is wrong, "missing", "garbled" or "frozen"), "remaining" or "permitted"
    (value: the number said, "missing", or a factor as a float), "retry_after" (value: the header), "details" (value:
    total_permitted, "missing" for none).
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
    """lies: what is said instead of the truth. foreign: requests of others a second."""

    lies: tuple[Lie, ...] = ()
    started: float = 0.0
    log: list[Sent] = field(default_factory=list[Sent])
    frozen: str | None = None

    async def request(self, gate: Gate, permit: Permit) -> bool:
        verdict, headers = await self.exchange()
        said: dict[str, object] = {**headers, "details": verdict.permitted}
        now = asyncio.get_running_loop().time() - self.started
        for lie in self.lies:
            if lie.begin <= now < lie.end and self.rng.random() < lie.share:
                self._tell(lie, said, verdict)
        details = said.pop("details", None)
        evidence = read_evidence(
            200 if verdict.allowed else 429,
            {name: str(value) for name, value in said.items()},
            total_permitted=details,
        )
        gate.answered(permit, evidence)
        at = asyncio.get_running_loop().time()
        self.log.append(Sent(permit.sent, at, verdict.allowed))
        return verdict.allowed

    def _tell(self, lie: Lie, said: dict[str, object], verdict: Verdict) -> None:
        names = {"remaining": "X-Ratelimit-Remaining", "permitted": "X-Ratelimit-Permitted", "date": "Date"}
        name = names.get(lie.what, lie.what)
        if lie.value == "missing":
            said.pop(name, None)
        elif lie.what == "retry_after":
            if not verdict.allowed:
                said["Retry-After"] = lie.value
        elif lie.what == "date":
            self._tell_date(lie, said)
        elif isinstance(lie.value, float) and name in said:
            said[name] = int(int(str(said[name])) * lie.value)
        elif name in said:
            said[name] = lie.value

    def _tell_date(self, lie: Lie, said: dict[str, object]) -> None:
        if lie.value == "garbled":
            said["Date"] = "once upon a time"
        elif lie.value == "frozen":
            self.frozen = self.frozen or email.utils.formatdate(math.floor(self.now()), usegmt=True)
            said["Date"] = self.frozen
        else:
            wrong = float(str(lie.value))
            said["Date"] = email.utils.formatdate(math.floor(self.now() + wrong), usegmt=True)


def refused_probes(log: list[Sent]) -> tuple[list[list[float]], float]:
    """What a client did after refusals, from its log.

    Returns:
        For each time that it was refused, when it sent the probes that were refused before the next permitted one;
        and the shortest pause between a refusal and the next request.
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
                continue  # refused while the gate was closed before
            blocked_since = entry.answered
            blocks.append([])
        elif entry.sent > blocked_since:
            blocks[-1].append(entry.sent)
        else:
            continue  # it was in flight at the first refusal
        following = next((at for at in sends if at > entry.answered), math.inf)
        shortest = min(shortest, following - entry.answered)
    return blocks, shortest


def most_in_a_period(blocks: list[list[float]], period: float) -> int:
    """The most refused probes of one block in one period."""
    return max(
        (sum(at <= other < at + period for other in block) for block in blocks for at in block), default=0
    )
