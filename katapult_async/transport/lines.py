"""The lines of a pool: hands out free ones, opens new ones, closes those that were idle too long or are overdue.

One timer for all of them instead of one for each request. Decides nothing about what goes over a line.
"""

from __future__ import annotations

import asyncio
import math

import aiohttp
import anyio
from aiohttp.connector import Connection
from yarl import URL

from .connector import Connector
from .line import Line, UnexpectedInside

#: Seconds a line may have been idle and still be used: as long as aiohttp itself keeps connections.
KEEP_ALIVE = 15.0


class Origin:
    """Where lines lead: scheme, host and port."""

    __slots__ = ("free", "host", "request")

    def __init__(self, request: aiohttp.ClientRequest) -> None:
        #: Only ever shown to the connector, which reads from it where to connect. It is not sent.
        self.request = request
        self.host = request.headers["Host"]
        #: The one used last is the last one.
        self.free: list[Line] = []


class Lines:
    """All lines of one connector, which closes them when it is closed; `close` must have been called before."""

    def __init__(self, connector: Connector, *, max_body: int) -> None:
        self._connector = connector
        self._max_body = max_body
        self._loop = asyncio.get_running_loop()
        self._origins: dict[URL, Origin] = {}
        self._lines: set[Line] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._closed = False

    def __repr__(self) -> str:
        busy = sum(line.busy for line in self._lines)
        return f"<Lines {busy} busy, {len(self._lines) - busy} free>"

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

    async def take(self, origin: Origin, *, total: float, connect: float) -> Line:
        """A line for one request that must be answered within `total` seconds, given back with `keep` or `drop`.

        connect: seconds to open a new one, should none be free. Raises UnexpectedInside, and what aiohttp raises when
        there is no connection.
        """
        now = self._loop.time()
        line = self._free(origin, now)
        if line is None:
            line = await self._open(origin, connect)
        line.deadline = now + total
        if line.deadline < self._timer_at:
            self._set_timer(line.deadline)
        return line

    def _free(self, origin: Origin, now: float) -> Line | None:
        free = origin.free
        while free:
            line = free.pop()
            if line.usable and now - line.used <= KEEP_ALIVE:
                return line
            self._put_away(line)
        return None

    async def _open(self, origin: Origin, connect: float) -> Line:
        connection = await self._connect(origin, connect)
        try:
            line = Line(connection, self._loop, self._max_body)
        except BaseException:
            connection.close()
            raise
        self._lines.add(line)
        return line

    async def _connect(self, origin: Origin, seconds: float) -> Connection:
        try:
            with anyio.move_on_after(seconds):
                return await self._connector.connect(origin.request, [], aiohttp.ClientTimeout())
        except (AttributeError, TypeError) as exc:
            raise UnexpectedInside from exc
        raise aiohttp.ConnectionTimeoutError

    def keep(self, origin: Origin, line: Line) -> None:
        """The answer has been received on this line."""
        line.done()
        if not line.usable or self._closed:
            self._put_away(line)
            return
        line.used = self._loop.time()
        due = line.used + KEEP_ALIVE
        if due < self._timer_at:
            self._set_timer(due)
        origin.free.append(line)

    def drop(self, line: Line) -> None:
        """End a line without a whole answer, at once: its peer may never take what is still to be written."""
        line.abort()
        self._put_away(line)

    def _put_away(self, line: Line) -> None:
        self._lines.discard(line)
        line.close()

    def forget(self, line: Line) -> None:
        """The connection has been given back by the line itself."""
        self._lines.discard(line)

    def close(self) -> None:
        """Give back what is free, and end what is busy: no time-out is watched from now on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for origin in self._origins.values():
            for line in origin.free:
                self._lines.discard(line)
                line.give_back()
            origin.free.clear()
        for line in self._lines:
            line.abort()

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
            for line in [line for line in origin.free if now >= line.used + KEEP_ALIVE or not line.usable]:
                origin.free.remove(line)
                self._put_away(line)
        due = math.inf
        for line in self._lines:
            if not line.busy:
                due = min(due, line.used + KEEP_ALIVE)
            elif now < line.deadline:
                due = min(due, line.deadline)
            else:
                line.expire()
        if due < math.inf:
            self._set_timer(due)
