"""Settings of an emulator: how it counts requests, and the form of its responses."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TypedDict

from katapult_async.testing.limiters import Limiter, LimiterKind, make_limiter

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


@dataclass(frozen=True)
class Counting:
    """How the emulator counts the requests of each token.

    Args:
        limit: Requests permitted in a period.
        period: Length of a period in seconds.
        limiter: The kind of limiter.
        burst: Capacity of a limiter of the kind `burst`. Default: a tenth of the limit.
        count_refused: Whether refused requests count.
        per_type: Whether each method and path has its own counter.
    """

    limit: int = 1000
    period: float = 60.0
    limiter: LimiterKind | str = LimiterKind.ALIGNED
    burst: int | None = None
    count_refused: bool = False
    per_type: bool = False

    def limiter_of(self, limit: Callable[[], int]) -> Callable[[], Limiter]:
        """Return a function that makes limiters with the limit at that time."""
        return lambda: make_limiter(
            self.limiter, limit(), self.period, burst=self.burst, count_refused=self.count_refused
        )


@dataclass(frozen=True)
class Answers:
    """The form of the emulator's responses.

    Args:
        headers: Whether they have the two X-Ratelimit headers.
        headers_on_429: Whether 429s have these headers, too.
        retry_after: The header Retry-After of 429s in seconds. True for the correct number, False
            for no header.
        absurd_429_details: Replaces total_permitted in 429s. "missing" omits it. A list is a cycle
            of values.
        description_null: Whether the descriptions of errors are null.
        flat_errors: Whether errors have no envelope, as on the API's documentation pages.
    """

    headers: bool = True
    headers_on_429: bool = True
    retry_after: bool | float = False
    absurd_429_details: object = None
    description_null: bool = False
    flat_errors: bool = False


class OldSettings(TypedDict, total=False):
    """Deprecated keyword arguments, now in Counting and Answers."""

    limiter: LimiterKind | str
    period: float
    burst: int | None
    count_refused: bool
    limits_per_type: bool
    headers: bool
    headers_on_429: bool
    retry_after: bool | float
    absurd_429_details: object
    description_null: bool
    flat_errors: bool


def group(
    limit: int | None, counting: Counting | None, answers: Answers | None, **old: Unpack[OldSettings]
) -> tuple[Counting, Answers]:
    """Return the two groups of settings. Deprecated arguments warn and take precedence.

    Raises:
        TypeError: If both `limit` and `counting` are given, or a keyword argument is unknown.
    """
    if limit is not None and counting is not None:
        raise TypeError("give the limit in counting=Counting(limit=…), or limit= alone")
    groups: list[Any] = [counting or Counting(), answers or Answers()]
    if limit is not None:
        groups[0] = replace(groups[0], limit=limit)
    for name, value in old.items():
        field = "per_type" if name == "limits_per_type" else name
        for number, settings in enumerate(groups):
            if field in {known.name for known in fields(settings)}:
                groups[number] = replace(settings, **{field: value})
                group_name = f"{type(settings).__name__.lower()}={type(settings).__name__}"
                message = f"KatapultEmulator({name}=…) is now KatapultEmulator({group_name}({field}=…))"
                warnings.warn(message, DeprecationWarning, stacklevel=3)
                break
        else:
            raise TypeError(f"KatapultEmulator has no keyword argument {name!r}")
    return groups[0], groups[1]
