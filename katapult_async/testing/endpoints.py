"""The endpoints by method and path. No HTTP here.

Each is a function of (world, arguments, now) that returns (status, JSON object) or raises
`Refusal`. It reads all arguments before it changes the world, so a refused request changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from katapult_async.testing import payloads
from katapult_async.testing.arguments import Arguments
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.state import DataCenter, Disk, IOProfile, Task, VirtualMachine
from katapult_async.testing.world import World

Answer = tuple[int, dict[str, Any]]

_BUS_TYPES = ("scsi", "virtio")


@dataclass(frozen=True)
class Endpoint:
    """A function, and the scopes of which one is enough."""

    answer: Callable[[World, Arguments, float], Answer]
    scopes: tuple[str, ...]


def _disk(world: World, arguments: Arguments) -> Disk:
    return world.find_disk(arguments.lookup("disk", "id")[1])


def _virtual_machine(world: World, arguments: Arguments) -> VirtualMachine:
    key, value = arguments.lookup("virtual_machine", "id", "fqdn")
    return world.find_virtual_machine(**{"identity" if key == "id" else "fqdn": value})


def _check_organization(world: World, arguments: Arguments) -> None:
    key, value = arguments.lookup("organization", "id", "sub_domain")
    if getattr(world.organization, key) != value:
        raise Refusal("organization_not_found")


def _io_profile(world: World, arguments: Arguments) -> IOProfile:
    key, value = arguments.lookup("io_profile", "id", "permalink")
    for profile in world.io_profiles:
        if getattr(profile, key) == value:
            return profile
    raise Refusal("disk_io_profile_not_found")


def _data_center(world: World, arguments: Arguments) -> DataCenter:
    key, value = arguments.lookup("data_center", "id", "permalink")
    for centre in world.data_centers:
        if getattr(centre, key) == value:
            return centre
    raise Refusal("data_center_not_found")


def _full(world: World, disk: Disk) -> dict[str, Any]:
    return payloads.disk(disk, world.virtual_machine_of(disk), world.attachment_of(disk))


Annotated = TypeVar("Annotated", Disk, VirtualMachine)


def _with_annotations(things: Sequence[Annotated], arguments: Arguments) -> Sequence[Annotated]:
    """Return the things that have each requested annotation, with its value if one is given."""
    wanted = arguments.annotations()
    if not wanted:
        return things
    return [
        thing
        for thing in things
        if all(key in thing.annotations and value in (None, thing.annotations[key]) for key, value in wanted)
    ]


def get_disk(world: World, arguments: Arguments, _now: float) -> Answer:
    disk = _disk(world, arguments)
    return 200, {"disk": _full(world, disk), "annotations": payloads.annotations_of(disk)}


def update_disk(world: World, arguments: Arguments, now: float) -> Answer:
    properties, annotations = arguments.object("properties"), arguments.annotations()
    attach_on_boot = None
    if properties.has("virtual_machine_disk"):
        attach_on_boot = properties.object("virtual_machine_disk").flag("attach_on_boot")
    name, bus_type = properties.text("name"), properties.choice("bus_type", _BUS_TYPES)
    disk = _disk(world, arguments)
    world.update(disk, now, name=name, bus_type=bus_type, attach_on_boot=attach_on_boot)
    if annotations is not None:
        disk.annotations = dict(annotations)
    return 200, {"disk": _full(world, disk), "annotations": payloads.annotations_of(disk)}


def delete_disk(world: World, arguments: Arguments, now: float) -> Answer:
    disk = _disk(world, arguments)
    trash = world.delete(disk, now)
    return 200, {"disk": _full(world, disk), "trash_object": payloads.trash(trash)}


def assign_disk(world: World, arguments: Arguments, now: float) -> Answer:
    arguments.lookup("disk", "id")
    arguments.lookup("virtual_machine", "id", "fqdn")
    disk = _disk(world, arguments)
    world.assign(disk, _virtual_machine(world, arguments), now)
    return 200, {"disk": _full(world, disk)}


def unassign_disk(world: World, arguments: Arguments, now: float) -> Answer:
    disk = _disk(world, arguments)
    world.unassign(disk, now)
    return 200, {"disk": _full(world, disk)}


def _with_task(world: World, arguments: Arguments, now: float, queue: Callable[[Disk], Task]) -> Answer:
    disk = _disk(world, arguments)
    # Katapult responds with the disk as it was before the task.
    before = _full(world, disk)
    return 200, {"disk": before, "task": payloads.task(queue(disk), now)}


def attach_disk(world: World, arguments: Arguments, now: float) -> Answer:
    return _with_task(world, arguments, now, lambda disk: world.attach(disk, now))


def detach_disk(world: World, arguments: Arguments, now: float) -> Answer:
    return _with_task(world, arguments, now, lambda disk: world.detach(disk, now))


def resize_disk(world: World, arguments: Arguments, now: float) -> Answer:
    size = arguments.integer("size_in_gb")
    online = arguments.choice("resize_method", ("offline", "online")) == "online"
    return _with_task(world, arguments, now, lambda disk: world.resize(disk, size, now, online=online))


def set_disk_io_profile(world: World, arguments: Arguments, now: float) -> Answer:
    arguments.lookup("io_profile", "id", "permalink")
    return _with_task(
        world,
        arguments,
        now,
        lambda disk: world.set_io_profile(disk, _io_profile(world, arguments), now),
    )


def list_disks(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    disks = [disk for disk in world.disks.values() if disk.trash is None and disk.id not in world.unlisted]
    wanted = _with_annotations(disks, arguments)
    pagination, page = payloads.page(wanted, *arguments.page(), large_set=world.large_set)
    listed = [payloads.listed_disk(disk, world.virtual_machine_of(disk)) for disk in page]
    return 200, {"pagination": pagination, "disk": listed}


def create_disk(world: World, arguments: Arguments, now: float) -> Answer:
    _check_organization(world, arguments)
    properties, annotations = arguments.object("properties"), arguments.annotations()
    bus_type = properties.choice("bus_type", _BUS_TYPES)
    storage_speed = properties.choice("storage_speed", ("nvme", "ssd"))
    properties.choice("initial_file_system", ("ext4", "xfs"))
    bond = properties.object("virtual_machine_disk") if properties.has("virtual_machine_disk") else None
    machine = _virtual_machine(world, bond) if bond is not None and bond.has("virtual_machine") else None
    on_boot, attach, boot = (bond and bond.flag(name) for name in ("attach_on_boot", "attach", "boot"))
    disk, task = world.create(
        properties.text("name"),
        properties.integer("size_in_gb", 0),
        _data_center(world, properties) if properties.has("data_center") else None,
        _io_profile(world, properties) if properties.has("io_profile") else world.io_profiles[0],
        now,
        machine,
    )
    disk.bus_type = bus_type or disk.bus_type
    disk.storage_speed = storage_speed or disk.storage_speed
    disk.annotations = dict(annotations or ())
    if machine is not None:
        disk.attach_on_boot, disk.attach_when_built, disk.boot = (
            on_boot is not False,
            bool(attach),
            bool(boot),
        )
    shown = {"disk": _full(world, disk), "task": payloads.task(task, now)}
    return 201, {**shown, "annotations": payloads.annotations_of(disk)}


def list_virtual_machine_disks(world: World, arguments: Arguments, _now: float) -> Answer:
    disks = world.disks_of(_virtual_machine(world, arguments))
    pagination, page = payloads.page(disks, *arguments.page(), large_set=world.large_set)
    shown = [payloads.disk_of_machine(disk, world.attachment_of(disk)) for disk in page]
    return 200, {"pagination": pagination, "disks": shown}


def get_virtual_machine(world: World, arguments: Arguments, _now: float) -> Answer:
    machine = _virtual_machine(world, arguments)
    return 200, {
        "virtual_machine": payloads.virtual_machine(machine, world.organization),
        "annotations": payloads.annotations_of(machine),
    }


def _power(action: str) -> Callable[[World, Arguments, float], Answer]:
    def answer(world: World, arguments: Arguments, now: float) -> Answer:
        task = payloads.task(world.power(_virtual_machine(world, arguments), action, now), now)
        # As recorded: the response shows a part of the task.
        return 200, {"task": {key: task[key] for key in ("id", "name", "status")}}

    return answer


def list_virtual_machines(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    machines = [
        machine
        for machine in world.virtual_machines.values()
        if machine.trash is None and machine.id not in world.unlisted
    ]
    wanted = _with_annotations(machines, arguments)
    pagination, page = payloads.page(wanted, *arguments.page(), large_set=world.large_set)
    listed = [payloads.listed_virtual_machine(machine) for machine in page]
    return 200, {"pagination": pagination, "virtual_machines": listed}


def get_task(world: World, arguments: Arguments, now: float) -> Answer:
    task = world.find_task(arguments.lookup("task", "id")[1], now)
    return 200, {"task": payloads.task(task, now)}


def list_io_profiles(world: World, arguments: Arguments, _now: float) -> Answer:
    _check_organization(world, arguments)
    pagination, page = payloads.page(world.io_profiles, *arguments.page(), large_set=world.large_set)
    return 200, {"pagination": pagination, "disk_io_profiles": [payloads.io_profile(p) for p in page]}


_WRITE = ("disks",)
_READ = ("disks", "disks:read")
_MACHINES = ("virtual_machines", "virtual_machines:read")
_POWER = ("virtual_machines", "virtual_machines:power_actions")
_TASKS = ("tasks", "tasks:read")

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
    ("POST", "/virtual_machines/virtual_machine/start"): Endpoint(_power("start"), _POWER),
    ("POST", "/virtual_machines/virtual_machine/stop"): Endpoint(_power("stop"), _POWER),
    ("POST", "/virtual_machines/virtual_machine/shutdown"): Endpoint(_power("shutdown"), _POWER),
    ("POST", "/virtual_machines/virtual_machine/reset"): Endpoint(_power("reset"), _POWER),
    ("GET", "/organizations/organization/virtual_machines"): Endpoint(list_virtual_machines, _MACHINES),
    ("GET", "/tasks/task"): Endpoint(get_task, _TASKS),
    ("GET", "/organizations/organization/disk_io_profiles"): Endpoint(list_io_profiles, ()),
}
