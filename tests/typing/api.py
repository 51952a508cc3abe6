"""The public face as type checkers see it: checked, never run."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

import msgspec
from msgspec import UnsetType
from typing_extensions import Unpack, assert_type

from katapult_async import (
    Action,
    Assignment,
    BulkReport,
    Client,
    ClientSettings,
    Disk,
    KatapultError,
    Operation,
    Outcome,
    Outcomes,
    OutcomeStatus,
    SessionPool,
    Task,
    Timeout,
    UnableToAssign,
    VirtualMachine,
    read_with,
    send_with,
)
from katapult_async.bulk import ReadBack
from katapult_async.jobs import (
    Journal,
    LineRecord,
    LineStatus,
    Manifest,
    ManifestCheck,
    ManifestLine,
    Preflight,
    Run,
    RunState,
    RunSummary,
    preview,
    write_html,
)
from katapult_async.models import DiskState, IOProfile, Secret, TrashObject
from katapult_async.otel import OpenTelemetryObserver
from katapult_async.resources import Machine, NewDisk, Resize
from katapult_async.transport import Meter, Session


async def one_disk(client: Client) -> None:
    disk = await client.disks.assign("disk_1", "vm_1")
    assert_type(disk, Disk)
    assert_type(disk.state, DiskState | UnsetType)
    assert_type(await client.disks.unassign("disk_1"), Disk)
    assert_type(await client.disks.update("disk_1", name="x"), Disk)
    assert_type(await client.disks.delete("disk_1"), TrashObject)
    assert_type(await client.virtual_machines.get("web.example"), VirtualMachine)
    assert_type(client.disks.list(organization="acme"), AsyncIterator[Disk])
    assert_type(client.io_profiles.list(organization="acme"), AsyncIterator[IOProfile])


async def what_queues_a_task_returns_it(client: Client) -> None:
    assert_type(await client.disks.attach("disk_1"), Task | None)
    assert_type(await client.disks.detach("disk_1", wait=True), Task | None)
    assert_type(await client.disks.resize("disk_1", 50), Task)
    assert_type(await client.disks.change_io_profile("disk_1", "fast", wait=True), Task)
    assert_type(await client.virtual_machines.start("vm_1"), Task | None)
    assert_type(await client.virtual_machines.stop("vm_1", wait=True), Task | None)
    assert_type(await client.virtual_machines.shutdown("vm_1"), Task | None)
    assert_type(await client.virtual_machines.reset("vm_1"), Task | None)
    made = await client.disks.create(organization="acme", name="x", data_center="here", size_in_gb=5)
    assert_type(made, tuple[Disk, Task])


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


async def other_actions(client: Client, new: list[NewDisk]) -> None:
    assert_type(await client.disks.resize("disk_1", 50, wait=True), Task)
    assert_type(await client.disks.resize_many([("disk_1", 50)]), BulkReport[Resize, Disk])
    assert_type(await client.disks.create_many(new, wait=True), BulkReport[NewDisk, Disk])
    assert_type(await client.virtual_machines.start("vm_1"), Task | None)
    async with client.virtual_machines.stop_each(["vm_1"]) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome, Outcome[Machine, VirtualMachine])
            assert_type(outcome.item, Machine)
            assert_type(outcome.result, VirtualMachine | None)
    async with client.disks.delete_each(["disk_1"]) as trashed:
        async for deleted in trashed:
            assert_type(deleted.result, TrashObject | None)
            assert_type(deleted.assignment.disk, str)
            assert_type(deleted.disk, Disk | None)


class Purge(msgspec.Struct):
    trash_object: str


class PurgeBody(msgspec.Struct):
    id: str


class PurgeAnswer(msgspec.Struct):
    task: Task


PURGE = Operation("DELETE", "/trash_objects/trash_object", PurgeAnswer)
SHOW = Operation("GET", "/trash_objects/trash_object", PurgeAnswer)


def purge_body(item: Purge) -> PurgeBody:
    return PurgeBody(item.trash_object)


def purged(answer: PurgeAnswer, item: Purge) -> str:
    return item.trash_object


PURGING = Action("purge", Purge, send_with(PURGE, body=purge_body, result=purged))


async def own_action(client: Client) -> None:
    assert_type(PURGING, Action[Purge, str])
    assert_type(await client.request(PURGE, query=[("trash_object[id]", "trsh_1")]), PurgeAnswer)
    assert_type(await client.bulk(PURGING, [Purge("trsh_1")]), BulkReport[Purge, str])
    async with client.bulk_each(PURGING, [Purge("trsh_1")], wait=True) as outcomes:
        async for outcome in outcomes:
            assert_type(outcome.item, Purge)
            assert_type(outcome.result, str | None)
    await client.bulk(PURGING, ["trsh_1"])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]


def purge_query(item: Purge) -> list[tuple[str, str]]:
    return [("trash_object[id]", item.trash_object)]


def purge_found(result: str, item: Purge) -> ReadBack:
    return ReadBack.DONE if result == item.trash_object else ReadBack.UNCLEAR


async def own_action_inside_a_call(client: Client, items: list[Purge]) -> None:
    """Type checkers infer the result of an action with a `read` function that has no name."""
    report = await client.bulk(
        Action(
            "purge",
            Purge,
            send_with(PURGE, body=purge_body, result=purged),
            read=read_with(SHOW, query=purge_query, result=purged, found=purge_found),
        ),
        items,
    )
    assert_type(report, BulkReport[Purge, str])
    outcomes = client.bulk_each(
        Action(
            "purge",
            Purge,
            send_with(
                PURGE,
                body=lambda item: PurgeBody(item.trash_object),
                result=lambda _answer, item: item.trash_object,
            ),
            read=read_with(
                SHOW,
                query=lambda item: [("trash_object[id]", item.trash_object)],
                result=lambda _answer, item: item.trash_object,
                found=lambda result, item: (
                    ReadBack.DONE if result == item.trash_object else ReadBack.NOT_DONE
                ),
            ),
        ),
        items,
    )
    assert_type(outcomes, Outcomes[Purge, str])

    async def read(session: Session, item: Purge, meter: Meter) -> tuple[str | None, ReadBack]:
        return None, ReadBack.UNCLEAR

    written = Action("purge", Purge, send_with(PURGE, body=purge_body, result=purged), read=read)
    assert_type(written, Action[Purge, str])


async def watched() -> None:
    observer = OpenTelemetryObserver(attributes={"account": "acme"})
    async with Client.from_env(observer=observer) as client:
        with client.session.watching(OpenTelemetryObserver()):
            assert_type(await client.disks.get("disk_1"), Disk)


async def jobs(client: Client) -> None:
    with Manifest.open("plan.csv") as manifest:
        assert_type(manifest.check(), ManifestCheck)
        for line in manifest:
            assert_type(line, ManifestLine)
            assert_type(line.attach, bool | None)
        assert_type(await preview(client, manifest, "acme", attach=True), Preflight)
        with Run.create("plan.run", manifest) as run:
            assert_type(await run.preflight(client, "acme"), Preflight)
            assert_type(await run.execute(client, task_timeout=60), RunSummary)
            assert_type(run.refused_by, KatapultError | None)
            assert_type(run.summary().state, RunState)
    with Manifest.from_items([("disk_1", "vm_1"), Assignment("disk_2", "vm_1")]) as manifest:
        Run.create("plan.run", manifest, attach=True).close()
    with Run.roll_back("plan.run", "plan.run.rollback") as back:
        assert_type(back.summary().counts, dict[LineStatus, int])
    with Journal.read("plan.run") as journal:
        for record in journal.lines(problems_only=True):
            assert_type(record, LineRecord)
            assert_type(record.finished_at, float | None)
        write_html(sys.stdout, journal)


def client_of(**settings: Unpack[ClientSettings]) -> Client:
    return Client.from_env(**settings)


def secrets(machine: VirtualMachine, token: Secret) -> None:
    assert_type(machine.initial_root_password, Secret | UnsetType | None)
    assert_type(token.reveal(), str)
    Client(token)
    client_of(concurrency=4)
    client_of(concurency=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def clients() -> None:
    async with Client.from_env(concurrency=4, timeout=Timeout(total=5)) as client:
        assert_type(client, Client)
    async with SessionPool() as pool:
        Client("token", pool=pool, total_permitted=1000, max_per_second=2.5)
    Client.from_env(concurency=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Client(b"token")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
