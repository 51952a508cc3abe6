"""A page outside the API's paths that shows the ledger and the disks of a running emulator.

It needs no token and is read-only. Requests to it are not counted.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from katapult_async.testing.backend import Backend

PREFIX = "/_emulator/"
LEDGER = PREFIX + "ledger"


def ledger_of(backend: Backend) -> bytes:
    """Return the ledger as JSON. `assigned` has the virtual machine of each assigned disk."""
    disks = backend.world.disks.values()
    assigned = {disk.id: disk.virtual_machine for disk in disks if disk.virtual_machine is not None}
    return msgspec.json.encode({**backend.ledger.as_json(), "assigned": assigned})


def answer(method: str, path: str, backend: Backend) -> web.Response:
    """Return the response to a request for one of these paths."""
    if path != LEDGER:
        return _error(404, f"there is only {LEDGER}")
    if method != "GET":
        return _error(405, "the ledger can only be read")
    return web.Response(body=ledger_of(backend), content_type="application/json")


def _error(status: int, message: str) -> web.Response:
    return web.Response(status=status, text=message + "\n")
