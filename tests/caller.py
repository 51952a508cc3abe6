"""An emulator whose clock stands still unless moved, asked over a real socket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator
from typing import Any, NamedTuple

import aiohttp
from multidict import CIMultiDictProxy

from katapult_async.testing import KatapultEmulator

MOMENT = 1_800_000_000.0  # a whole minute of the wall clock
ORGANIZATION = "organization[sub_domain]=acme"


class Answer(NamedTuple):
    status: int
    headers: CIMultiDictProxy[str]
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


class Caller:
    """An emulator whose clock stands still unless moved, and a session for it."""

    def __init__(self, session: aiohttp.ClientSession, **options: Any) -> None:
        self.time = MOMENT
        options.setdefault("clock", lambda: self.time)
        self.emulator = KatapultEmulator(**options)
        self.session = session

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "token",
        content_type: str = "application/json",
    ) -> Answer:
        headers = {"Content-Type": content_type}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = self.emulator.url + path
        data = body if isinstance(body, bytes) or body is None else json.dumps(body)
        async with self.session.request(method, url, data=data, headers=headers) as response:
            text = await response.text()
            is_json = response.content_type == "application/json"
            return Answer(response.status, response.headers, json.loads(text) if is_json else text)

    async def on_disk(self, action: str, disk: int = 0, **more: Any) -> Answer:
        """POST or PUT /disks/disk/ACTION for one of the disks."""
        method = "PUT" if action in {"resize", "io_profile"} else "POST"
        body = {"disk": {"id": self.emulator.disk_ids[disk]}, **more}
        return await self.ask(method, f"/disks/disk/{action}", body)

    async def create(self, **more: Any) -> Answer:
        """POST /organizations/organization/disks with these properties, and `annotations`."""
        annotations = more.pop("annotations", None)
        properties = {"name": "x", "size_in_gb": 5, "data_center": {"permalink": "em-one-01"}, **more}
        body = {"organization": {"sub_domain": "acme"}, "properties": properties, "annotations": annotations}
        return await self.ask("POST", "/organizations/organization/disks", body)

    async def read(self, disk: str) -> Any:
        """The body of GET /disks/disk."""
        return (await self.ask("GET", f"/disks/disk?disk[id]={disk}")).body

    async def assign(self, disk: int = 0, machine: int = 0, **more: Any) -> Answer:
        body = {
            "disk": {"id": self.emulator.disk_ids[disk]},
            "virtual_machine": {"id": self.emulator.virtual_machine_ids[machine]},
        }
        return await self.ask("POST", "/disks/disk/assign", body, **more)


@contextlib.asynccontextmanager
async def calling(**options: Any) -> AsyncGenerator[Caller, None]:
    async with aiohttp.ClientSession() as session:
        caller = Caller(session, **options)
        async with caller.emulator:
            yield caller
