"""What one response says about the rate limit: headers and the details of a 429, as checked facts.

Reads strings and numbers and checks them for plausibility. It decides nothing. An implausible value
becomes None, so no other module has to check it again.

What is known about the API (docs/explanation/rate-limits.md): every recorded response carries
`X-Ratelimit-Permitted` and `X-Ratelimit-Remaining`. `Remaining` is what is left after the server
counted the request. A 429 names `total_permitted`, the requests permitted per minute. `Date` has a
resolution of one second. Whether a 429 carries the headers is unknown.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from functools import lru_cache

import msgspec

#: A higher limit is implausible: no installation permits a million requests a minute to one token.
HIGHEST_PLAUSIBLE_LIMIT = 1_000_000
#: A longer Retry-After (seconds) is implausible.
LONGEST_PLAUSIBLE_WAIT = 3600.0


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """The facts in one response.

    Args:
        permitted: Requests per window, from the header.
        remaining: Requests left in the window after this one. None unless `permitted` is there,
            too.
        date: The server's clock when it sent the response, Unix time in whole seconds.
        refused: Whether the response is a 429.
        retry_after: Seconds that the server asks to wait.
        genuine: False for a 5xx, which may come from a proxy in front of the API.
        total_permitted: The limit in the details of a 429. If the header states more, this one
            counts.
        absurd: Whether a 429 named no plausible limit.
    """

    permitted: int | None = None
    remaining: int | None = None
    date: float | None = None
    refused: bool = False
    retry_after: float | None = None
    genuine: bool = True
    total_permitted: int | None = None
    absurd: bool = False


def plausible_limit(value: object) -> int | None:
    """Return `value` if it can be a number of requests per minute, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PLAUSIBLE_LIMIT:
        return value
    return None


def read_evidence(
    status: int,
    headers: Mapping[str, str],
    *,
    total_permitted: object = None,
) -> Evidence:
    """Return the facts in a response.

    Args:
        status: The HTTP status.
        headers: The headers, looked up by their canonical names.
        total_permitted: The value in the details of a 429, not yet checked.
    """
    permitted = _limit(headers.get("X-Ratelimit-Permitted"))
    remaining = _integer(headers.get("X-Ratelimit-Remaining")) if permitted is not None else None
    if permitted is None or remaining is None or remaining > permitted:
        permitted = remaining = None  # a counter above its own limit is implausible
    text = headers.get("Date")
    date = _http_date(text) if text is not None else None
    if status != 429:
        return Evidence(permitted, remaining, date, False, None, status < 500)
    named = plausible_limit(total_permitted)
    retry_after = _retry_after(headers.get("Retry-After"), date)
    return Evidence(permitted, remaining, date, True, retry_after, True, named, named is None)


def _integer(text: str | None) -> int | None:
    # isdecimal alone accepts digits of other scripts. int() accepts signs, blanks and underscores.
    if text is not None and text.isascii() and text.isdecimal() and len(text) <= 9:
        return int(text)
    return None


@lru_cache(maxsize=64)
def _limit(text: str | None) -> int | None:
    return plausible_limit(_integer(text))


# Responses of one second share their Date, so it is parsed once a second.
@lru_cache(maxsize=16)
def _http_date(text: str) -> float | None:
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _retry_after(text: str | None, date: float | None) -> float | None:
    seconds: float | None = _integer(text)
    if seconds is None and text is not None:
        at = _http_date(text)
        seconds = at - date if at is not None and date is not None else None
    return seconds if seconds is not None and 0 <= seconds <= LONGEST_PLAUSIBLE_WAIT else None
