"""API tokens of the emulator: their scopes and counters."""

from __future__ import annotations

from collections.abc import Callable

from katapult_async.testing.limiters import Limiter
from katapult_async.testing.refusals import Refusal


class Token:
    """One API token.

    Args:
        name: The token itself.
        make: Creates a counter.
        per_type: Whether each method and path has its own counter.

    Attributes:
        scopes: The granted scopes. None for all.
        refused_network: If this is an IP address, every request with this token fails with 403
            unauthorized_network_for_api_token.
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
        """Return the counter of a request."""
        key = (method, path) if self._per_type else ("", "")
        limiter = self._limiters.get(key)
        if limiter is None:
            limiter = self._limiters[key] = self._make()
        return limiter

    def set_limit(self, limit: int) -> None:
        """Change the limit of all counters."""
        for limiter in self._limiters.values():
            limiter.limit = limit

    def check(self, scopes: tuple[str, ...]) -> None:
        """Refuse a request from the wrong network, or without any of `scopes`."""
        if self.refused_network is not None:
            raise Refusal("unauthorized_network_for_api_token", ip_address=self.refused_network)
        if self.scopes is not None and scopes and self.scopes.isdisjoint(scopes):
            raise Refusal("scope_not_granted", scopes=list(scopes))

    def __repr__(self) -> str:
        # The name is the secret.
        return f"Token({', '.join(map(repr, self._limiters.values()))})"
