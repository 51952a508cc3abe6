"""One connection of the fast path: a connection of aiohttp's connector with a response reader of its own.

aiohttp's connector has looked up the host, connected and shaken hands. FastConnection then replaces aiohttp's protocol
while responses have the usual shape (response_head.py). It hands any other response, from its first byte, to aiohttp's
protocol, and the connection goes back to the connector after that response.

Bytes that arrive without a request in flight close the connection. So an unsolicited response (a 408 before the server
hangs up, for example) is never taken for the response to the next request.
"""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.connector import Connection

from katapult_async.transport.wire import Reply, read_body

from .response_head import HeadReader


class UnexpectedInside(Exception):
    """Something of aiohttp is not as expected. Nothing has been sent."""


class FastConnection(asyncio.Protocol):
    """Carries one request at a time. `lost`: the connection is gone."""

    __slots__ = (
        "_answer",
        "_connection",
        "_handler",
        "_head",
        "_loop",
        "_max_body",
        "_missing",
        "_parts",
        "_reader",
        "_transport",
        "deadline",
        "lost",
        "used",
    )

    def __init__(
        self, connection: Connection, loop: asyncio.AbstractEventLoop, max_body: int, reader: HeadReader
    ) -> None:
        handler, transport = connection.protocol, connection.transport
        if handler is None or transport is None:
            raise UnexpectedInside
        try:
            # For an answer that will be handed over; called now, while it may still turn out not to work.
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
        self._answer: asyncio.Future[Reply | None] | None = None
        # Of an answer whose body is not whole yet: what its head says, its parts, and how many bytes are missing.
        self._head: Reply | None = None
        self._parts: list[bytes] = []
        self._missing = 0
        self.lost = False
        #: When the answer under way must be there, and when the last one was (the loop's clock).
        self.deadline = 0.0
        self.used = 0.0

    def __repr__(self) -> str:
        state = "lost" if self.lost else "free" if self._answer is None else "busy"
        return f"<FastConnection {state}>"

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._answer is not None

    @property
    def usable(self) -> bool:
        """Whether a request may be sent, as far as can be known."""
        return not self.lost and not self._transport.is_closing()

    # -- one request --------------------------------------------------------------------------------------------------

    def ask(self, request: bytes) -> asyncio.Future[Reply | None]:
        """Send a request. The answer; None if it is to be had from `read_on`."""
        self._answer = answer = self._loop.create_future()
        self._transport.write(request)
        return answer

    def done(self) -> None:
        """The answer has been received: the connection is free."""
        self._answer = None

    async def read_on(self) -> Reply:
        """The answer that was handed over to aiohttp's protocol. The connection then goes back to the connector."""
        while True:
            message, content = await self._handler.read()
            # 1xx says that the answer is still to come; 101 would be the end of HTTP on this connection.
            if not 100 <= message.code <= 199 or message.code == 101:
                break
        body = await read_body(message.headers, content, self._max_body)
        self._connection.release()
        return Reply(message.code, message.headers, body)

    def expire(self) -> None:
        """The deadline is over."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(asyncio.TimeoutError())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def abort(self) -> None:
        """End the connection at once, whatever is under way on it or still to be written."""
        self._transport.abort()

    def give_back(self) -> None:
        """Let aiohttp's connector have the connection, as if aiohttp had used it. For connections that are free."""
        if self.usable:
            self._transport.set_protocol(self._handler)
        self._connection.release()

    # -- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        answer = self._answer
        if answer is None or answer.done():
            self._connection.close()  # nobody has asked for this, or nobody waits for it any more
            return
        if self._head is not None:
            self._receive_body(self._head, answer, data)
            return
        head = self._reader.read(data)
        if head is None:
            self._hand_over(answer, data)
            return
        status, headers, length, start = head
        missing = length - (len(data) - start)
        if missing < 0 or length > self._max_body:
            self._hand_over(answer, data)
        elif missing == 0:
            answer.set_result(Reply(status, headers, data[start:]))
        else:
            self._head = Reply(status, headers, b"")
            self._parts = [data[start:]]
            self._missing = missing

    def _receive_body(self, head: Reply, answer: asyncio.Future[Reply | None], data: bytes) -> None:
        self._parts.append(data[: self._missing])
        self._missing -= len(data)
        if self._missing <= 0:
            answer.set_result(Reply(head.status, head.headers, b"".join(self._parts)))
            self._head, self._parts = None, []
        if self._missing < 0:
            self._connection.close()  # the answer is whole; what follows it is none

    def _hand_over(self, answer: asyncio.Future[Reply | None], data: bytes) -> None:
        self._transport.set_protocol(self._handler)
        answer.set_result(None)
        self._handler.data_received(data)

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        answer = self._answer
        if answer is not None and not answer.done():
            if self._head is not None:
                answer.set_exception(aiohttp.ClientPayloadError("closed in the middle of the response"))
            elif exc is None:
                answer.set_exception(aiohttp.ServerDisconnectedError())
            elif isinstance(exc, OSError):
                answer.set_exception(aiohttp.ClientOSError(*exc.args))
            else:
                answer.set_exception(aiohttp.ClientConnectionError(type(exc).__name__))
        # The connector waits for this when it closes.
        self._handler.connection_lost(exc)
