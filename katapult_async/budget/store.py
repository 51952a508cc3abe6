"""Where the shared state is kept: what a store must be able to do, and how the state is written down."""

from __future__ import annotations

import hashlib
from typing import Protocol

import msgspec

from .errors import OtherVersion
from .state import Look, Looked, State

#: The first bytes of a state that this version can read. Another version counts as another format.
FORMAT = b"katapult-budget 2\n"
#: Seconds after which a state of another version is replaced, at least: nobody of that version shares it any more.
ABANDONED = 120.0

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class Store(Protocol):
    """The state of one token. All methods may raise StoreUnavailable. `exchange` may raise BudgetError, too."""

    async def exchange(self, look: Look) -> Looked:
        """Read the state, carry out `exchange.exchange`, write the state: as one step for all processes."""
        ...

    async def read(self) -> tuple[State | None, float]:
        """The state, None if there is none, and the time of the store's clock."""
        ...

    async def changed(self) -> None:
        """Wait until another process has changed something since the last exchange. May return for no reason."""
        ...

    async def aclose(self) -> None:
        """Let go of files and connections."""
        ...


class Budget(Protocol):
    """A place for shared budgets."""

    async def check(self) -> None:
        """Find out whether it can be used.

        Raises:
            BudgetError: If it cannot, for a reason that waiting does not repair.
        """
        ...

    def store(self, key: str) -> Store:
        """The store of one token.

        Args:
            key: Its name (`key_of`).
        """
        ...


def key_of(token: str, base_url: str) -> str:
    """The name of a token's budget. The token cannot be read from it."""
    key = hashlib.blake2b(token.encode()).digest()
    return hashlib.blake2b(base_url.encode(), key=key, digest_size=16).hexdigest()


def write_state(state: State) -> bytes:
    """The state as bytes."""
    return FORMAT + _encode(state)


def read_state(data: bytes, *, age: float, period: float) -> State | None:
    """The state of these bytes; None if they are damaged, or of another version that nobody uses any more.

    Args:
        data: What `write_state` made.
        age: Seconds since it was written.
        period: Seconds of a window.

    Raises:
        OtherVersion: If they come from another version that is in use.
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
