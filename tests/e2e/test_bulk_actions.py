"""Bulk actions other than assign, over real sockets: the ledger agrees with every outcome."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from katapult_async import (
    Action,
    BulkError,
    Client,
    ObjectInTrash,
    Observer,
    Operation,
    Outcome,
    OutcomeEvent,
    OutcomeStatus,
    RetryPolicy,
    Timeout,
    ValidationError,
    read_with,
    send_with,
)
from katapult_async.bulk import ItemT, Outcomes, ReadBack, Recorder, ResultT, Start, Words
from katapult_async.models import BusType, Disk
from katapult_async.models.responses import DiskResponse
from katapult_async.resources import DiskUpdate, IOProfileChange, NewDisk, Resize, read_again
from katapult_async.testing import FaultKind, Faults, KatapultEmulator

S = OutcomeStatus
QUICK = RetryPolicy(base=0.01, cap=0.05)
WRITES = ("POST", "PUT", "PATCH", "DELETE")


def client_for(emulator: KatapultEmulator) -> Client:
    return Client("token", base_url=emulator.url, retry=QUICK, timeout=Timeout(total=1.0))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pauses between reads from seconds to milliseconds."""
    monkeypatch.setattr(read_again, "READ_PAUSES", (0.02, 0.04, 0.08, 0.16))


async def collect(run: Outcomes[ItemT, ResultT]) -> list[Outcome[ItemT, ResultT]]:
    async with run as outcomes:
        return [outcome async for outcome in outcomes]


def new_disks(emulator: KatapultEmulator, count: int) -> list[NewDisk]:
    world = emulator.world
    return [
        NewDisk(world.organization.id, f"data-{number}", world.data_centers[0].id, 10)
        for number in range(count)
    ]


# -- resize, IO profile, update, delete --------------------------------------------------------


async def test_resizing_to_the_same_size_again_is_already_done() -> None:
    async with KatapultEmulator(disks=20, task_duration=0.05) as emulator, client_for(emulator) as client:
        report = await client.disks.resize_many([(disk, 50) for disk in emulator.disk_ids], wait=True)
        assert report.counts == {S.DONE: 20}
        assert {disk.size_in_gb for disk in emulator.world.disks.values()} == {50}
        assert emulator.ledger.applied_total["resize"] == 20
        report = await client.disks.resize_many([Resize(disk, 50) for disk in emulator.disk_ids])
        assert report.counts == {S.ALREADY_DONE: 20}
        assert "20 already resized" in str(report)
        report = await client.disks.resize_many([Resize("disk_missing", 50)])
        assert [failure.code for failure in report.failures] == ["disk_not_found"]


async def test_a_refused_resize_fails_with_the_error_of_the_api() -> None:
    async with (
        KatapultEmulator(disks=1, virtual_machines=1) as emulator,
        client_for(emulator) as client,
    ):
        disk, machine = emulator.disk_ids[0], emulator.virtual_machine_ids[0]
        await client.disks.assign(disk, machine)
        report = await client.disks.resize_many([(disk, 5)])  # smaller, on a machine that runs
    (failure,) = report.failures
    assert isinstance(failure.error, ValidationError)
    assert (failure.word, failure.item) == ("failed", Resize(disk, 5))


@pytest.mark.parametrize("kind", list(FaultKind))
async def test_a_resize_without_a_response_is_done_after_a_read_or_unknown(kind: FaultKind) -> None:
    async with KatapultEmulator(disks=1, task_duration=0.1) as emulator, client_for(emulator) as client:
        emulator.faults.next(kind)
        (outcome,) = await collect(client.disks.resize_each([(emulator.disk_ids[0], 50)]))
        tasks = [task for task in emulator.world.tasks.values() if task.action == "resize"]
        assert len(tasks) <= 1
        if kind is FaultKind.UNAVAILABLE:
            assert outcome.status is S.DONE
        assert outcome.status in {S.DONE, S.UNKNOWN}
        if outcome.status is S.DONE:
            assert len(tasks) == 1


@asynccontextmanager
async def struck(seed: int, disks: int = 150) -> AsyncIterator[KatapultEmulator]:
    faults = Faults.everywhere(0.1, seed=seed, methods=WRITES)
    async with KatapultEmulator(
        disks=disks, virtual_machines=30, limit=100_000, task_duration=0.05, faults=faults
    ) as emulator:
        yield emulator


async def results(run: Outcomes[ItemT, ResultT]) -> list[tuple[str, OutcomeStatus]]:
    return [(str(getattr(outcome.item, "disk", "")), outcome.status) for outcome in await collect(run)]


async def carry_out(name: str, client: Client, disks: list[str]) -> list[tuple[str, OutcomeStatus]]:
    many = client.disks
    if name == "resize":
        return await results(many.resize_each([(disk, 50) for disk in disks]))
    if name == "io_profile":
        return await results(many.change_io_profile_each([(disk, "moderate") for disk in disks]))
    if name == "delete":
        return await results(many.delete_each(disks))
    updates = [DiskUpdate(disk, name=f"named-{disk}", annotations={"by": "us"}) for disk in disks]
    return await results(many.update_each(updates))


def is_as_wanted(name: str, emulator: KatapultEmulator, disk_id: str) -> bool:
    disk = emulator.world.disks[disk_id]
    wanted: dict[str, bool] = {
        "resize": disk.size_in_gb == 50,
        "io_profile": disk.io_profile.permalink == "moderate",
        "update": disk.name == f"named-{disk_id}" and disk.annotations == {"by": "us"},
        "delete": disk.trash is not None,
    }
    return wanted[name]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", ["resize", "io_profile", "update", "delete"])
async def test_the_ledger_agrees_with_every_outcome(name: str, seed: int) -> None:
    async with struck(seed) as emulator, client_for(emulator) as client:
        outcomes = await carry_out(name, client, emulator.disk_ids)
        emulator.world.advance(emulator.now() + 1)  # end all tasks
        assert Counter(disk for disk, _ in outcomes) == Counter(emulator.disk_ids)
        assert {status for _, status in outcomes} <= {S.DONE, S.UNKNOWN}
        for disk, status in outcomes:
            if status.ok:
                assert is_as_wanted(name, emulator, disk)
            if name != "update":  # an update may be sent again after a read that shows "not done"
                assert emulator.ledger.applied_count(disk, name) <= 1
        # On a slow machine some requests time out, and their items are unknown.
        assert sum(status.ok for _, status in outcomes) >= 80


async def test_deleting_returns_the_object_in_the_trash_and_again_is_already_done() -> None:
    async with KatapultEmulator(disks=3) as emulator, client_for(emulator) as client:
        first, again = [await collect(client.disks.delete_each(emulator.disk_ids)) for _ in range(2)]
        trash = {disk.id: disk.trash for disk in emulator.world.disks.values()}
    assert [outcome.word for outcome in first] == ["deleted"] * 3
    assert [outcome.word for outcome in again] == ["already_deleted"] * 3
    for outcome in (*first, *again):
        assert outcome.result is not None
        assert outcome.result.id == getattr(trash[outcome.item.disk], "id", "")


async def test_a_deleted_disk_cannot_be_resized_or_changed() -> None:
    async with KatapultEmulator(disks=1) as emulator, client_for(emulator) as client:
        (disk,) = emulator.disk_ids
        await client.disks.delete(disk)
        errors: list[object] = [
            (await client.disks.resize_many([(disk, 50)])).failures[0].error,
            (await client.disks.change_io_profile_many([IOProfileChange(disk, "moderate")]))
            .failures[0]
            .error,
            (await client.disks.update_many([DiskUpdate(disk, bus_type=BusType.VIRTIO)])).failures[0].error,
        ]
    assert {type(error) for error in errors} == {ObjectInTrash}


# -- create ------------------------------------------------------------------------------------


async def test_no_disk_is_created_twice_with_faults_on_a_tenth_of_the_requests() -> None:
    faults = Faults.everywhere(0.1, seed=5)
    async with KatapultEmulator(disks=0, limit=100_000, task_duration=0.05, faults=faults) as emulator:
        items = new_disks(emulator, 1000)
        async with client_for(emulator) as client:
            outcomes = await collect(client.disks.create_each(items))
        created: dict[str, str] = {disk.name: disk.id for disk in emulator.world.disks.values()}
        assert len(emulator.world.disks) == len(created)  # no name twice
        assert Counter(str(outcome.item) for outcome in outcomes) == Counter(map(str, items))
        counts = Counter(outcome.status for outcome in outcomes)
        for outcome in outcomes:
            if outcome.ok:
                assert outcome.result is not None
                assert created[outcome.item.name] == outcome.result.id
            elif outcome.status is not S.UNKNOWN:
                assert outcome.item.name not in created
        assert set(counts) <= {S.DONE, S.UNKNOWN}
        unclear = counts[S.UNKNOWN]
        # The run finds nearly all created disks by their names.
        assert unclear < 80
        assert counts[S.DONE] >= len(created) - 15


async def test_a_disk_created_by_a_request_without_a_response_is_found_by_its_name() -> None:
    async with KatapultEmulator(disks=0) as emulator, client_for(emulator) as client:
        emulator.faults.next("reset_after")
        (outcome,) = await collect(client.disks.create_each(new_disks(emulator, 1)))
        assert outcome.status is S.DONE
        assert [outcome.disk and outcome.disk.id] == list(emulator.world.disks)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after"])
async def test_a_name_of_an_older_disk_or_of_two_items_identifies_no_disk(fault: str) -> None:
    async with KatapultEmulator(disks=1) as emulator, client_for(emulator) as client:
        old = emulator.world.disks[emulator.disk_ids[0]]
        (item,) = new_disks(emulator, 1)
        old.name = item.name  # created long ago
        emulator.faults.next(fault)
        (outcome,) = await collect(client.disks.create_each([item]))
        assert outcome.status is S.UNKNOWN
        two = [NewDisk(item.organization, "twin", item.data_center, 10) for _ in range(2)]
        emulator.faults.next(fault)
        outcomes = await collect(client.disks.create_each(two))
        made = sum(disk.name == "twin" for disk in emulator.world.disks.values())
    assert Counter(outcome.status for outcome in outcomes) == {S.DONE: 1, S.UNKNOWN: 1}
    assert made == (2 if fault == "reset_after" else 1)


async def test_a_create_request_is_not_repeated_after_an_unclear_response() -> None:
    async with KatapultEmulator(disks=0) as emulator, client_for(emulator) as client:
        emulator.faults.next("reset_before")
        report = await client.disks.create_many(new_disks(emulator, 1))
        assert report.counts == {S.UNKNOWN: 1}
        assert emulator.ledger.by_path["/organizations/organization/disks"] == 2  # one POST, one list
        assert not emulator.world.disks
        assert report.requests == emulator.ledger.total


async def test_a_refused_creation_fails_and_a_503_is_retried() -> None:
    async with KatapultEmulator(disks=0) as emulator, client_for(emulator) as client:
        emulator.faults.next("unavailable", 2)
        report = await client.disks.create_many(new_disks(emulator, 1))
        assert report.counts == {S.DONE: 1}
        item = msgspec.structs.replace(new_disks(emulator, 1)[0], data_center="nowhere")
        report = await client.disks.create_many([item])
    assert [failure.code for failure in report.failures] == ["data_center_not_found"]


# -- a caller's action -------------------------------------------------------------------------


@dataclass(frozen=True)
class Rename:
    """A caller's own item type: not a Struct, and without a virtual machine."""

    disk: str
    name: str

    def __str__(self) -> str:
        return f"{self.disk} as {self.name}"


class Body(msgspec.Struct):
    disk: dict[str, str]
    properties: dict[str, str]


def body_of(item: Rename) -> Body:
    return Body({"id": item.disk}, {"name": item.name})


def query_of(item: Rename) -> list[tuple[str, str]]:
    return [("disk[id]", item.disk)]


def disk_of(answer: DiskResponse, _item: Rename) -> Disk:
    return answer.disk


def found(disk: Disk, item: Rename) -> ReadBack:
    return ReadBack.DONE if disk.name == item.name else ReadBack.NOT_DONE


PATCH = Operation("PATCH", "/disks/disk", DiskResponse)
GET = Operation("GET", "/disks/disk", DiskResponse)
READ = read_with(GET, query=query_of, result=disk_of, found=found)
RENAMING = Action(
    name="rename",
    item=Rename,
    send=send_with(PATCH, body=body_of, result=disk_of),
    read=READ,
    words=Words("renamed", "already_renamed"),
)
#: The same action without a read.
BLIND = Action(name="rename", item=Rename, send=RENAMING.send)


async def test_a_callers_own_action_runs_in_bulk() -> None:
    async with struck(3) as emulator, client_for(emulator) as client:
        items = [Rename(disk, f"new-{disk}") for disk in emulator.disk_ids]
        report = await client.bulk(RENAMING, items)
        assert report.counts == {S.DONE: 150}
        assert str(report).startswith("150 renamed; ")
        assert all(emulator.world.disks[item.disk].name == item.name for item in items)
        assert report.requests == emulator.ledger.total


async def test_without_a_read_an_unclear_item_is_unknown_and_not_sent_again() -> None:
    async with struck(4) as emulator, client_for(emulator) as client:
        async with client.bulk_each(BLIND, [Rename(disk, "new") for disk in emulator.disk_ids]) as run:
            outcomes = [outcome async for outcome in run]
        sent = Counter(
            arrival.disk
            for arrival in emulator.ledger.arrivals
            if arrival.method == "PATCH" and arrival.fault != "unavailable"
        )
        assert set(sent.values()) == {1}
        counts = Counter(outcome.status for outcome in outcomes)
        assert set(counts) == {S.DONE, S.UNKNOWN}
        for outcome in outcomes:
            applied = emulator.ledger.applied_count(outcome.item.disk, "update")
            assert applied == 1 if outcome.ok else applied <= 1
            assert outcome.ok == (outcome.error is None)


async def test_an_item_of_the_wrong_shape_is_refused_in_one_sentence() -> None:
    async with KatapultEmulator(disks=1) as emulator, client_for(emulator) as client:
        with pytest.raises(BulkError, match=r"item 1: expected Rename\(disk, name\), found 1 field"):
            await client.bulk(RENAMING, [("disk_1",)])  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
        with pytest.raises(BulkError, match="a size is a whole number of gigabytes"):
            await client.disks.resize_many([("disk_1", "50")])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
        with pytest.raises(TypeError, match=r'give for example \[\("disk_…", 50\)\]'):
            await client.disks.resize_many(
                Resize("disk_1", 50)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
            )
        assert emulator.ledger.total == 0


async def test_one_request_to_an_endpoint_without_a_method() -> None:
    async with KatapultEmulator(disks=1) as emulator, client_for(emulator) as client:
        emulator.faults.next("unavailable")
        answer = await client.request(GET, query=[("disk[id]", emulator.disk_ids[0])])
        assert answer.disk.id == emulator.disk_ids[0]
        body = Body({"id": emulator.disk_ids[0]}, {"name": "renamed"})
        assert (await client.request(PATCH, body=body)).disk.name == "renamed"
    with pytest.raises(RuntimeError, match="not open"):
        await Client("token", base_url=emulator.url).request(GET)


async def test_the_log_names_the_item_and_the_word_of_the_action(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "katapult_async")
    async with KatapultEmulator(disks=0) as emulator, client_for(emulator) as client:
        await client.disks.resize_many([Resize("disk_missing", 50)])
    assert "disk_missing -> 50 GB: failed: PUT /disks/disk/resize: disk_not_found" in caplog.text


class Resumed(Recorder[ItemT, ResultT]):
    """The recorder of a resumed run: each item may have been sent before."""

    def __init__(self) -> None:
        self.persisted: list[Outcome[ItemT, ResultT]] = []

    async def before_send(self, _item: ItemT, /) -> Start:
        return Start.READ_BACK

    def on_outcome(self, outcome: Outcome[ItemT, ResultT]) -> None:
        assert outcome not in self.persisted

    async def persist(self, outcomes: Sequence[Outcome[ItemT, ResultT]]) -> None:
        self.persisted += outcomes


async def test_a_resumed_run_reads_first_and_does_not_send_items_without_a_read() -> None:
    async with KatapultEmulator(disks=4) as emulator, client_for(emulator) as client:
        for disk in emulator.disk_ids[:2]:
            emulator.world.disks[disk].name = f"new-{disk}"
        items = [Rename(disk, f"new-{disk}") for disk in emulator.disk_ids]
        reading, blind = Resumed[Rename, Disk](), Resumed[Rename, Disk]()
        outcomes = await collect(client.bulk_each(BLIND, items, recorder=blind))
        assert {outcome.status for outcome in outcomes} == {S.UNKNOWN}
        assert emulator.ledger.total == 0
        outcomes = await collect(client.bulk_each(RENAMING, items, recorder=reading))
        assert {outcome.status for outcome in outcomes} == {S.DONE}
        assert emulator.ledger.applied_total["update"] == 2
        assert len(reading.persisted) == len(blind.persisted) == 4


class Seen(Observer):
    def __init__(self) -> None:
        self.events: list[OutcomeEvent] = []

    def on_outcome(self, event: OutcomeEvent) -> None:
        self.events.append(event)


async def test_observers_get_the_item_and_the_word_of_the_action() -> None:
    seen = Seen()
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator, client_for(emulator) as client:
        (disk,), (machine,) = emulator.disk_ids, emulator.virtual_machine_ids
        with client.session.watching(seen):
            await client.disks.resize_many([(disk, 50)])
            await client.virtual_machines.stop_many([machine])
            await client.disks.assign_many([(disk, machine)])
    assert [(e.action, e.item, e.disk, e.virtual_machine, e.status) for e in seen.events] == [
        ("resize", f"{disk} -> 50 GB", disk, None, "resized"),
        ("stop", machine, "", machine, "stopped"),
        ("assign", f"{disk} -> {machine}", disk, machine, "failed"),
    ]
