"""The connections of the fast path: hands out free ones, opens new ones, closes idle and overdue ones.

One timer serves all of them, instead of one for each request. The pool does not know what goes over a connection.
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

#: Seconds a connection may have been idle and still be used: as long as aiohttp itself keeps connections.
KEEP_ALIVE = 15.0


class Origin:
    """Where connections lead: scheme, host and port."""

    __slots__ = ("free", "host", "reader", "request")

    def __init__(self, request: aiohttp.ClientRequest) -> None:
        #: Only ever shown to the connector, which reads from it where to connect. It is not sent.
        self.request = request
        self.host = request.headers["Host"]
        self.reader = HeadReader()
        #: The one used last is the last one.
        self.free: list[FastConnection] = []


class FastPool:
    """All connections of one connector, which closes them when it is closed; `close` must have been called before."""

    def __init__(self, connector: Connector, *, max_body: int) -> None:
        self._connector = connector
        self._max_body = max_body
        self._loop = asyncio.get_running_loop()
        self._origins: dict[URL, Origin] = {}
        self._connections: set[FastConnection] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._closed = False

    def __repr__(self) -> str:
        busy = sum(connection.busy for connection in self._connections)
        return f"<FastPool {busy} busy, {len(self._connections) - busy} free>"

    def origin(self, url: URL) -> Origin:
        """Raises UnexpectedInside."""
        key = url.origin()
        origin = self._origins.get(key)
        if origin is None:
            try:
                origin = Origin(aiohttp.ClientRequest("GET", key, loop=self._loop))
            except (AttributeError, KeyError, TypeError) as exc:
                raise UnexpectedInside from exc
            self._origins[key] = origin
        return origin

    async def take(self, origin: Origin, *, total: float, connect: float) -> FastConnection:
        """A connection for one request that must be answered within `total` seconds, given back with `keep` or `drop`.

        connect: seconds to open a new one, should none be free. Raises UnexpectedInside, and what aiohttp raises when
        there is no connection.
        """
        now = self._loop.time()
        connection = self._free(origin, now)
        if connection is None:
            connection = await self._open(origin, connect)
        connection.deadline = now + total
        if connection.deadline < self._timer_at:
            self._set_timer(connection.deadline)
        return connection

    def _free(self, origin: Origin, now: float) -> FastConnection | None:
        free = origin.free
        while free:
            connection = free.pop()
            if connection.usable and now - connection.used <= KEEP_ALIVE:
                return connection
            self._put_away(connection)
        return None

    async def _open(self, origin: Origin, connect: float) -> FastConnection:
        borrowed = await self._connect(origin, connect)
        try:
            connection = FastConnection(borrowed, self._loop, self._max_body, origin.reader)
        except BaseException:
            borrowed.close()
            raise
        self._connections.add(connection)
        return connection

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        try:
            with anyio.move_on_after(seconds):
                return await self._connector.connect(origin.request, [], aiohttp.ClientTimeout())
        except (AttributeError, TypeError) as exc:
            raise UnexpectedInside from exc
        raise aiohttp.ConnectionTimeoutError

    def keep(self, origin: Origin, connection: FastConnection) -> None:
        """The answer has been received on this connection."""
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
        """End a connection without a whole answer, at once: its peer may never take what is still to be written."""
        connection.abort()
        self._put_away(connection)

    def _put_away(self, connection: FastConnection) -> None:
        self._connections.discard(connection)
        connection.close()

    def forget(self, connection: FastConnection) -> None:
        """The connection has been given back by the connection itself."""
        self._connections.discard(connection)

    def close(self) -> None:
        """Give back what is free, and end what is busy: no time-out is watched from now on."""
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

    # -- the timer ----------------------------------------------------------------------------------------------------

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
