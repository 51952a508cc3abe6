"""A budget for processes on any hosts: the state of each token in Redis or Valkey, changed by compare-and-set.

Needs redis-py (`pip install 'katapult-async[redis]'`) and Redis >= 6 or Valkey. The clock is the server's (`TIME`), so
the clocks of the hosts do not matter. Each state is one key, so that a cluster can hold it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import uuid
from collections.abc import Callable
from typing import Any, cast

import anyio
from redis import asyncio as aioredis
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from .state import Look, State, exchange
from .store import BudgetError, Looked, StoreUnavailable, read_state, write_state

#: Seconds that a command or a connection may take.
TIMEOUT = 3.0
#: Seconds after which a state that nobody looks at is forgotten, at least.
KEPT = 3600.0
#: Seconds before a process that has lost a race tries again, at most; doubled each time.
BACKOFF, MOST_BACKOFF = 0.001, 0.03

_READ = """
local time = redis.call('TIME')
local found = redis.call('HMGET', KEYS[1], 'version', 'state')
return {found[1] or '', found[2] or '', time[1], time[2]}
"""
_WRITE = """
local version = redis.call('HGET', KEYS[1], 'version') or ''
if version ~= ARGV[1] then
    local time = redis.call('TIME')
    return {version, redis.call('HGET', KEYS[1], 'state') or '', time[1], time[2]}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if ARGV[5] ~= '' then
    redis.pcall('PUBLISH', ARGV[5], '')
end
return {}
"""


def _from_url(url: str) -> aioredis.Redis:
    make = cast("Callable[..., aioredis.Redis]", aioredis.Redis.from_url)  # pyright: ignore[reportUnknownMemberType]
    return make(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT)


class RedisBudget:
    """A budget in Redis or Valkey.

    Args:
        url_or_client: `redis://`, `rediss://` or `unix://` with user, password and options of redis-py; or a client of
            `redis.asyncio` (Sentinel and Cluster, too), which the caller closes.
    """

    def __init__(self, url_or_client: str | aioredis.Redis) -> None:
        self._url = url_or_client if isinstance(url_or_client, str) else None
        self._client = url_or_client if not isinstance(url_or_client, str) else None
        if self._url is not None:
            try:
                _from_url(self._url)
            except ValueError as exc:
                raise BudgetError(
                    f"the budget's address is not one of Redis: {_safe(exc, self._url)}"
                ) from None

    def __repr__(self) -> str:
        return f"<RedisBudget {self._where()}>"

    def _where(self) -> str:
        return _without_password(self._url) if self._url is not None else "of a given client"

    def _connect(self) -> aioredis.Redis:
        if self._client is not None:
            return self._client
        assert self._url is not None  # noqa: S101 - one of the two is given
        return _from_url(self._url)

    async def check(self) -> None:
        """Find out whether the server can be used. A server that is not there yet is no error.

        Raises:
            BudgetError: For an unknown host, a wrong password, or missing permissions.
        """
        client = self._connect()
        try:
            await client.eval(_READ, 1, "katapult:budget:{check}")
        except (AuthenticationError, NoPermissionError, ResponseError) as exc:
            text = str(exc)
            if isinstance(exc, AuthenticationError) or text.startswith(
                ("NOAUTH", "WRONGPASS", "NOPERM", "ERR")
            ):
                raise BudgetError(f"the budget at {self._where()} cannot be used: {exc}") from None
        except (RedisError, OSError) as exc:
            if _unknown_host(exc):
                raise BudgetError(
                    f"the budget at {self._where()} cannot be reached: the host is not known"
                ) from None
        finally:
            if client is not self._client:
                await client.aclose()

    def store(self, key: str, *, period: float, limit: int | None) -> RedisStore:
        """The store of one token. See Budget."""
        return RedisStore(
            self._connect(), key, period=period, limit=limit, close=self._client is None, where=self._where()
        )


class RedisStore:
    """The state of one token in Redis.

    Args:
        client: The client.
        key: The name of the token's budget.
        period: The length of a window in seconds, for a new state.
        limit: Requests per window if they are known, for a new state.
        close: Whether the client is this store's own.
        where: The server, for people.
    """

    def __init__(
        self, client: aioredis.Redis, key: str, *, period: float, limit: int | None, close: bool, where: str
    ) -> None:
        self._client = client
        self._key = f"katapult:budget:{{{key}}}"
        self._channel = f"{self._key}:changed"
        self._period = period
        self._limit = limit
        self._close = close
        self._where = where
        self._rng = random.Random()  # noqa: S311 - spreads attempts, keeps no secret
        self._listener: asyncio.Task[None] | None = None
        self._change = anyio.Event()

    def __repr__(self) -> str:
        return f"<RedisStore {self._where}>"

    async def exchange(self, look: Look) -> Looked:
        """See Store."""
        backoff = BACKOFF
        found = await self._eval(_READ)
        while True:
            version, state, now = self._parse(found)
            if state is None:
                state = State.start(self._period, self._limit)
            seen = exchange(state, now, look)
            found = await self._eval(
                _WRITE,
                version,
                uuid.uuid4().hex,
                write_state(state),
                int(1000 * max(KEPT, 10 * self._period)),
                self._channel if seen.others else "",
            )
            if not found:
                return Looked(seen, state, now)
            # Another process was faster. The answer has its state.
            await asyncio.sleep(self._rng.uniform(0, backoff))
            backoff = min(2 * backoff, MOST_BACKOFF)
            found = await self._eval(_READ)

    async def read(self) -> tuple[State | None, float]:
        """See Store."""
        _, state, now = self._parse(await self._eval(_READ))
        return state, now

    async def _eval(self, script: str, *args: object) -> list[bytes]:
        try:
            return cast("list[bytes]", await self._client.eval(script, 1, self._key, *cast("Any", args)))
        except (RedisError, OSError) as exc:
            raise StoreUnavailable(f"{self._where}: {str(exc) or type(exc).__name__}") from exc

    @staticmethod
    def _parse(found: list[bytes]) -> tuple[bytes, State | None, float]:
        version, data, seconds, microseconds = found
        now = int(seconds) + int(microseconds) / 1e6
        if not data:
            return version, None, now
        try:
            return version, read_state(data), now
        except ValueError:
            return version, None, now  # begin anew

    async def changed(self) -> None:
        """See Store."""
        if self._listener is None:
            self._listener = asyncio.get_running_loop().create_task(
                self._listen(), name="katapult-budget-changes"
            )
        await self._change.wait()

    async def _listen(self) -> None:
        # In a task of its own that is never cancelled within a message: half a message would be lost.
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._client.pubsub() as changes:  # pyright: ignore[reportUnknownMemberType] - untyped **kwargs
                    await changes.subscribe(self._channel)
                    while True:
                        if (
                            await changes.get_message(ignore_subscribe_messages=True, timeout=None)
                            is not None
                        ):
                            change, self._change = self._change, anyio.Event()
                            change.set()
            await asyncio.sleep(1.0)

    async def aclose(self) -> None:
        """See Store."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        if self._close:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()


def _unknown_host(exc: BaseException) -> bool:
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, socket.gaierror) or "Name or service not known" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _without_password(url: str) -> str:
    """The URL as it may be shown."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"


def _safe(exc: object, url: str) -> str:
    return str(exc).replace(url, _without_password(url))
