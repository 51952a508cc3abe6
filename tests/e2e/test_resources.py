"""The typed methods against what the real API was seen to accept."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from katapult_async import Client, InvalidRequest, ValidationError
from katapult_async.models import BusType, Disk, ResizeMethod, TaskStatus
from katapult_async.testing import KatapultEmulator


@pytest.fixture
async def emulator() -> AsyncIterator[KatapultEmulator]:
    async with KatapultEmulator(disks=3, virtual_machines=2, task_duration=0.01) as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: KatapultEmulator) -> AsyncIterator[Client]:
    async with Client("token", base_url=emulator.url) as client:
        yield client


async def create(client: Client, machine: str, *, attach: bool = False, attach_on_boot: bool = True) -> Disk:
    disk, task = await client.disks.create(
        organization="acme",
        name="data",
        data_center="em-one-01",
        size_in_gb=5,
        virtual_machine=machine,
        annotations={"rack": "7"},
        attach=attach,
        attach_on_boot=attach_on_boot,
    )
    assert (await client.tasks.wait(task.id, interval=0.01)).status == "completed"
    return disk


@pytest.mark.parametrize("attach", [True, False])
async def test_a_disk_is_created_on_a_machine(
    emulator: KatapultEmulator, client: Client, *, attach: bool
) -> None:
    machine = emulator.virtual_machine_ids[0]
    made = await create(client, machine, attach=attach, attach_on_boot=False)
    bond = (await client.disks.get(made.id)).virtual_machine_disk
    assert bond
    assert bond.virtual_machine.id == machine
    assert bond.state == ("attached" if attach else "detached")
    assert bond.attach_on_boot is False


async def test_what_queues_a_task_returns_it(emulator: KatapultEmulator, client: Client) -> None:
    disk, machine = emulator.disk_ids[0], emulator.virtual_machine_ids[0]
    await client.disks.assign(disk, machine)
    for call in (
        client.disks.attach(disk, wait=True),
        client.disks.detach(disk, wait=True),
        client.disks.resize(disk, 500, wait=True),
        client.disks.change_io_profile(disk, "unrestricted", wait=True),
        client.virtual_machines.stop(machine, wait=True),
        client.virtual_machines.start(machine, wait=True),
    ):
        task = await call
        assert task is not None
        assert task.status is TaskStatus.COMPLETED
    # Starting the machine has attached the disk.
    assert await client.disks.attach(disk) is None
    detaching = await client.disks.detach(disk)
    assert detaching is not None
    assert detaching.status is TaskStatus.PENDING


async def test_annotations_are_kept_and_filter_lists(emulator: KatapultEmulator, client: Client) -> None:
    one, two, _ = emulator.disk_ids
    made = await create(client, emulator.virtual_machine_ids[0])
    await client.disks.update(one, annotations={"rack": "7", "role": "db"})
    await client.disks.update(two, annotations={"rack": "8", "note": ""})
    assert await client.disks.annotations(one) == {"rack": "7", "role": "db"}
    assert await client.disks.annotations(two) == {"rack": "8", "note": ""}

    async def listed(**annotations: str) -> list[str]:
        found = client.disks.list(organization="acme", annotations=annotations, per_page=1)
        return [disk.id async for disk in found]

    assert await listed(rack="7") == [one, made.id]
    assert await listed(rack="7", role="db") == [one]
    assert await listed(rack="9") == []


async def test_annotations_filter_machines(emulator: KatapultEmulator, client: Client) -> None:
    machine = emulator.world.virtual_machines[emulator.virtual_machine_ids[1]]
    machine.annotations = {"role": "db & web"}
    found = client.virtual_machines.list(organization="acme", annotations={"role": "db & web"})
    assert [machine.id async for machine in found] == [machine.id]


async def test_the_bus_type_is_changed(emulator: KatapultEmulator, client: Client) -> None:
    disk = await client.disks.update(emulator.disk_ids[0], bus_type=BusType.VIRTIO)
    assert disk.bus_type is BusType.VIRTIO
    assert disk.name == "disk-0"


async def test_a_disk_is_shrunk(emulator: KatapultEmulator, client: Client) -> None:
    one, two, _ = emulator.disk_ids
    task = await client.disks.resize(one, 10, resize_method=ResizeMethod.OFFLINE)
    assert task.name == "Shrink disk"
    await client.tasks.wait(task.id, interval=0.01)
    assert (await client.disks.get(one)).size_in_gb == 10
    await client.disks.assign(two, emulator.virtual_machine_ids[0])
    with pytest.raises(ValidationError):
        await client.disks.resize(two, 10)


async def test_a_wrong_argument_is_named(emulator: KatapultEmulator, client: Client) -> None:
    with pytest.raises(InvalidRequest, match=r"argument: size_in_gb, issue: parse_error"):
        await client.disks.resize(emulator.disk_ids[0], 1.5)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match=r"argument: properties\.bus_type") as caught:
        await client.disks.update(emulator.disk_ids[0], bus_type="ide")  # type: ignore[arg-type]
    assert caught.value.issue == "invalid_enum_value"
