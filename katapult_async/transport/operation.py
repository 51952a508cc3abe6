"""What an endpoint is: method, path, and the struct of its response. Data only."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R = TypeVar("R")


class Operation(Generic[R]):
    """One endpoint of the Core API, declared once beside the method that uses it.

    A GET changes nothing, so it may be sent again after an unclear response.

    Args:
        method: The HTTP method.
        path: The path below the base URL, with its leading slash.
        returns: The struct of a successful response.
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
        """Decode the body of a response.

        Raises:
            msgspec.DecodeError: If the body is not what this endpoint returns.
        """
        return self._decoder.decode(body)
