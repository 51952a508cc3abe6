"""API tokens of the emulator: who may ask, for what, and on which counters."""

from __future__ import annotations

from collections.abc import Callable

from katapult_async.testing.limiters import Limiter
from katapult_async.testing.refusals import Refusal


class Token:
    """One token. It has one counter for everything, or with `per_type` one for each method and path.

    scopes: those granted, or None for all of them. refused_network: an IP address makes every request with this
    token fail with 403 unauthorized_network_for_api_token. Both may be set at any time.
    """

    def __init__(self, name: str, make: Callable[[], Limiter], *, per_type: bool = False) -> None:
        self.name = name
        self.scopes: frozenset[str] | None = None
        self.refused_network: str | None = None
        self._make = make
        self._per_type = per_type
        self._limiters: dict[tuple[str, str], Limiter] = {}
        if not per_type:
            self.limiter("", "")

    def limiter(self, method: str, path: str) -> Limiter:
        """The counter on which such a request draws."""
        key = (method, path) if self._per_type else ("", "")
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._make()
        return limiter

    def set_limit(self, limit: int) -> None:
        for limiter in self._limiters.values():
            limiter.limit = limit

    def check(self, scopes: tuple[str, ...]) -> None:
        """Refuse a request from the wrong network, or one for which none of `scopes` is granted."""
        if self.refused_network is not None:
            raise Refusal("unauthorized_network_for_api_token", ip_address=self.refused_network)
        if self.scopes is not None and scopes and self.scopes.isdisjoint(scopes):
            raise Refusal("scope_not_granted", scopes=list(scopes))

    def __repr__(self) -> str:
        # The name is the secret itself.
        return f"Token({', '.join(map(repr, self._limiters.values()))})"
