"""A bulk action of your own: give disks new names, and read them back after unclear responses.

    KATAPULT_API_KEY=… python custom_action.py acme backup-

The package has this action (`client.disks.update_many`). Yours may be any request of the API.
"""

from __future__ import annotations

import asyncio
import sys

import msgspec

from katapult_async import Action, Client, Disk, Operation, read_with, send_with
from katapult_async.bulk import ReadBack, Words


class Rename(msgspec.Struct, frozen=True):
    """One item. Its text names it in messages."""

    disk: str
    name: str

    def __str__(self) -> str:
        return f"{self.disk} -> {self.name}"


class RenameBody(msgspec.Struct):
    """The body of the request."""

    disk: dict[str, str]
    properties: dict[str, str]


class DiskResponse(msgspec.Struct):
    """The body of both responses, as far as it is needed."""

    disk: Disk


RENAME = Action(
    "rename",
    Rename,
    send_with(
        Operation("PATCH", "/disks/disk", DiskResponse),
        body=lambda item: RenameBody({"id": item.disk}, {"name": item.name}),
        result=lambda response, _: response.disk,
    ),
    # After an unclear response the run reads the disk, and its name decides.
    read=read_with(
        Operation("GET", "/disks/disk", DiskResponse),
        query=lambda item: [("disk[id]", item.disk)],
        result=lambda response, _: response.disk,
        found=lambda disk, item: ReadBack.DONE if disk.name == item.name else ReadBack.NOT_DONE,
    ),
    words=Words("renamed", "already_renamed"),
    success_proves_change=False,  # the API accepts the name that a disk has already
)


async def main(organization: str, prefix: str) -> int:
    """Rename all disks of an organization. Return 0 if every disk has its name, or else 1."""
    async with Client.from_env() as client:
        disks = [disk async for disk in client.disks.list(organization=organization)]
        items = [Rename(disk.id, f"{prefix}{number}") for number, disk in enumerate(disks)]
        async with client.bulk_each(RENAME, items) as outcomes:
            async for outcome in outcomes:
                if not outcome.ok:
                    print(f"{outcome.item}: {outcome.word}: {outcome.error}", file=sys.stderr)
    print(outcomes.report)
    return 0 if outcomes.report.ok else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
