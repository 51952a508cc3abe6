"""The connector of a pool: aiohttp's, with checked connections and a close that cannot block.

Both wires get their connections here. aiohttp only checks whether a kept connection is still open.
If a server has sent something on it meanwhile (a 408 before it hangs up, for example), aiohttp
would return that as the next response. This connector closes a connection that received unsolicited
bytes. It knows nothing about requests and responses.
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

#: Number of new connections to try for one request if the server closes them, or sends on them, at
#: once.
TRIES = 3


class ConnectorClosed(aiohttp.ClientConnectionError):
    """The connector is closed, so there is no connection."""


class NeverSound(aiohttp.ClientConnectionError):
    """Every new connection was closed by the server, or received bytes before the first request."""


class Connector(aiohttp.TCPConnector):
    """Opens and keeps connections. If `connect` raises, nothing was sent.

    Args:
        ssl_context: For a private certificate authority; None for the system's.
    """

    def __init__(self, *, ssl_context: ssl.SSLContext | None = None) -> None:
        # No limit here: the concurrency of each client bounds the connections. A request that
        # waited here for a connection would hold a permit meanwhile.
        trust = ssl_context if ssl_context is not None else True
        super().__init__(limit=0, limit_per_host=0, ssl=trust)  # pyright: ignore[reportUnknownMemberType]
        #: The protocols of all connections that are still in use or kept.
        self._handed_out: weakref.WeakSet[ResponseHandler] = weakref.WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """Return an open connection on which nothing has arrived.

        Args:
            req: The request, which names the host.
            traces: aiohttp's traces.
            timeout: For each connection that is opened.

        Raises:
            ConnectorClosed: If the connector is closed.
            NeverSound: If no usable connection could be opened.
        """
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
            # Unusable kept connections do not count: there may be many of them.
            opened += protocol not in self._handed_out
        raise NeverSound(
            f"the server closed {TRIES} new connections, or sent data on them before the first request"
        )

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, and abort those whose peer does not read what was written."""
        for protocol in self._handed_out:
            _abort_if_stuck(protocol)
        await super().close(abort_ssl=abort_ssl)


def _abort_if_stuck(protocol: ResponseHandler) -> None:
    # A closed transport first writes what it has buffered, however long that takes.
    transport = protocol.transport
    if transport is None or not transport.get_write_buffer_size():
        return
    # aiohttp before 3.14 reports the end to a writer that was cancelled. asyncio then logs an
    # exception that nobody retrieved.
    with contextlib.suppress(AssertionError):  # it is not paused
        protocol.resume_writing()
    transport.abort()
