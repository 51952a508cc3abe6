"""The wire: sends one request, returns its whole response, and says what a failure means.

This module has what both implementations share (aiohttp_wire.py and fast/). It knows nothing about
rate limits, JSON or retries. Both implementations guarantee: a request is sent at most once,
redirects are not followed, cookies are not kept, and at most `max_body` bytes of a response are
read.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Protocol

import aiohttp
import msgspec
from aiohttp.http import HttpProcessingError
from yarl import URL

from katapult_async.errors import (
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    ProtocolError,
    RequestTimeout,
    TransportError,
)

from .address import check_instance, check_seconds
from .connector import ConnectorClosed, NeverSound

#: The header of a request with a body.
JSON = {"Content-Type": "application/json"}
#: The largest response that is read, in bytes.
DEFAULT_MAX_BODY = 8 * 1024 * 1024


class Timeout(msgspec.Struct, frozen=True, kw_only=True):
    """Time-outs of one request, in seconds. Waits for the rate limit do not count.

    Both are finite, because a server that never responds would hold a connection and a permit for
    ever.

    Args:
        connect: To look up the host, connect and complete the TLS handshake.
        total: For the whole request, connecting included.

    Raises:
        TypeError: If a time is not a number.
        ValueError: If a time is not positive and finite.
    """

    connect: float = 10.0
    total: float = 60.0

    def __post_init__(self) -> None:
        check_seconds("connect", self.connect)
        check_seconds("total", self.total)


def check_timeout(timeout: object) -> None:
    """Raise TypeError unless `timeout` is a Timeout."""
    number = isinstance(timeout, (int, float)) and not isinstance(timeout, bool) and timeout > 0
    check_instance("timeout", timeout, Timeout, f"give Timeout(total={timeout if number else 60})")


class Reply(msgspec.Struct, frozen=True):
    """A whole response. Header names are looked up in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        # A body may contain passwords.
        return f"<Reply {self.status}, {len(self.body)} bytes>"


class Exchange(Protocol):
    """The interface of a wire."""

    async def exchange(self, method: str, url: URL, body: bytes | None) -> Reply:
        """Send one request and read its whole response.

        Args:
            method: The HTTP method.
            url: The endpoint with its query.
            body: JSON; None for a request without a body.

        Raises:
            TransportError: If no usable response arrived.
        """
        ...

    async def close(self) -> None:
        """Send no further requests."""
        ...


async def read_body(headers: Mapping[str, str], content: aiohttp.StreamReader, max_body: int) -> bytes:
    """Read the body of a response. After an error the caller must close the connection.

    Raises:
        ProtocolError: If the body is encoded, or larger than `max_body` bytes.
    """
    encoding = headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise ProtocolError(f"the response has the encoding {encoding[:20]!r}, which was not requested")
    chunks: list[bytes] = []
    size = int(headers.get("Content-Length") or 0)  # aiohttp's parser accepts only digits
    if size <= max_body:
        size = 0
        async for chunk in content.iter_any():
            size += len(chunk)
            if size > max_body:
                break
            chunks.append(chunk)
    if size > max_body:
        raise ProtocolError(f"the response is larger than {max_body} bytes (max_body) and was not read")
    return b"".join(chunks)


def translate(exc: BaseException, timeout: Timeout) -> TransportError:
    """Return the error that says what aiohttp's exception means: was the request sent?"""
    if isinstance(exc, ConnectorClosed):
        return client_is_closed()
    if isinstance(exc, NeverSound):
        return ConnectError(f"no connection: {exc}")
    if isinstance(exc, aiohttp.ConnectionTimeoutError):
        return ConnectTimeout(f"no connection within {timeout.connect:g} s")
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return ConnectError(f"the host {exc.host} could not be looked up")
    if isinstance(exc, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return ConnectError(f"no secure connection to {exc.host}: {_reason(exc)}")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return ConnectError(f"no connection to {exc.host}:{exc.port}: {_reason(exc)}")
    if isinstance(exc, aiohttp.ClientProxyConnectionError):
        return ConnectError("no connection to the proxy")
    if isinstance(exc, asyncio.TimeoutError):
        return RequestTimeout(f"no complete response within {timeout.total:g} s")
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return ConnectionLost("the server closed the connection without a response")
    if isinstance(exc, aiohttp.ClientPayloadError):
        return ConnectionLost("the connection was closed in the middle of the response")
    if isinstance(exc, (aiohttp.ClientResponseError, HttpProcessingError)):
        return ProtocolError("the response is not valid HTTP")
    if isinstance(exc, OSError):
        return ConnectionLost(f"the connection was lost: {_reason(exc)}")
    return ProtocolError(f"the request failed: {type(exc).__name__}")


def client_is_closed(operation: str | None = None) -> ConnectError:
    """Return the error of a request on a closed client."""
    error = ConnectError("the client is closed: nothing was sent", operation=operation)
    error.stops_run = True  # no retry and no other item can be sent either
    return error


def malformed(reply: Reply) -> ProtocolError:
    """Return the error of a successful response whose body cannot be decoded."""
    kind = reply.headers.get("Content-Type", "no content type")[:50]
    error = ProtocolError(
        f"the response ({reply.status}, {kind}, {len(reply.body)} bytes) does not have the documented form"
    )
    error.request_id = reply.headers.get("X-Request-Id")
    return error


def _reason(exc: OSError | ssl.CertificateError) -> str:
    cause = exc.__cause__ if isinstance(exc.__cause__, OSError) else exc
    return (getattr(cause, "strerror", None) or type(cause).__name__)[:200]
