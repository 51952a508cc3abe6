"""The fast path: the guarantees of wire.py with less work per request.

For a bulk run aiohttp's client builds the same request, the same headers and a timer ten thousand
times. FastWire writes a request in one piece to a connection of aiohttp's connector, and reads a
response of the usual shape in one piece (connection.py). docs/fast-path.md says what is skipped,
why that is safe, and what it saves.

FastWire falls back to AiohttpWire with versions of aiohttp that it was not tested with, if
aiohttp's internals are not as expected, and for requests that the API never gets. It never falls
back after something was sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import anyio
from aiohttp.http import HttpProcessingError
from yarl import URL

from katapult_async.logs import package_logger
from katapult_async.transport.address import HeaderValue
from katapult_async.transport.aiohttp_wire import AiohttpWire
from katapult_async.transport.wire import JSON, Reply, Timeout, translate

from .connection import FastConnection, UnexpectedInside
from .pool import FastPool, Origin

log = package_logger("transport")

#: Minor versions of aiohttp with which the tests have passed.
TESTED = frozenset({"3.12", "3.13", "3.14"})

#: Endpoints whose request starts are kept. An application may name objects in its paths.
MOST_STARTS = 256

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


def is_tested(version: str) -> bool:
    """Return whether FastWire was tested with this version of aiohttp."""
    return ".".join(version.split(".")[:2]) in TESTED


class FastWire:
    """Sends requests over the connections of a pool.

    Args:
        connections: The pool.
        plain: The wire to fall back to.
        headers: Headers of all requests.
        timeout: Time-outs of each request.
    """

    def __init__(
        self, connections: FastPool, plain: AiohttpWire, *, headers: Mapping[str, str], timeout: Timeout
    ) -> None:
        self._connections = connections
        self._plain = plain
        # If connecting takes the whole time, nothing was sent: that is a ConnectTimeout, too.
        self._timeout = Timeout(connect=min(timeout.connect, timeout.total), total=timeout.total)
        self._headers = HeaderValue(_render(headers))
        self._starts: dict[tuple[str, URL], RequestStart] = {}
        self._given_up = False

    def __repr__(self) -> str:
        return f"<FastWire {'given up' if self._given_up else repr(self._connections)}>"

    async def close(self) -> None:
        await self._plain.close()

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        """Send one request and read its whole response.

        Raises:
            TransportError: If no usable response arrived.
        """
        if self._given_up or method not in _METHODS:
            return await self._plain.exchange(method, url, body)
        timeout = self._timeout
        pool = self._connections
        try:
            start = self._starts.get((method, url)) or self._begin(method, url)
            origin = start.origin
            connection = pool.take(origin, timeout.total)
            if connection is None:
                connection = await pool.open(origin, total=timeout.total, connect=timeout.connect)
        except UnexpectedInside:
            self._given_up = True
            log.info(
                "aiohttp %s has unexpected internals: requests go through its client", aiohttp.__version__
            )
            return await self._plain.exchange(method, url, body)
        # On Python 3.10 asyncio.TimeoutError is a class of its own. On later versions it is an
        # OSError.
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            raise translate(exc, timeout) from exc
        try:
            # The request has no name here: a traceback with local variables would show the token.
            reply = await connection.send(start.with_body(body))
            if reply is not None:
                pool.keep(origin, connection)
                return reply
            reply = await self._read_handed_over(connection)
        except (aiohttp.ClientError, HttpProcessingError, OSError, asyncio.TimeoutError) as exc:
            pool.drop(connection)
            raise translate(exc, timeout) from exc
        except BaseException:
            # Cancelled, or refused: the next request must not read this response.
            pool.drop(connection)
            raise
        pool.forget(connection)
        return reply

    async def _read_handed_over(self, connection: FastConnection) -> Reply:
        with anyio.move_on_after(connection.deadline - asyncio.get_running_loop().time()):
            return await connection.read_handed_over()
        raise asyncio.TimeoutError

    def _begin(self, method: str, url: URL) -> RequestStart:
        """Return the start of a request, and keep it for the next request to this endpoint."""
        start = RequestStart(method, url, self._connections.origin(url), self._headers)
        if not url.raw_query_string:
            if len(self._starts) >= MOST_STARTS:
                self._starts.clear()
            self._starts[method, url] = start
        return start


class RequestStart:
    """What all requests to one endpoint have in common. It contains the token.

    Args:
        method: The HTTP method.
        url: The endpoint with its query.
        origin: Where to connect.
        headers: Headers of all requests, as they are sent.
    """

    __slots__ = ("_whole", "_with_body", "origin")

    def __init__(self, method: str, url: URL, origin: Origin, headers: str) -> None:
        self.origin = origin
        # yarl has quoted characters that a path must not contain.
        start = f"{method} {url.raw_path_qs} HTTP/1.1\r\nHost: {origin.host}\r\n{headers}".encode("ascii")
        self._whole = start + (b"\r\n" if method == "GET" else b"Content-Length: 0\r\n\r\n")
        self._with_body = start + _JSON

    def with_body(self, body: bytes | None) -> bytes:
        """Return the whole request."""
        return self._whole if body is None else b"%b%d\r\n\r\n%b" % (self._with_body, len(body), body)


def _render(headers: Mapping[str, str]) -> str:
    fields = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if any(not field[:-2].isprintable() or not field.isascii() for field in fields):
        raise ValueError("a header has a character that headers must not have")
    return "".join(fields)


_JSON = f"{_render(JSON)}Content-Length: ".encode("ascii")
