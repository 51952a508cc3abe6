"""Which request is struck by which fault: by rates drawn from a seeded generator, or as a test scripts it.

This module only chooses. Carrying a fault out (cutting a connection, sending half a body) is the emulator's work.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from katapult_async.testing.ledger import Arrival
from katapult_async.testing.registry import complete


class FaultKind(str, enum.Enum):
    """What can happen to a request that the limiter let through."""

    RESET_BEFORE = "reset_before"  # connection cut, not applied
    RESET_AFTER = "reset_after"  # applied, connection cut without an answer
    TIMEOUT_BEFORE = "timeout_before"  # no answer for `hang` seconds, not applied
    TIMEOUT_AFTER = "timeout_after"  # applied, no answer for `hang` seconds
    UNAVAILABLE = "unavailable"  # 503 service_unavailable, not applied
    BAD_GATEWAY = "bad_gateway"  # 502 with HTML of a proxy, applied or not
    EMPTY_504 = "empty_504"  # 504 of a proxy without a body, applied or not
    SERVER_ERROR = "server_error"  # 500 unhandled_exception, applied or not
    TRUNCATED = "truncated"  # applied, body cut off before its Content-Length
    INVALID_JSON = "invalid_json"  # applied, body is no JSON
    NON_UTF8 = "non_utf8"  # applied, body is no UTF-8


class Fault(NamedTuple):
    """One fault, and whether the request takes effect all the same."""

    kind: FaultKind
    applies: bool


# Whether a request takes effect that the fault strikes; None if either is possible.
_APPLIES: Mapping[FaultKind, bool | None] = complete(
    FaultKind,
    {
        FaultKind.RESET_BEFORE: False,
        FaultKind.RESET_AFTER: True,
        FaultKind.TIMEOUT_BEFORE: False,
        FaultKind.TIMEOUT_AFTER: True,
        FaultKind.UNAVAILABLE: False,
        FaultKind.BAD_GATEWAY: None,
        FaultKind.EMPTY_504: None,
        FaultKind.SERVER_ERROR: None,
        FaultKind.TRUNCATED: True,
        FaultKind.INVALID_JSON: True,
        FaultKind.NON_UTF8: True,
    },
)

Script = Callable[[Arrival], "Fault | FaultKind | None"]


class Faults:
    """Rates of faults, between 0 and 1 each and at most 1 together; all 0 unless given.

    seed: of the generator that draws. hang: seconds after which a request that is never answered is cut off.
    paths: only these, as in `/disks/disk/assign` (without `/core/v1`). methods: only these, as in `POST`.
    Both restrict everything: rates, `next` and `script`.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        hang: float = 3600.0,
        paths: Collection[str] | None = None,
        methods: Collection[str] | None = None,
        reset_before: float = 0.0,
        reset_after: float = 0.0,
        timeout_before: float = 0.0,
        timeout_after: float = 0.0,
        unavailable: float = 0.0,
        bad_gateway: float = 0.0,
        empty_504: float = 0.0,
        server_error: float = 0.0,
        truncated: float = 0.0,
        invalid_json: float = 0.0,
        non_utf8: float = 0.0,
    ) -> None:
        self.hang = hang
        self.paths = None if paths is None else frozenset(paths)
        self.methods = None if methods is None else frozenset(methods)
        rates = {
            FaultKind.RESET_BEFORE: reset_before,
            FaultKind.RESET_AFTER: reset_after,
            FaultKind.TIMEOUT_BEFORE: timeout_before,
            FaultKind.TIMEOUT_AFTER: timeout_after,
            FaultKind.UNAVAILABLE: unavailable,
            FaultKind.BAD_GATEWAY: bad_gateway,
            FaultKind.EMPTY_504: empty_504,
            FaultKind.SERVER_ERROR: server_error,
            FaultKind.TRUNCATED: truncated,
            FaultKind.INVALID_JSON: invalid_json,
            FaultKind.NON_UTF8: non_utf8,
        }
        self.rates: dict[FaultKind, float] = dict(complete(FaultKind, rates))
        if min(self.rates.values()) < 0 or sum(self.rates.values()) > 1 + 1e-9:
            raise ValueError("rates of faults must not be negative nor exceed 1 together")
        self._rng = random.Random(seed)
        self._queue: deque[tuple[FaultKind, bool | None]] = deque()
        self._script: Script | None = None

    @classmethod
    def everywhere(
        cls,
        rate: float,
        seed: int = 0,
        *,
        hang: float = 3600.0,
        paths: Collection[str] | None = None,
        methods: Collection[str] | None = None,
    ) -> Faults:
        """A total `rate` spread evenly over all kinds."""
        faults = cls(seed=seed, hang=hang, paths=paths, methods=methods)
        faults.rates = dict.fromkeys(FaultKind, rate / len(FaultKind))
        return faults

    def next(self, kind: FaultKind | str, times: int = 1, *, applies: bool | None = None) -> None:
        """Strike the next `times` requests with `kind`, before any rate or script is asked.

        `applies` decides for the kinds that may be applied or not (drawn unless given); the others know.
        """
        self._queue.extend([(FaultKind(kind), applies)] * times)

    def script(self, script: Script | None) -> None:
        """Ask `script` about every request that no `next` has struck; None from it leaves the request to the rates."""
        self._script = script

    def draw(self, arrival: Arrival) -> Fault | None:
        """What befalls this request."""
        if self.paths is not None and arrival.path not in self.paths:
            return None
        if self.methods is not None and arrival.method not in self.methods:
            return None
        if self._queue:
            return self._fault(*self._queue.popleft())
        chosen = self._script(arrival) if self._script is not None else None
        if isinstance(chosen, Fault):
            return chosen
        if chosen is not None:
            return self._fault(chosen)
        return self._by_rate()

    def _by_rate(self) -> Fault | None:
        draw = self._rng.random()
        for kind, rate in self.rates.items():
            if draw < rate:
                return self._fault(kind)
            draw -= rate
        return None

    def _fault(self, kind: FaultKind, applies: bool | None = None) -> Fault:
        always = _APPLIES[kind]
        known = applies if always is None else always
        return Fault(kind, self._rng.random() < 0.5 if known is None else known)

    def __repr__(self) -> str:
        rates = ", ".join(f"{kind.value}={rate:g}" for kind, rate in self.rates.items() if rate)
        return f"Faults({rates})"
