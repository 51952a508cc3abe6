"""Send a response to the client, unchanged or damaged by a fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from katapult_async.testing.faults import FaultKind
from katapult_async.testing.registry import complete
from katapult_async.testing.wire_form import Reply

_BAD_GATEWAY = (
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
)
_INVALID_JSON = b'{"disk": {"id": '
_NON_UTF8 = b'{"disk": {"name": "\xff\xfe\xfa"}}'


async def _whole(_request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    return web.Response(status=reply.status, headers=reply.headers, body=reply.body)


async def _truncated(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send half of the body, then close the connection."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection at once, without a response."""
    if request.transport is not None:
        request.transport.abort()
    # aiohttp requires a response, and drops it because the connection is closed.
    return web.Response()


def _of_proxy(reply: Reply, status: int, body: bytes, content_type: str | None = None) -> Reply:
    # A proxy without a response from the API does not know the API's counters.
    kept = {name: reply.headers[name] for name in ("Date", "Server", "X-Request-Id")}
    return Reply(status, kept if content_type is None else {**kept, "Content-Type": content_type}, body)


@dataclass(frozen=True)
class Effect:
    """The effect of a fault on one response.

    Args:
        refusal: Code of the error that replaces the response.
        damage: Changes the head and the body.
        send: Sends the response. None if it is never sent.
        hangs: Whether the client waits before the connection is closed.
    """

    refusal: str | None = None
    damage: Callable[[Reply], Reply] | None = None
    send: Callable[[web.BaseRequest, Reply], Awaitable[web.StreamResponse]] | None = _whole
    hangs: bool = False


_NO_FAULT = Effect()
_EFFECTS: Mapping[FaultKind, Effect] = complete(
    FaultKind,
    {
        FaultKind.RESET_BEFORE: Effect(send=None),
        FaultKind.RESET_AFTER: Effect(send=None),
        FaultKind.TIMEOUT_BEFORE: Effect(send=None, hangs=True),
        FaultKind.TIMEOUT_AFTER: Effect(send=None, hangs=True),
        FaultKind.UNAVAILABLE: Effect(refusal="service_unavailable"),
        FaultKind.BAD_GATEWAY: Effect(
            damage=lambda reply: _of_proxy(reply, 502, _BAD_GATEWAY, "text/html; charset=utf-8")
        ),
        FaultKind.EMPTY_504: Effect(damage=lambda reply: _of_proxy(reply, 504, b"")),
        FaultKind.SERVER_ERROR: Effect(refusal="unhandled_exception"),
        FaultKind.TRUNCATED: Effect(send=_truncated),
        FaultKind.INVALID_JSON: Effect(damage=lambda reply: reply._replace(body=_INVALID_JSON)),
        FaultKind.NON_UTF8: Effect(damage=lambda reply: reply._replace(body=_NON_UTF8)),
    },
)


def effect_of(fault: FaultKind | None) -> Effect:
    """Return the effect of a fault on a response."""
    return _NO_FAULT if fault is None else _EFFECTS[fault]


async def deliver(
    request: web.BaseRequest, reply: Reply, effect: Effect, hang: float, sent: Callable[[int], None]
) -> web.StreamResponse:
    """Send a response with the effect of its fault. Calls `sent` with the status before that."""
    if effect.hangs:
        await asyncio.sleep(hang)
    if effect.send is None:
        return _cut(request)
    reply = effect.damage(reply) if effect.damage is not None else reply
    sent(reply.status)
    return await effect.send(request, reply)
