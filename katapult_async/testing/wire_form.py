"""The form of responses: their headers, the envelope of errors, and the details of a 429."""

from __future__ import annotations

import email.utils
import hashlib
import itertools
import math
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from katapult_async.testing.limiters import Verdict
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.settings import Answers

_encode = msgspec.json.Encoder().encode
# The names are those of the real API. Its values were not recorded.
_ALWAYS = {
    "Vary": "Accept-Encoding",
    "Strict-Transport-Security": "max-age=31536000",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "*",
}


class Reply(NamedTuple):
    """One encoded response."""

    status: int
    headers: dict[str, str]
    body: bytes


class WireForm:
    """Writes responses. Its public attributes are the options of Answers, and may be changed.

    Args:
        answers: The initial options.
        seed: The same seed makes the same request IDs.
    """

    def __init__(self, answers: Answers, *, seed: int = 0) -> None:
        self.headers = answers.headers
        self.headers_on_429 = answers.headers_on_429
        self.retry_after = answers.retry_after
        self.description_null = answers.description_null
        self.flat_errors = answers.flat_errors
        details = answers.absurd_429_details
        self._absurd_details = None if details is None else _cycle(details)
        self._rng = random.Random(seed)
        self._date = (-1, "")

    def answered(self, status: int, payload: dict[str, Any], now: float, verdict: Verdict | None) -> Reply:
        """Return a successful response."""
        body = _encode(payload)
        headers = self._headers(now, verdict)
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        headers["ETag"] = f'W/"{digest}"'
        headers["Cache-Control"] = "max-age=0, private, must-revalidate"
        return Reply(status, headers, body)

    def refused(self, refusal: Refusal, now: float, verdict: Verdict | None) -> Reply:
        """Return an error response. `verdict` is None if the request was not counted."""
        error = {
            "code": refusal.code,
            "description": None if self.description_null else refusal.description,
            "detail": refusal.detail,
        }
        headers = self._headers(now, verdict)
        headers["X-Api-Schema"] = "json-error"
        headers["Cache-Control"] = "no-cache"
        return Reply(refusal.status, headers, _encode(error if self.flat_errors else {"error": error}))

    def details_of_429(self, verdict: Verdict) -> dict[str, object]:
        """Return the correct limit, or the next of the absurd values."""
        value = verdict.permitted if self._absurd_details is None else next(self._absurd_details)
        return {} if value == "missing" else {"total_permitted": value}

    def _headers(self, now: float, verdict: Verdict | None) -> dict[str, str]:
        headers = {
            "Content-Type": "application/json",
            "Date": self._date_at(now),
            "Server": "katapult-emulator",
            "X-Request-Id": str(uuid.UUID(int=self._rng.getrandbits(128), version=4)),
            **_ALWAYS,
        }
        if verdict is None:
            return headers
        if self.headers and (verdict.allowed or self.headers_on_429):
            headers["X-Ratelimit-Permitted"] = str(verdict.permitted)
            headers["X-Ratelimit-Remaining"] = str(verdict.remaining)
        if not verdict.allowed and self.retry_after is not False:
            seconds = verdict.retry_after if self.retry_after is True else self.retry_after
            if math.isfinite(seconds):
                headers["Retry-After"] = str(math.ceil(seconds))
        return headers

    def _date_at(self, now: float) -> str:
        second = math.floor(now)
        if self._date[0] != second:
            self._date = (second, email.utils.formatdate(second, usegmt=True))
        return self._date[1]


def _cycle(details: object) -> Iterator[object]:
    values = cast("Sequence[object]", details) if isinstance(details, (list, tuple)) else (details,)
    return itertools.cycle(values)
