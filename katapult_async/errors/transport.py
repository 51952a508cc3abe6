"""Errors without a usable response. `sent` says whether the server may have got the request."""

from __future__ import annotations

from .katapult_error import Execution, KatapultError


class TransportError(KatapultError):
    """No usable response.

    Attributes:
        sent: Whether the request was sent.
    """

    sent = True


class ConnectError(TransportError):
    """No connection: host not found, refused, TLS failed. Nothing was sent."""

    sent = False
    execution = Execution.NOT_EXECUTED


class ConnectTimeout(ConnectError):
    """No connection in time. Nothing was sent."""


class RequestTimeout(TransportError):
    """The request was sent, and no complete response arrived in time."""


class ConnectionLost(TransportError):
    """The request was sent, and the connection was reset or closed before the complete response."""


class ProtocolError(TransportError):
    """The request was sent, and what came back is not a response of this API."""
