"""Choose the fault of each request: by rates from a seeded generator, or by a test's script.

`delivery` carries the faults out.
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
    """The faults of a request that the limiter permitted."""

    RESET_BEFORE = "reset_before"  # not applied, connection reset
    RESET_AFTER = "reset_after"  # applied, connection reset without a response
    TIMEOUT_BEFORE = "timeout_before"  # not applied, no response for `hang` seconds
    TIMEOUT_AFTER = "timeout_after"  # applied, no response for `hang` seconds
    UNAVAILABLE = "unavailable"  # not applied, 503 service_unavailable
    BAD_GATEWAY = "bad_gateway"  # applied or not, 502 with a proxy's HTML
    EMPTY_504 = "empty_504"  # applied or not, a proxy's 504 without a body
    SERVER_ERROR = "server_error"  # applied or not, 500 unhandled_exception
    TRUNCATED = "truncated"  # applied, body shorter than its Content-Length
    INVALID_JSON = "invalid_json"  # applied, body is not JSON
    NON_UTF8 = "non_utf8"  # applied, body is not UTF-8


class Fault(NamedTuple):
    """One fault, and whether the request is applied."""

    kind: FaultKind
    applies: bool


# Whether a request with this fault is applied. None if both are possible.
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
    """Rates of faults. Each is between 0 and 1, their sum is at most 1, and the default is 0.

    Args:
        seed: Seed of the generator.
        hang: Seconds until the connection of a request without a response is closed.
        paths: The only paths with faults, for example `/disks/disk/assign` (without `/core/v1`).
        methods: The only methods with faults, for example `POST`.
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
        #: What the script has raised first. The emulator raises it when its block ends.
        self.raised: Exception | None = None

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
        """Return faults with a total `rate`, the same for each kind. See the class for the rest."""
        faults = cls(seed=seed, hang=hang, paths=paths, methods=methods)
        faults.rates = dict.fromkeys(FaultKind, rate / len(FaultKind))
        return faults

    def next(self, kind: FaultKind | str, times: int = 1, *, applies: bool | None = None) -> None:
        """Give the next requests this fault. It takes precedence over the script and the rates.

        Args:
            kind: The fault.
            times: Number of requests.
            applies: Whether the requests are applied, for a kind that allows both. Default: random.
        """
        self._queue.extend([(FaultKind(kind), applies)] * times)

    def script(self, script: Script | None) -> None:
        """Call `script` for each request. If it returns None, the rates apply.

        If it raises, the response is a 500, and the emulator raises the exception at the end of its
        `async with` block.
        """
        self._script = script

    def draw(self, arrival: Arrival) -> Fault | None:
        """Return the fault of this request, if any."""
        if self.paths is not None and arrival.path not in self.paths:
            return None
        if self.methods is not None and arrival.method not in self.methods:
            return None
        if self._queue:
            return self._fault(*self._queue.popleft())
        try:
            chosen = self._script(arrival) if self._script is not None else None
        except Exception as exc:
            self.raised = self.raised or exc
            raise
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
