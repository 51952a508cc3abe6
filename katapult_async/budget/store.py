"""The protocols of stores and budgets, and the encoding of the state."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from .errors import OtherVersion
from .state import Look, Looked, State

#: The first bytes of a state that this version can read.
FORMAT = b"katapult-budget 2\n"
#: Seconds after its last change after which a state of another version is replaced, at least.
ABANDONED = 120.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Store(Protocol):
    """The state of one token. All methods may raise StoreUnavailable."""

    async def exchange(self, look: Look) -> Looked:
        """Read the state, apply `exchange.exchange` and write the state, in one transaction.

        Args:
            look: What the process reports and asks for.

        Raises:
            BudgetError: If a live process has configured another length of the window.
        """
        ...

    async def read(self) -> tuple[State | None, float]:
        """Return the state, or None if the store has none, and the time of the store's clock."""
        ...

    async def changed(self) -> None:
        """Wait until another process has changed the state since the last look.

        May return early.
        """
        ...

    async def aclose(self) -> None:
        """Close files and connections."""
        ...


class Budget(Protocol):
    """A place for shared budgets."""

    async def check(self) -> None:
        """Check that the budget can be used.

        Raises:
            BudgetError: If it cannot be used, and waiting does not help.
        """
        ...

    def store(self, key: str) -> Store:
        """Return the store of one token.

        Args:
            key: The name of the token's budget. See `key_of`.
        """
        ...


def key_of(token: str, base_url: str) -> str:
    """Return the name of a token's budget, from which nobody can derive the token.

    Args:
        token: The API token.
        base_url: The base URL of the API.
    """
    key = hashlib.blake2b(token.encode()).digest()
    return hashlib.blake2b(base_url.encode(), key=key, digest_size=16).hexdigest()


def write_state(state: State) -> bytes:
    """Encode a state."""
    return FORMAT + _encode(state)


def read_state(data: bytes, *, age: float, period: float) -> State | None:
    """Decode a state. Returns None if it is damaged, or from a version that is no longer in use.

    Args:
        data: The result of `write_state`.
        age: Seconds since the state was written.
        period: The length of a window in seconds.

    Raises:
        OtherVersion: If the state comes from another version that is in use.
    """
    if not data.startswith(FORMAT):
        in_use = age < max(ABANDONED, 2 * period)
        if in_use and data.startswith(FORMAT.split()[0]):
            raise OtherVersion
        return None
    try:
        return _decode(data[len(FORMAT) :])
    except (msgspec.MsgspecError, ValueError):
        return None
