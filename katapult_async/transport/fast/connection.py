"""One connection of the fast path: aiohttp's connection with its own response reader.

aiohttp's connector has looked up the host, connected and completed the TLS handshake.
FastConnection then replaces aiohttp's protocol while responses have the usual shape
(response_head.py). It hands any other response, from its first byte, to aiohttp's protocol, and the
connection goes back to the connector after that response.

Bytes that arrive without a request in flight close the connection. So an unsolicited response (a
408 before the server hangs up, for example) is never taken for the response to the next request.
This module does not retry and knows nothing about rate limits.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.connector import Connection

from katapult_async.transport.wire import Reply, read_body

from .response_head import HeadReader


class UnexpectedInside(Exception):
    """aiohttp's internals differ from what this package expects. Nothing has been sent."""


class FastConnection(asyncio.BufferedProtocol):
    """Carries one request at a time.

    Args:
        connection: The connection of aiohttp's connector.
        loop: The event loop.
        max_body: Bytes of a response that are read at most.
        reader: Reads heads of responses of this server.
        buffer: Where the event loop writes what arrives. Connections may share it, because they
            copy what they need at once. Without it, asyncio maps and unmaps memory for each read.
    """

    __slots__ = (
        "_buffer",
        "_connection",
        "_handler",
        "_head",
        "_loop",
        "_max_body",
        "_missing",
        "_parts",
        "_reader",
        "_response",
        "_transport",
        "deadline",
        "lost",
        "used",
    )

    def __init__(
        self,
        connection: Connection,
        loop: asyncio.AbstractEventLoop,
        max_body: int,
        reader: HeadReader,
        buffer: memoryview,
    ) -> None:
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            raise UnexpectedInside
        try:
            # For a response that is handed over. Called now, because it may fail.
            handler.set_response_params(read_until_eof=True, auto_decompress=False)
            transport.set_protocol(self)
        except (AttributeError, NotImplementedError, TypeError) as exc:
            raise UnexpectedInside from exc
        self._connection = connection
        self._handler = handler
        self._transport = transport
        self._loop = loop
        self._max_body = max_body
        self._reader = reader
        self._buffer = buffer
        self._response: asyncio.Future[Reply | None] | None = None
        # For a response whose body is incomplete: its head, its parts, and the number of missing
        # bytes.
        self._head: Reply | None = None
        self._parts: list[bytes] = []
        self._missing = 0
        self.lost = False
        #: When the response in flight is due, and when the last one arrived (the loop's clock).
        self.deadline = 0.0
        self.used = 0.0

    def __repr__(self) -> str:
        state = "lost" if self.lost else "free" if self._response is None else "busy"
        return f"<FastConnection {state}>"

    @property
    def busy(self) -> bool:
        """Whether a request is in flight."""
        return self._response is not None

    @property
    def usable(self) -> bool:
        """Whether a request may be sent, as far as known."""
        return not self.lost and not self._transport.is_closing()

    # -- one request -------------------------------------------------------------------------------

    def send(self, request: bytes) -> asyncio.Future[Reply | None]:
        """Send a request. Return its response; None if `read_handed_over` must read it."""
        self._response = response = self._loop.create_future()
        self._transport.write(request)
        return response

    def done(self) -> None:
        """Mark the connection as free: the response has been received."""
        self._response = None

    async def read_handed_over(self) -> Reply:
        """Read the response that was handed over to aiohttp's protocol.

        The connection then goes back to the connector.
        """
        while True:
            message, content = await self._handler.read()
            # After a 1xx the final response still follows. A 101 would end HTTP on this connection.
            if not 100 <= message.code <= 199 or message.code == 101:
                break
        body = await read_body(message.headers, content, self._max_body)
        self._connection.release()
        return Reply(message.code, message.headers, body)

    def expire(self) -> None:
        """Fail the request in flight: its deadline has passed."""
        if self._response is not None and not self._response.done():
            self._response.set_exception(asyncio.TimeoutError())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abort(self) -> None:
        """Close the connection at once, without writing what is buffered."""
        self._transport.abort()

    def give_back(self) -> None:
        """Return a free connection to aiohttp's connector, as if aiohttp had used it."""
        if self.usable:
            self._transport.set_protocol(self._handler)
        self._connection.release()

    # -- asyncio.BufferedProtocol ------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - a larger one is no use
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(bytes(self._buffer[:nbytes]))

    def _receive(self, data: bytes) -> None:
        response = self._response
        if response is None or response.done():
            self._connection.close()  # unsolicited, or the request was cancelled
            return
        if self._head is not None:
            self._receive_body(self._head, response, data)
            return
        head = self._reader.read(data)
        if head is None:
            self._hand_over(response, data)
            return
        missing = head.length - (len(data) - head.start)
        if missing < 0 or head.length > self._max_body:
            self._hand_over(response, data)
        elif missing == 0:
            response.set_result(Reply(head.status, head.headers, data[head.start :]))
        else:
            self._head = Reply(head.status, head.headers, b"")
            self._parts = [data[head.start :]]
            self._missing = missing

    def _receive_body(self, head: Reply, response: asyncio.Future[Reply | None], data: bytes) -> None:
        self._parts.append(data[: self._missing])
        self._missing -= len(data)
        if self._missing <= 0:
            response.set_result(Reply(head.status, head.headers, b"".join(self._parts)))
            self._head, self._parts = None, []
        if self._missing < 0:
            self._connection.close()  # the response is complete, and what follows is unsolicited

    def _hand_over(self, response: asyncio.Future[Reply | None], data: bytes) -> None:
        self._transport.set_protocol(self._handler)
        response.set_result(None)
        self._handler.data_received(data)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        response = self._response
        if response is not None and not response.done():
            if self._head is not None:
                response.set_exception(aiohttp.ClientPayloadError("closed in the middle of the response"))
            elif exc is None:
                response.set_exception(aiohttp.ServerDisconnectedError())
            elif isinstance(exc, OSError):
                response.set_exception(aiohttp.ClientOSError(*exc.args))
            else:
                response.set_exception(aiohttp.ClientConnectionError(type(exc).__name__))
        # The connector waits for this when it closes.
        self._handler.connection_lost(exc)
