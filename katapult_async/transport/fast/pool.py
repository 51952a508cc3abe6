"""The connections of the fast path: gives out free ones, opens new ones, closes old ones.

One timer serves all of them, instead of one for each request. The pool does not know what is sent.
"""

from __future__ import annotations

import asyncio
import math

import aiohttp
import anyio
from aiohttp.connector import Connection
from yarl import URL

from katapult_async.transport.connector import Connector

from .connection import FastConnection, UnexpectedInside
from .response_head import HeadReader

#: Seconds after which an idle connection is not used again. aiohttp uses the same value.
KEEP_ALIVE = 15.0
#: Bytes to read from a connection at a time. Nearly all responses are shorter.
BUFFER = 65_536


class Origin:
    """Where connections lead: scheme, host and port.

    Args:
        request: A request for the connector, which reads from it where to connect. It is never
            sent.
    """

    __slots__ = ("free", "host", "reader", "request")

    def __init__(self, request: aiohttp.ClientRequest) -> None:
        self.request = request
        self.host = request.headers["Host"]
        self.reader = HeadReader()
        #: Free connections. The one used last is at the end.
        self.free: list[FastConnection] = []


class FastPool:
    """All connections of one connector.

    The caller must call `close` before the connector is closed, which closes the connections.

    Args:
        connector: Opens the connections.
        max_body: Bytes of a response that are read at most.
    """

    def __init__(self, connector: Connector, *, max_body: int) -> None:
        self._connector = connector
        self._max_body = max_body
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(BUFFER))
        self._origins: dict[URL, Origin] = {}
        self._connections: set[FastConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._closed = False

    def __repr__(self) -> str:
        busy = sum(connection.busy for connection in self._connections)
        return f"<FastPool {busy} busy, {len(self._connections) - busy} free>"

    def origin(self, url: URL) -> Origin:
        """Return the origin of a URL.

        Raises:
            UnexpectedInside: If aiohttp's request class is not as expected.
        """
        key = url.origin()
        origin = self._origins.get(key)
        if origin is None:
            try:
                origin = Origin(aiohttp.ClientRequest("GET", key, loop=self._loop))
            except (AttributeError, KeyError, TypeError) as exc:
                raise UnexpectedInside from exc
            self._origins[key] = origin
        return origin

    def take(self, origin: Origin, total: float) -> FastConnection | None:
        """Return a free connection for one request. The caller returns it with `keep` or `drop`.

        Args:
            origin: Where to connect.
            total: Seconds within which the response must arrive.

        Returns:
            None if no connection is free.
        """
        free = origin.free
        now = self._loop.time()
        while free:
            connection = free.pop()
            if connection.usable and now - connection.used <= KEEP_ALIVE:
                connection.deadline = deadline = now + total
                if deadline < self._timer_at:
                    self._set_timer(deadline)
                return connection
            self._put_away(connection)
        return None

    async def open(self, origin: Origin, *, total: float, connect: float) -> FastConnection:
        """Open a connection for one request. The caller returns it with `keep` or `drop`.

        Args:
            origin: Where to connect.
            total: Seconds within which the response must arrive.
            connect: Seconds to open the connection.

        Raises:
            UnexpectedInside: If aiohttp's internals are not as expected.
            aiohttp.ClientError: If there is no connection.
        """
        deadline = self._loop.time() + total
        borrowed = await self._connect(origin, connect)
        try:
            connection = FastConnection(borrowed, self._loop, self._max_body, origin.reader, self._buffer)
        except BaseException:
            borrowed.close()
            raise
        self._connections.add(connection)
        connection.deadline = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)
        return connection

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        try:
            with anyio.move_on_after(seconds):
                return await self._connector.connect(origin.request, [], aiohttp.ClientTimeout())
        except (AttributeError, TypeError) as exc:
            raise UnexpectedInside from exc
        raise aiohttp.ConnectionTimeoutError

    def keep(self, origin: Origin, connection: FastConnection) -> None:
        """Take a connection back after its response was received."""
        connection.done()
        if not connection.usable or self._closed:
            self._put_away(connection)
            return
        connection.used = self._loop.time()
        due = connection.used + KEEP_ALIVE
        if due < self._timer_at:
            self._set_timer(due)
        origin.free.append(connection)

    def drop(self, connection: FastConnection) -> None:
        """Abort a connection without a complete response."""
        connection.abort()
        self._put_away(connection)

    def _put_away(self, connection: FastConnection) -> None:
        self._connections.discard(connection)
        connection.close()

    def forget(self, connection: FastConnection) -> None:
        """Forget a connection that went back to the connector by itself."""
        self._connections.discard(connection)

    def close(self) -> None:
        """Return free connections, and abort busy ones: no time-out is watched from now on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for origin in self._origins.values():
            for connection in origin.free:
                self._connections.discard(connection)
                connection.give_back()
            origin.free.clear()
        for connection in self._connections:
            connection.abort()

    # -- the timer ---------------------------------------------------------------------------------

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._tick)
        self._timer_at = due

    def _tick(self) -> None:
        self._timer, self._timer_at = None, math.inf
        now = self._loop.time()
        for origin in self._origins.values():
            for connection in [
                connection
                for connection in origin.free
                if now >= connection.used + KEEP_ALIVE or not connection.usable
            ]:
                origin.free.remove(connection)
                self._put_away(connection)
        due = math.inf
        for connection in self._connections:
            if not connection.busy:
                due = min(due, connection.used + KEEP_ALIVE)
            elif now < connection.deadline:
                due = min(due, connection.deadline)
            else:
                connection.expire()
        if due < math.inf:
            self._set_timer(due)
