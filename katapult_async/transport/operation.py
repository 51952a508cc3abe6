"""What an endpoint is: method, path and the struct its response decodes into. Data, no behaviour but decoding."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


class Operation(Generic[R]):
    """One endpoint of the Core API, declared once beside the method that stands for it.

    path: below the base URL, with its leading slash. returns: the struct of a successful response.
    A GET changes nothing, so it may be sent again whenever its answer was not clear.
    """

    __slots__ = ("_decoder", "method", "name", "path", "safe")

    def __init__(self, method: str, path: str, returns: type[R]) -> None:
        self.method = method
        self.path = path
        self.name = f"{method} {path}"
        self.safe = method == "GET"
        self._decoder = msgspec.json.Decoder(returns)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"

    def decode(self, body: bytes) -> R:
        """Raises msgspec.DecodeError when the body is not what this endpoint returns."""
        return self._decoder.decode(body)
