"""What an endpoint is: method, path, and the struct of its response. Data only."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

R_co = TypeVar("R_co", covariant=True)


class Operation(Generic[R_co]):
    """One endpoint of the Core API, for `client.request` and for actions.

    A GET changes nothing, so it may be sent again after an unclear response.

    Args:
        method: The HTTP method.
        path: The path below the base URL, with its leading slash.
        returns: What a successful response decodes into: a msgspec Struct, or any type that
            msgspec decodes.
    """

    __slots__ = ("_decoder", "method", "name", "path", "returns", "safe")

    def __init__(self, method: str, path: str, returns: type[R_co]) -> None:
        self.method = method
        self.path = path
        self.name = f"{method} {path}"
        self.safe = method == "GET"
        self.returns = returns
        self._decoder = msgspec.json.Decoder(returns)

    def __repr__(self) -> str:
        return f"<Operation {self.name}>"

    def decode(self, body: bytes) -> R_co:
        """Decode the body of a response.

        Raises:
            msgspec.DecodeError: If the body is not what this endpoint returns.
        """
        return self._decoder.decode(body)
