"""Where the shared state is kept: what a store must be able to do, and how the state is written down."""

from __future__ import annotations

import hashlib
from typing import NamedTuple, Protocol

import msgspec

from katapult_async.errors import KatapultError

from .state import Look, Seen, State

#: The first bytes of a state that this version can read. Another version counts as another format.
FORMAT = b"katapult-budget 1\n"

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(State).decode


class BudgetError(KatapultError):
    """The shared budget cannot be used as it is given: a wrong password, an unknown host, a path that is no file."""

    stops_run = True


class StoreUnavailable(Exception):
    """The store cannot be read or written now. The message says why."""


class Looked(NamedTuple):
    """The result of a look: what the process gets, the state after it, and when (seconds of the store's clock)."""

    seen: Seen
    state: State
    now: float


class Store(Protocol):
    """The state of one token. All methods may raise StoreUnavailable, and nothing else."""

    async def exchange(self, look: Look) -> Looked:
        """Read the state, carry out `state.exchange`, write the state: as one step for all processes."""
        ...

    async def read(self) -> tuple[State | None, float]:
        """The state, None if there is none, and the time of the store's clock."""
        ...

    async def changed(self) -> None:
        """Wait until another process has left something for this one. May return for no reason."""
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

    def store(self, key: str, *, period: float, limit: int | None) -> Store:
        """The store of one token.

        Args:
            key: Its name (`key_of`).
            period: The length of a window in seconds, for a new state.
            limit: Requests per window if they are known, for a new state.
        """
        ...


def key_of(token: str, base_url: str) -> str:
    """The name of a token's budget. The token cannot be read from it."""
    return hashlib.blake2b(base_url.encode(), key=token.encode()[:64], digest_size=16).hexdigest()


def write_state(state: State) -> bytes:
    """The state as bytes."""
    return FORMAT + _encode(state)


def read_state(data: bytes) -> State:
    """The state of these bytes.

    Raises:
        StoreUnavailable: If they come from another version.
        ValueError: If they are damaged.
    """
    if not data.startswith(FORMAT):
        if data.startswith(FORMAT.split()[0]):
            raise StoreUnavailable("it was written by another version of katapult-async")
        raise ValueError("it is not a budget")
    try:
        return _decode(data[len(FORMAT) :])
    except msgspec.MsgspecError as exc:
        raise ValueError(f"it is damaged: {exc}") from exc
