"""The least that asyncio can do: prepared bytes out, httptools' parser in.

It decodes nothing, and starts no task per request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from benchmarks.peers import peer
from benchmarks.server import Server

from .clients import HEADERS, IN_FLIGHT, Send, bodies


class _Requests:
    """Prepared requests, and a future for the moment when all have been answered."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self.requests = requests
        self.done = done
        self.busy = 0


class Connection(asyncio.Protocol):
    """One request after the other on one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._make_parser: Any = peer("httptools").HttpResponseParser
        self._parser: Any = self._make_parser(self)
        self._work: _Requests | None = None

    def begin(self, work: _Requests) -> None:
        self._work = work
        work.busy += 1
        self._next()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise AssertionError(f"status {self._parser.get_status_code()}")
        # Not from within the parser: the next answer may not begin before this one has ended.
        asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        work = self._work
        assert work is not None
        request = next(work.requests, None)
        if request is not None:
            self._transport.write(request)
            return
        work.busy -= 1
        if not work.busy:
            work.done.set_result(None)

    def close(self) -> None:
        self._transport.close()


@asynccontextmanager
async def floor(server: Server) -> AsyncIterator[Send]:
    loop = asyncio.get_running_loop()
    encode = msgspec.json.Encoder().encode
    path = server.url.partition(f":{server.port}")[2] + "/disks/disk/assign"
    fields = {"Host": f"127.0.0.1:{server.port}", **HEADERS, "Content-Type": "application/json"}
    head = f"POST {path} HTTP/1.1\r\n" + "".join(f"{key}: {value}\r\n" for key, value in fields.items())

    def request(body: dict[str, Any]) -> bytes:
        content = encode(body)
        return head.encode() + b"Content-Length: %d\r\n\r\n" % len(content) + content

    connections = [
        (await loop.create_connection(Connection, "127.0.0.1", server.port))[1] for _ in range(IN_FLIGHT)
    ]

    async def send(n: int) -> None:
        work = _Requests((request(body) for body in bodies(n)), loop.create_future())
        for connection in connections:
            connection.begin(work)
        await work.done

    try:
        yield send
    finally:
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)
