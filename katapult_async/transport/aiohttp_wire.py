"""A wire on aiohttp's client: for every kind of request and response, through proxies, with any version of aiohttp.

aiohttp itself repeats GET, PUT and DELETE on a connection that turned out stale. This wire does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NoReturn

import aiohttp
from yarl import URL

from katapult_async.errors import ProtocolError

from .connector import Connector
from .wire import Reply, Timeout, read_body, translate


class _Failure(Exception):
    """Carries aiohttp's exception past aiohttp's own retry."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp repeats idempotent methods after these two, behind its caller's back: the rate limit would count a
    # request that nobody had a permit for, and a DELETE would go out twice.
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _Failure(exc) from exc


class AiohttpWire:
    """Sends requests through one aiohttp session.

    The connector is shared with other sessions of the same pool and is closed by the pool.
    """

    def __init__(
        self,
        connector: Connector,
        *,
        headers: Mapping[str, str],
        timeout: Timeout,
        max_body: int,
        trust_env: bool,
    ) -> None:
        self._max_body = max_body
        self._timeout = timeout
        self._session = aiohttp.ClientSession(
            connector=connector,
            connector_owner=False,
            headers=headers,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=timeout.total, connect=timeout.connect),
            trust_env=trust_env,
            auto_decompress=False,
            middlewares=(_send_once,),
        )

    async def close(self) -> None:
        await self._session.close()

    async def exchange(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request and read its whole response. Raises TransportError subclasses only."""
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                try:
                    content = await read_body(response.headers, response.content, self._max_body)
                except ProtocolError:
                    response.close()
                    raise
                return Reply(response.status, response.headers, content)
        except _Failure as failure:
            self._translate(failure.cause)
        # On Python 3.10 asyncio's TimeoutError is a class of its own, elsewhere it is an OSError.
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            self._translate(exc)

    def _translate(self, exc: BaseException) -> NoReturn:
        raise translate(exc, self._timeout) from exc
