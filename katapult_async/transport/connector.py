"""The connector of a pool: aiohttp's, but what it hands out is sound, and leaving it waits for no deaf peer.

Both ways over the wire get their connections here. aiohttp itself looks only whether a kept connection is still open:
what a server has said on it meanwhile (a 408 before it hangs up, say) would be read as the next answer. Here bytes that
nobody asked for end the connection. Knows nothing of requests and answers.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import weakref

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

#: New connections that are tried for one request, should the server end them, or speak on them, at once.
TRIES = 3


class ConnectorClosed(aiohttp.ClientConnectionError):
    """There is no connection, because nobody wants any more."""


class NeverSound(aiohttp.ClientConnectionError):
    """No connection that could be used, however often one was opened."""


class Connector(aiohttp.TCPConnector):
    """Raises ConnectorClosed, NeverSound, and what aiohttp raises; after all of them nothing was sent."""

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        # No limit of its own: the concurrency of each client bounds the connections, and a request that waited here
        # for a connection would hold a permit while it does.
        trust = ssl_context if ssl_context is not None else True
        super().__init__(limit=0, limit_per_host=0, ssl=trust)  # pyright: ignore[reportUnknownMemberType]
        #: Of all connections that were handed out and are not gone yet.
        self._handed_out: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection that is open and on which nothing has arrived. `timeout` is for each one that is opened."""
        opened = 0
        while opened < TRIES:
            if self.closed:
                raise ConnectorClosed  # aiohttp notices only after it has connected
            try:
                connection = await super().connect(req, traces, timeout)
            except aiohttp.ClientError as exc:
                if self.closed:
                    raise ConnectorClosed from exc
                raise
            protocol = connection.protocol
            if not connection.closed and protocol is not None and not protocol.should_close:
                self._handed_out.add(protocol)
                connection.add_callback(functools.partial(_abort_if_stuck, protocol))
                return connection
            connection.close()
            # Of those that were kept as many may be useless as there are.
            opened += protocol not in self._handed_out
        raise NeverSound(
            f"the server closed {TRIES} new connections, or spoke on them before it was asked anything"
        )

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections. Those whose peer does not take what was written end at once."""
        for protocol in self._handed_out:
            _abort_if_stuck(protocol)
        await super().close(abort_ssl=abort_ssl)


def _abort_if_stuck(protocol: ResponseHandler) -> None:
    # A transport that is merely closed first gets rid of what it has to write, however long that takes.
    transport = protocol.transport
    if transport is None or not transport.get_write_buffer_size():
        return
    # aiohttp before 3.14 tells a writer of the end that was cancelled, and asyncio complains that nobody has listened.
    with contextlib.suppress(AssertionError):  # it is not paused
        protocol.resume_writing()
    transport.abort()
