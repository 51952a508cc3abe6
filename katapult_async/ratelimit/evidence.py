"""What one response says about the rate limit: headers and the details of a 429 turned into facts.

Reads strings and numbers, checks them for sense, and decides nothing. Absurd values come out as None, so that
nobody further on has to distrust them again.

Facts (katapult-api, Rate limit): `X-Ratelimit-Permitted` and `X-Ratelimit-Remaining` stand on every response
observed; `Remaining` is what is left after the request was counted; a 429 names `total_permitted`, the requests
permitted per minute; `Date` has a resolution of one second; whether a 429 carries the headers is unknown.
"""

from __future__ import annotations

import email.utils
from collections.abc import Mapping
from functools import lru_cache

import msgspec

#: A limit above this is taken for nonsense: no installation permits a million requests a minute to one token.
HIGHEST_PLAUSIBLE_LIMIT = 1_000_000
#: A Retry-After above this (seconds) is taken for nonsense.
LONGEST_PLAUSIBLE_WAIT = 3600.0


class Evidence(msgspec.Struct, frozen=True, gc=False):
    """The facts in one response.

    permitted: requests per window, from the header or from the details of a 429.
    remaining: requests left in the window after this one; only together with `permitted`.
    date: the server's clock when it answered, unix time in whole seconds.
    refused: the answer was a 429.
    retry_after: seconds the server asked to wait.
    genuine: the API itself answered, not a proxy in front of it.
    """

    permitted: int | None = None
    remaining: int | None = None
    date: float | None = None
    refused: bool = False
    retry_after: float | None = None
    genuine: bool = True
    #: The limit named by the details of a 429. It wins over a header that says more.
    total_permitted: int | None = None
    #: A 429 named a limit, and it made no sense.
    absurd: bool = False


def plausible_limit(value: object) -> int | None:
    """`value` if it can be a number of requests per minute, else None."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= HIGHEST_PLAUSIBLE_LIMIT:
        return value
    return None


def read_evidence(
    status: int,
    headers: Mapping[str, str],
    *,
    total_permitted: object = None,
) -> Evidence:
    """The evidence in a response with this status and these headers (looked up by their canonical names).

    `total_permitted` is what the details of a 429 named, unchecked.
    """
    permitted = _limit(headers.get("X-Ratelimit-Permitted"))
    remaining = _integer(headers.get("X-Ratelimit-Remaining")) if permitted is not None else None
    if permitted is None or remaining is None or remaining > permitted:
        permitted = remaining = None  # a counter outside its own limit says nothing
    text = headers.get("Date")
    date = _http_date(text) if text is not None else None
    if status != 429:
        return Evidence(permitted, remaining, date, False, None, status < 500)
    named = plausible_limit(total_permitted)
    retry_after = _retry_after(headers.get("Retry-After"), date)
    return Evidence(permitted, remaining, date, True, retry_after, True, named, named is None)


# The same few texts come again and again: to look one up takes a third of the time of reading it.
@lru_cache(maxsize=4096)
def _integer(text: str | None) -> int | None:
    # isdecimal alone would let other scripts' digits through, and int() takes signs, blanks and underscores.
    if text is not None and text.isascii() and text.isdecimal() and len(text) <= 9:
        return int(text)
    return None


@lru_cache(maxsize=64)
def _limit(text: str | None) -> int | None:
    return plausible_limit(_integer(text))


# Responses of one second share their Date: parsing it once a second instead of once a response.
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
