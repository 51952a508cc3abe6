"""A budget for processes on any hosts: the state of each token in Redis or Valkey.

Needs redis-py (`pip install 'katapult-async[redis]'`) and Redis 6 or later, or Valkey. Processes
change the state by compare-and-set. The clock is the server's (`TIME`), so the clocks of the hosts
do not matter. Each state is one key, so the budget also works on a cluster.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from typing import Any, cast
from urllib.parse import urlsplit

import anyio
from redis import asyncio as aioredis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ConnectionError, NoPermissionError, RedisError  # noqa: A004 - redis-py's

from .errors import BudgetError, StoreUnavailable
from .exchange import exchange
from .state import Look, Looked, State
from .store import read_state, write_state

#: Longest time in seconds of a command, and of opening a connection.
TIMEOUT = 2.0
#: Seconds after which Redis deletes an unused state, at least.
KEPT = 3600.0
#: First and longest back-off in seconds after another process was faster. Doubles each time.
BACKOFF, MOST_BACKOFF = 0.001, 0.03
#: Seconds that the listener waits for a message. Less than TIMEOUT, which closes the connection.
LISTENING = 1.0
#: Seconds between attempts to subscribe again.
PAUSE = 1.0
#: The rights that the user in the URL needs, in the syntax of `ACL SETUSER`.
RIGHTS = (
    "~katapult:budget:* &katapult:budget:* +eval +time +hmget +hset +pexpire +publish +subscribe +unsubscribe"
)

# Messages of the server for a missing right within a script: of Redis 7, and of Redis 8 and Valkey.
_NOT_PERMITTED = ("can't run this command", "can't publish to", "can't access at least one of the keys")
_NOT_PERMITTED_IN_SCRIPT = "ACL failure in script: "
# Messages for other permanent errors.
_CONFIGURED_WRONG = ("WRONGPASS", "DB index", "invalid DB index")

_READ = """
local time = redis.call('TIME')
local found = redis.call('HMGET', KEYS[1], 'version', 'state', 'at')
return {found[1] or '', found[2] or '', found[3] or '', time[1], time[2]}
"""
_WRITE = """
local found = redis.call('HMGET', KEYS[1], 'version', 'state', 'at')
if (found[1] or '') ~= ARGV[1] then
    local time = redis.call('TIME')
    return {found[1] or '', found[2] or '', found[3] or '', time[1], time[2]}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3], 'at', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if ARGV[6] ~= '' then
    redis.call('PUBLISH', ARGV[6], ARGV[7])
end
return {}
"""
# Needs all rights that a budget needs.
_CHECK = """
redis.call('TIME')
redis.call('HMGET', KEYS[1], 'version')
redis.call('HSET', KEYS[1], 'version', '')
redis.call('PEXPIRE', KEYS[1], 1000)
redis.call('PUBLISH', ARGV[1], '')
return {}
"""


def _from_url(url: str) -> aioredis.Redis:
    make = cast("Callable[..., aioredis.Redis]", aioredis.Redis.from_url)  # pyright: ignore[reportUnknownMemberType]
    # One retry, because an idle connection may have been closed. redis-py's default retries take
    # many seconds, in which the waiting requests can be sent without the store.
    once = Retry(NoBackoff(), 1, supported_errors=(ConnectionError,))
    return make(url, socket_timeout=TIMEOUT, socket_connect_timeout=TIMEOUT, retry=once)


class RedisBudget:
    """A budget in Redis or Valkey.

    Args:
        url_or_client: A URL (`redis://`, `rediss://` or `unix://`) with user, password and options
            of redis-py. Or a client of `redis.asyncio`, also of a Sentinel or a cluster, which the
            caller closes.

    Raises:
        BudgetError: If the URL is wrong.
    """

    def __init__(self, url_or_client: str | aioredis.Redis) -> None:
        self._url = url_or_client if isinstance(url_or_client, str) else None
        self._client = url_or_client if not isinstance(url_or_client, str) else None
        if self._url is not None:
            try:
                _from_url(self._url)
            except (ValueError, TypeError):
                # redis-py's message may contain a part of the password.
                raise BudgetError(
                    "the budget's address must look like redis://user:password@host:6379/0; "
                    "write special characters of the password as %2F, %40, %3A"
                ) from None

    def __repr__(self) -> str:
        return f"<RedisBudget {self._where()}>"

    def _where(self) -> str:
        return _without_password(self._url) if self._url is not None else "the given Redis client"

    def _connect(self) -> aioredis.Redis:
        if self._client is not None:
            return self._client
        assert self._url is not None  # noqa: S101 - one of the two is given
        return _from_url(self._url)

    async def check(self) -> None:
        """Check that the server can be used. A server that is down at the moment is not an error.

        Raises:
            BudgetError: If the host is unknown, its certificate is not trusted, the password is
                wrong, or the user lacks rights.
        """
        client = self._connect()
        key = "katapult:budget:{check}"
        try:
            await client.eval(_CHECK, 1, key, f"{key}:changed")
        except (RedisError, OSError) as exc:
            reason = _lasting(exc)
            if reason is not None:
                raise BudgetError(f"the budget at {self._where()} cannot be used: {reason}") from None
        finally:
            if client is not self._client:
                await client.aclose()

    def store(self, key: str) -> RedisStore:
        """Return the store of one token. See Budget."""
        return RedisStore(self._connect(), key, close=self._client is None, where=self._where())


class RedisStore:
    """The state of one token in Redis.

    Args:
        client: The client of redis-py.
        key: The name of the token's budget.
        close: Whether the store closes the client.
        where: The server, for messages.
    """

    def __init__(self, client: aioredis.Redis, key: str, *, close: bool, where: str) -> None:
        self._client = client
        self._key = f"katapult:budget:{{{key}}}"
        self._channel = f"{self._key}:changed"
        self._me = uuid.uuid4().hex
        self._close = close
        self._where = where
        self._rng = random.Random()  # noqa: S311 - spreads attempts, keeps no secret
        self._listener: asyncio.Task[None] | None = None
        self._change = anyio.Event()

    def __repr__(self) -> str:
        return f"<RedisStore {self._where}>"

    def __str__(self) -> str:
        return self._where

    async def exchange(self, look: Look) -> Looked:
        """See Store."""
        self._change = anyio.Event()
        backoff = 0.0
        found = await self._eval(_READ)
        while True:
            version, state, now = _parse(found, look.period)
            looked = exchange(state, now, look)
            found = await self._eval(
                _WRITE,
                version,
                uuid.uuid4().hex,
                write_state(looked.state),
                f"{now:.6f}",
                int(1000 * max(KEPT, 10 * look.period)),
                self._channel if looked.seen.others else "",
                self._me,
            )
            if not found:
                return looked
            # Another process was faster. The reply has its state.
            if backoff:
                await asyncio.sleep(self._rng.uniform(0, backoff))
                found = await self._eval(_READ)
            backoff = min(max(BACKOFF, 2 * backoff), MOST_BACKOFF)

    async def read(self) -> tuple[State | None, float]:
        """See Store."""
        _, state, now = _parse(await self._eval(_READ), 0.0)
        return state, now

    async def _eval(self, script: str, *args: object) -> list[bytes]:
        # The state is binary, so a caller's client must not decode the reply.
        run = cast("Any", self._client).execute_command
        try:
            with anyio.fail_after(2 * TIMEOUT):  # a client of the caller may have a longer time-out
                return cast("list[bytes]", await run("EVAL", script, 1, self._key, *args, NEVER_DECODE=True))
        except (RedisError, OSError, TimeoutError) as exc:
            raise StoreUnavailable(f"{self._where}: {str(exc) or type(exc).__name__}") from exc

    async def changed(self) -> None:
        """See Store."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.get_running_loop().create_task(
                self._listen(), name="katapult-budget-changes"
            )
        await self._change.wait()

    async def _listen(self) -> None:
        # A task of its own, because cancelling a read inside a message would lose the rest.
        mine = self._me.encode()
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._client.pubsub() as changes:  # pyright: ignore[reportUnknownMemberType] - untyped **kwargs
                    await changes.subscribe(self._channel)
                    while True:
                        message = cast(
                            "dict[str, object] | None",
                            await changes.get_message(ignore_subscribe_messages=True, timeout=LISTENING),
                        )
                        if message is not None and message.get("data") not in (mine, self._me):
                            self._change.set()
            await asyncio.sleep(PAUSE)

    async def aclose(self) -> None:
        """See Store."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.cancel()
            await asyncio.wait([listener])
        if self._close:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()


def _parse(found: list[bytes], period: float) -> tuple[bytes, State | None, float]:
    version, data, at, seconds, microseconds = found
    now = int(seconds) + int(microseconds) / 1e6
    if not data:
        return version, None, now
    try:
        age = now - float(at)
    except ValueError:
        age = 0.0
    return version, read_state(data, age=age, period=period), now


def _causes(exc: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = exc
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _lasting(exc: Exception) -> str | None:
    """Return why waiting does not help. None if the error may be temporary."""
    for cause in _causes(exc):
        if isinstance(cause, socket.gaierror):
            return "the host is unknown"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
    message = str(exc)
    text = message.removeprefix(_NOT_PERMITTED_IN_SCRIPT).partition(" script: ")[0].rstrip(".")
    if text.startswith(("NOAUTH", "Authentication required", "HELLO must be called")):
        return "it asks for a password"
    if isinstance(exc, AuthenticationError) or text.startswith(_CONFIGURED_WRONG):
        return text
    not_permitted = isinstance(exc, NoPermissionError) or message.startswith(_NOT_PERMITTED_IN_SCRIPT)
    if not_permitted or any(words in text for words in _NOT_PERMITTED):
        return f"{text}. Its user needs these rights: {RIGHTS}"
    return None


def _without_password(url: str) -> str:
    """Return the URL without user, password and options."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url.partition("://")[0] + "://…"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"
