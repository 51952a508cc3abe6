"""Carrying an answer to the client, whole or damaged as a fault demands. What the answer says is decided elsewhere."""

from __future__ import annotations

from aiohttp import web

from katapult_async.testing.faults import FaultKind
from katapult_async.testing.wire_form import Reply

_BAD_GATEWAY = (
    b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"
)
_INVALID_JSON = b'{"disk": {"id": '
_NON_UTF8 = b'{"disk": {"name": "\xff\xfe\xfa"}}'


def damaged(reply: Reply, fault: FaultKind | None) -> Reply:
    """The reply as the client will see it, for the faults that replace its body or its head."""
    if fault is FaultKind.INVALID_JSON:
        return reply._replace(body=_INVALID_JSON)
    if fault is FaultKind.NON_UTF8:
        return reply._replace(body=_NON_UTF8)
    if fault is FaultKind.BAD_GATEWAY:
        return Reply(502, _of_proxy(reply.headers, "text/html; charset=utf-8"), _BAD_GATEWAY)
    if fault is FaultKind.EMPTY_504:
        return Reply(504, _of_proxy(reply.headers, None), b"")
    return reply


def _of_proxy(headers: dict[str, str], content_type: str | None) -> dict[str, str]:
    # A proxy that got no answer from the API knows nothing of the API's counters.
    kept = {name: value for name, value in headers.items() if name in {"Date", "Server", "X-Request-Id"}}
    return kept if content_type is None else {**kept, "Content-Type": content_type}


def cut(request: web.BaseRequest) -> web.StreamResponse:
    """Close the connection at once, without an answer."""
    if request.transport is not None:
        request.transport.abort()
    # aiohttp wants a response; it finds the connection closed and drops it.
    return web.Response()


async def truncate(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Send half of the body, then close the connection."""
    response = web.StreamResponse(status=reply.status, headers=reply.headers)
    response.content_length = len(reply.body)
    await response.prepare(request)
    await response.write(reply.body[: len(reply.body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response
