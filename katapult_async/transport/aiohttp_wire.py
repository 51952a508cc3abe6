"""A wire on aiohttp's client: for all requests and responses, and through proxies.

aiohttp itself repeats GET, PUT and DELETE on a stale connection. This wire prevents that: it sends
each request at most once. It knows nothing about rate limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NoReturn

import aiohttp
from yarl import URL

from katapult_async.errors import ProtocolError

from .connector import Connector
from .wire import JSON, Reply, Timeout, read_body, translate


class _Failure(Exception):
    """Carries aiohttp's exception past aiohttp's own retry."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    # aiohttp repeats idempotent methods after these two exceptions without telling its caller. The
    # server would count a request without a permit, and a DELETE would be sent twice.
    try:
        return await send(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as exc:
        raise _Failure(exc) from exc


class AiohttpWire:
    """Sends requests through one aiohttp session.

    The sessions of a pool share the connector. The pool closes it.

    Args:
        connector: Opens and keeps connections.
        headers: Headers of all requests.
        timeout: Time-outs of each request.
        max_body: Bytes of a response that are read at most.
        trust_env: Whether to use the proxy settings and .netrc of the environment.
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

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        """Send one request and read its whole response.

        Raises:
            TransportError: If no usable response arrived.
        """
        try:
            async with self._session.request(
                method, url, headers=None if body is None else JSON, data=body, allow_redirects=False
            ) as response:
                try:
                    content = await read_body(response.headers, response.content, self._max_body)
                except ProtocolError:
                    response.close()
                    raise
                return Reply(response.status, response.headers, content)
        except _Failure as failure:
            self._translate(failure.cause)
        # On Python 3.10 asyncio.TimeoutError is a class of its own. On later versions it is an
        # OSError.
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            self._translate(exc)

    def _translate(self, exc: BaseException) -> NoReturn:
        raise translate(exc, self._timeout) from exc
