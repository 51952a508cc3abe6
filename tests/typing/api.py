"""The public face as type checkers see it: checked, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import UnsetType
from typing_extensions import assert_type

from katapult_async import (
    Assignment,
    BulkReport,
    Client,
    Disk,
    DiskState,
    IOProfile,
    KatapultError,
    Outcome,
    Outcomes,
    OutcomeStatus,
    SessionPool,
    Task,
    Timeout,
    TrashObject,
    UnableToAssign,
    VirtualMachine,
)
from katapult_async.otel import OpenTelemetryObserver


async def one_disk(client: Client) -> None:
    disk = await client.disks.assign("disk_1", "vm_1")
    assert_type(disk, Disk)
    assert_type(disk.state, DiskState | UnsetType)
    assert_type(await client.disks.attach("disk_1"), tuple[Disk, Task | None])
    assert_type(await client.disks.delete("disk_1"), TrashObject)
    assert_type(await client.virtual_machines.get("web.example"), VirtualMachine)
    assert_type(client.disks.list(organization="acme"), AsyncIterator[Disk])
    assert_type(client.io_profiles.list(organization="acme"), AsyncIterator[IOProfile])


async def many_disks(client: Client, pairs: list[Assignment], more: AsyncIterator[Assignment]) -> None:
    assert_type(await client.disks.assign_many(pairs), BulkReport)
    assert_type(await client.disks.assign_many(more), BulkReport)
    await client.disks.assign_many([("disk_1", "vm_1")])
    await client.disks.unassign_many(["disk_1"])
    async with client.disks.assign_each(pair for pair in pairs) as outcomes:
        assert_type(outcomes, Outcomes)
        async for outcome in outcomes:
            assert_type(outcome, Outcome)
            assert_type(outcome.status, OutcomeStatus)
            assert_type(outcome.error, KatapultError | None)
            if isinstance(outcome.error, UnableToAssign):
                assert_type(outcome.error.errors, tuple[str, ...])


async def watched() -> None:
    observer = OpenTelemetryObserver(attributes={"account": "acme"})
    async with Client.from_env(observer=observer) as client:
        with client.session.watching(OpenTelemetryObserver()):
            assert_type(await client.disks.get("disk_1"), Disk)


async def clients() -> None:
    async with Client.from_env(concurrency=4, timeout=Timeout(total=5)) as client:
        assert_type(client, Client)
    async with SessionPool() as pool:
        Client("token", pool=pool, total_permitted=1000, max_per_second=2.5)
    Client.from_env(concurency=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client(b"token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
