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
from katapult_async.transport.wire import Reply, Timeout, translate

from .connection import FastConnection, UnexpectedInside
from .pool import FastPool

log = package_logger("transport")

#: Minor versions of aiohttp with which the tests have passed.
TESTED = frozenset({"3.12", "3.13", "3.14"})

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
        self._fixed = HeaderValue(_render(headers))
        self._rendered: dict[tuple[tuple[str, str], ...], str] = {}
        self._given_up = False

    def __repr__(self) -> str:
        return f"<FastWire {'given up' if self._given_up else repr(self._connections)}>"

    async def close(self) -> None:
        await self._plain.close()

    async def exchange(self, method: str, url: URL, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send one request and read its whole response.

        Raises:
            TransportError: If no usable response arrived.
        """
        if self._given_up or method not in _METHODS:
            return await self._plain.exchange(method, url, headers, body)
        timeout = self._timeout
        try:
            origin = self._connections.origin(url)
            own = self._own(headers)
            connection = await self._connections.take(origin, total=timeout.total, connect=timeout.connect)
        except UnexpectedInside:
            self._given_up = True
            log.info(
                "aiohttp %s has unexpected internals: requests go through its client", aiohttp.__version__
            )
            return await self._plain.exchange(method, url, headers, body)
        # On Python 3.10 asyncio.TimeoutError is a class of its own. On later versions it is an
        # OSError.
        except (aiohttp.ClientError, OSError, asyncio.TimeoutError) as exc:
            raise translate(exc, timeout) from exc
        try:
            # The request has no name here: a traceback with local variables would show the token.
            reply = await connection.send(self._write(method, url, origin.host, own, body))
            if reply is not None:
                self._connections.keep(origin, connection)
                return reply
            reply = await self._read_handed_over(connection)
        except (aiohttp.ClientError, HttpProcessingError, OSError, asyncio.TimeoutError) as exc:
            self._connections.drop(connection)
            raise translate(exc, timeout) from exc
        except BaseException:
            # Cancelled, or refused: the next request must not read this response.
            self._connections.drop(connection)
            raise
        self._connections.forget(connection)
        return reply

    async def _read_handed_over(self, connection: FastConnection) -> Reply:
        with anyio.move_on_after(connection.deadline - asyncio.get_running_loop().time()):
            return await connection.read_handed_over()
        raise asyncio.TimeoutError

    def _own(self, headers: Mapping[str, str]) -> str:
        key = tuple(headers.items())
        own = self._rendered.get(key)
        if own is None:
            own = self._rendered[key] = _render(headers)
        return own

    def _write(self, method: str, url: URL, host: str, own: str, body: bytes | None) -> bytes:
        if body is None:
            length, body = ("", b"") if method == "GET" else ("Content-Length: 0\r\n", b"")
        else:
            length = f"Content-Length: {len(body)}\r\n"
        # yarl has quoted characters that a path must not contain.
        head = f"{method} {url.raw_path_qs} HTTP/1.1\r\nHost: {host}\r\n{self._fixed}{own}{length}\r\n"
        return head.encode("ascii") + body


def _render(headers: Mapping[str, str]) -> str:
    fields = [f"{name}: {value}\r\n" for name, value in headers.items()]
    if any(not field[:-2].isprintable() or not field.isascii() for field in fields):
        raise ValueError("a header has a character that headers must not have")
    return "".join(fields)
