"""The endpoints: for each method and path, what is looked up, which transition is made and what is answered.

Each is a function of (world, arguments, now) that returns (status, JSON object) or raises `Refusal`. No HTTP here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from katapult_async.testing import arguments as args
from katapult_async.testing import payloads
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.state import DataCenter, Disk, IOProfile, Task, VirtualMachine
from katapult_async.testing.world import World

Arguments = Mapping[str, Any]
Answer = tuple[int, dict[str, Any]]


@dataclass(frozen=True)
class Endpoint:
    """scopes: any one of them is enough."""

    answer: Callable[[World, Arguments, float], Answer]
    scopes: tuple[str, ...]


def _disk(world: World, arguments: Arguments) -> Disk:
    return world.find_disk(args.lookup(arguments, "disk", "id")[1])


def _virtual_machine(world: World, arguments: Arguments) -> VirtualMachine:
    key, value = args.lookup(arguments, "virtual_machine", "id", "fqdn")
    return world.find_virtual_machine(**{"identity" if key == "id" else "fqdn": value})


def _check_organization(world: World, arguments: Arguments) -> None:
    key, value = args.lookup(arguments, "organization", "id", "sub_domain")
    if getattr(world.organization, key) != value:
        raise Refusal("organization_not_found")


def _io_profile(world: World, arguments: Arguments) -> IOProfile:
    key, value = args.lookup(arguments, "io_profile", "id", "permalink")
    for profile in world.io_profiles:
        if getattr(profile, key) == value:
            return profile
    raise Refusal("disk_io_profile_not_found")


def _data_center(world: World, arguments: Arguments) -> DataCenter:
    key, value = args.lookup(arguments, "data_center", "id", "permalink")
    for centre in world.data_centers:
        if getattr(centre, key) == value:
            return centre
    raise Refusal("data_center_not_found")


def _full(world: World, disk: Disk) -> dict[str, Any]:
    return payloads.disk(disk, world.virtual_machine_of(disk))


def get_disk(world: World, arguments: Arguments, _now: float) -> Answer:
    return 200, {"disk": _full(world, _disk(world, arguments)), "annotations": []}


def update_disk(world: World, arguments: Arguments, now: float) -> Answer:
    disk = _disk(world, arguments)
    properties = args.mapping(arguments, "properties")
    attachment = properties.get("virtual_machine_disk")
    attach_on_boot = None
    if attachment is not None:
        attach_on_boot = args.flag(args.mapping(properties, "virtual_machine_disk"), "attach_on_boot")
    world.update(disk, now, name=args.text(properties, "name"), attach_on_boot=attach_on_boot)
    return 200, {"disk": _full(world, disk), "annotations": []}


def delete_disk(world: World, arguments: Arguments, now: float) -> Answer:
    disk = _disk(world, arguments)
    trash = world.delete(disk, now)
    return 200, {"disk": _full(world, disk), "trash_object": payloads.trash(trash)}


def assign_disk(world: World, arguments: Arguments, now: float) -> Answer:
    args.required(arguments, "virtual_machine")
    disk = _disk(world, arguments)
    world.assign(disk, _virtual_machine(world, arguments), now)
    return 200, {"disk": _full(world, disk)}


def unassign_disk(world: World, arguments: Arguments, now: float) -> Answer:
    disk = _disk(world, arguments)
    world.unassign(disk, now)
    return 200, {"disk": _full(world, disk)}


def _with_task(world: World, arguments: Arguments, now: float, queue: Callable[[Disk], Task]) -> Answer:
    disk = _disk(world, arguments)
    # Katapult answers with the disk as it was before the task began.
    before = _full(world, disk)
    return 200, {"disk": before, "task": payloads.task(queue(disk), now)}


def attach_disk(world: World, arguments: Arguments, now: float) -> Answer:
    return _with_task(world, arguments, now, lambda disk: world.attach(disk, now))


def detach_disk(world: World, arguments: Arguments, now: float) -> Answer:
    return _with_task(world, arguments, now, lambda disk: world.detach(disk, now))


def resize_disk(world: World, arguments: Arguments, now: float) -> Answer:
    size = args.integer(arguments, "size_in_gb")
    args.choice(arguments, "resize_method", ("offline", "online"))
    return _with_task(world, arguments, now, lambda disk: world.resize(disk, size, now))


def set_disk_io_profile(world: World, arguments: Arguments, now: float) -> Answer:
    args.required(arguments, "io_profile")
    return _with_task(
        world,
        arguments,
        now,
        lambda disk: world.set_io_profile(disk, _io_profile(world, arguments), now),
    )


def list_disks(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    disks = [disk for disk in world.disks.values() if disk.trash is None and disk.id not in world.unlisted]
    pagination, page = payloads.page(disks, *args.page_of(arguments), large_set=world.large_set)
    listed = [payloads.listed_disk(disk, world.virtual_machine_of(disk)) for disk in page]
    return 200, {"pagination": pagination, "disk": listed}


def create_disk(world: World, arguments: Arguments, now: float) -> Answer:
    _check_organization(world, arguments)
    properties = args.mapping(arguments, "properties")
    profile = world.io_profiles[0] if properties.get("io_profile") is None else _io_profile(world, properties)
    bus_type = args.choice(properties, "bus_type", ("scsi", "virtio"))
    storage_speed = args.choice(properties, "storage_speed", ("nvme", "ssd"))
    disk, task = world.create(
        str(args.required(properties, "name")),
        args.integer(properties, "size_in_gb"),
        _data_center(world, properties),
        profile,
        now,
    )
    disk.bus_type = bus_type or disk.bus_type
    disk.storage_speed = storage_speed or disk.storage_speed
    return 201, {"disk": _full(world, disk), "task": payloads.task(task, now), "annotations": []}


def list_virtual_machine_disks(world: World, arguments: Arguments, _now: float) -> Answer:
    disks = world.disks_of(_virtual_machine(world, arguments))
    pagination, page = payloads.page(disks, *args.page_of(arguments), large_set=world.large_set)
    return 200, {"pagination": pagination, "disks": [payloads.disk_of_machine(disk) for disk in page]}


def get_virtual_machine(world: World, arguments: Arguments, _now: float) -> Answer:
    machine = _virtual_machine(world, arguments)
    return 200, {
        "virtual_machine": payloads.virtual_machine(machine, world.organization),
        "annotations": [],
    }


def list_virtual_machines(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    machines = [
        machine
        for machine in world.virtual_machines.values()
        if machine.trash is None and machine.id not in world.unlisted
    ]
    pagination, page = payloads.page(machines, *args.page_of(arguments), large_set=world.large_set)
    listed = [payloads.listed_virtual_machine(machine) for machine in page]
    return 200, {"pagination": pagination, "virtual_machines": listed}


def get_task(world: World, arguments: Arguments, now: float) -> Answer:
    task = world.find_task(args.lookup(arguments, "task", "id")[1])
    return 200, {"task": payloads.task(task, now)}


def list_io_profiles(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    pagination, page = payloads.page(world.io_profiles, *args.page_of(arguments), large_set=world.large_set)
    return 200, {"pagination": pagination, "disk_io_profiles": [payloads.io_profile(p) for p in page]}


_WRITE = ("disks",)
_READ = ("disks", "disks:read")
_MACHINES = ("virtual_machines", "virtual_machines:read")

ENDPOINTS: Mapping[tuple[str, str], Endpoint] = {
    ("GET", "/organizations/organization/disks"): Endpoint(list_disks, _READ),
    ("POST", "/organizations/organization/disks"): Endpoint(create_disk, _WRITE),
    ("GET", "/disks/disk"): Endpoint(get_disk, _READ),
    ("PATCH", "/disks/disk"): Endpoint(update_disk, _WRITE),
    ("DELETE", "/disks/disk"): Endpoint(delete_disk, _WRITE),
    ("POST", "/disks/disk/assign"): Endpoint(assign_disk, _WRITE),
    ("POST", "/disks/disk/unassign"): Endpoint(unassign_disk, _WRITE),
    ("POST", "/disks/disk/attach"): Endpoint(attach_disk, _WRITE),
    ("POST", "/disks/disk/detach"): Endpoint(detach_disk, _WRITE),
    ("PUT", "/disks/disk/resize"): Endpoint(resize_disk, _WRITE),
    ("PUT", "/disks/disk/io_profile"): Endpoint(set_disk_io_profile, _WRITE),
    ("GET", "/virtual_machines/virtual_machine/disks"): Endpoint(list_virtual_machine_disks, _READ),
    ("GET", "/virtual_machines/virtual_machine"): Endpoint(get_virtual_machine, _MACHINES),
    ("GET", "/organizations/organization/virtual_machines"): Endpoint(list_virtual_machines, _MACHINES),
    ("GET", "/tasks/task"): Endpoint(get_task, ()),
    ("GET", "/organizations/organization/disk_io_profiles"): Endpoint(list_io_profiles, _READ),
}
