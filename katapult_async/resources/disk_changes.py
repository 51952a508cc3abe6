"""The actions resize, change_io_profile, update and delete, and their items.

An endpoint that queues a task responds with the disk as it was before. So after an unclear
response, an unchanged disk proves nothing. The action then reads it a few times before the item is
unknown.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from katapult_async.bulk import (
    Action,
    Assignment,
    Contradiction,
    ReadBack,
    Words,
    check_disk,
    check_machine,
    check_size,
    check_text,
    read_with,
    send_with,
)
from katapult_async.errors import ObjectInTrash, TaskQueueingError, ValidationError
from katapult_async.models import (
    Annotation,
    BusType,
    Disk,
    DiskState,
    IOProfile,
    ResizeMethod,
    TrashObject,
    VirtualMachineDisk,
    lookups,
    requests,
)
from katapult_async.models.requests import DiskArguments, VirtualMachineDiskArguments
from katapult_async.models.responses import DiskResponse, DiskTaskResponse, DiskTrashedResponse
from katapult_async.transport import Meter, Operation, Session

from .disk_actions import (
    DISKS_EXAMPLE,
    GET,
    PROBE,
    about,
    disk_query,
    learn_machine,
    read_disk,
    task_of,
)
from .read_again import read_again

UPDATE = Operation("PATCH", "/disks/disk", DiskResponse)
DELETE = Operation("DELETE", "/disks/disk", DiskTrashedResponse)
RESIZE = Operation("PUT", "/disks/disk/resize", DiskTaskResponse)
IO_PROFILE = Operation("PUT", "/disks/disk/io_profile", DiskTaskResponse)


class Resize(msgspec.Struct, frozen=True):
    """One disk and its new size.

    Args:
        disk: ID (`disk_…`).
        size_in_gb: New size in gigabytes. It may be smaller than the old size if the disk is on no
            machine, or on a stopped machine.
        resize_method: Whether the machine may run during the resize.
        virtual_machine: ID or FQDN of the disk's machine. If given, a run works on one disk per
            machine at a time.

    Raises:
        ValueError: If a field is not valid.
    """

    disk: str
    size_in_gb: int
    resize_method: ResizeMethod | UnsetType = UNSET
    virtual_machine: str | None = None

    def __post_init__(self) -> None:
        check_disk(self.disk)
        check_size(self.size_in_gb)
        if self.virtual_machine is not None:
            check_machine(self.virtual_machine)

    def __str__(self) -> str:
        return f"{self.disk} -> {self.size_in_gb} GB"


class IOProfileChange(msgspec.Struct, frozen=True):
    """One disk and its new IO profile.

    Args:
        disk: ID (`disk_…`).
        io_profile: ID (`diop_…`) or permalink.
        virtual_machine: As in Resize.

    Raises:
        ValueError: If a field is not valid.
    """

    disk: str
    io_profile: str
    virtual_machine: str | None = None

    def __post_init__(self) -> None:
        check_disk(self.disk)
        check_text("io_profile", self.io_profile)
        if self.virtual_machine is not None:
            check_machine(self.virtual_machine)

    def __str__(self) -> str:
        return f"{self.disk} -> {self.io_profile}"


class DiskUpdate(msgspec.Struct, frozen=True):
    """One disk and its new properties. A property that is UNSET does not change.

    Args:
        disk: ID (`disk_…`).
        name: Name of the disk.
        bus_type: Bus by which the machine sees the disk.
        attach_on_boot: Whether the disk is attached when its machine starts.
        annotations: Values by key. They replace all annotations of the disk.
        virtual_machine: As in Resize.

    Raises:
        ValueError: If a field is not valid, or no property is given.
    """

    disk: str
    name: str | UnsetType = UNSET
    bus_type: BusType | UnsetType = UNSET
    attach_on_boot: bool | UnsetType = UNSET
    annotations: Mapping[str, str] | UnsetType = UNSET
    virtual_machine: str | None = None

    def __post_init__(self) -> None:
        check_disk(self.disk)
        if self.virtual_machine is not None:
            check_machine(self.virtual_machine)
        if all(value is UNSET for value in (self.name, self.bus_type, self.attach_on_boot, self.annotations)):
            raise ValueError(f"nothing is given to change about {self.disk}")

    def __str__(self) -> str:
        return f"{self.disk} -> {self.name}" if self.name is not UNSET else self.disk


def update_body(item: DiskUpdate) -> requests.UpdateDisk:
    """Return the body of the request that updates a disk."""
    bond: VirtualMachineDiskArguments | UnsetType = UNSET
    if item.attach_on_boot is not UNSET:
        bond = VirtualMachineDiskArguments(attach_on_boot=item.attach_on_boot)
    properties = DiskArguments(name=item.name, bus_type=item.bus_type, virtual_machine_disk=bond)
    return requests.UpdateDisk(lookups.disk(item.disk), properties, notes(item.annotations))


def notes(annotations: Mapping[str, str] | UnsetType) -> tuple[Annotation, ...] | UnsetType:
    """Return annotations in the form of the API."""
    if isinstance(annotations, UnsetType):
        return UNSET
    return tuple(Annotation(key=key, value=value) for key, value in annotations.items())


def _found_resized(disk: Disk, item: Resize) -> ReadBack:
    done = disk.size_in_gb == item.size_in_gb and disk.state is not DiskState.RESIZING
    return ReadBack.DONE if done else ReadBack.UNCLEAR


def _found_io_profile(disk: Disk, item: IOProfileChange) -> ReadBack:
    profile = disk.io_profile
    done = isinstance(profile, IOProfile) and item.io_profile in (profile.id, profile.permalink)
    return ReadBack.DONE if done else ReadBack.UNCLEAR


async def _read_update(session: Session, item: DiskUpdate, meter: Meter) -> tuple[Disk | None, ReadBack]:
    answer = await session.request(GET, query=disk_query(item), meter=meter)
    disk = answer.disk
    bond = disk.virtual_machine_disk
    wanted = notes(item.annotations)
    shown = answer.annotations
    as_wanted = (
        item.name in (UNSET, disk.name),
        item.bus_type in (UNSET, disk.bus_type),
        item.attach_on_boot is UNSET
        or (isinstance(bond, VirtualMachineDisk) and bond.attach_on_boot is item.attach_on_boot),
        wanted is UNSET or (shown is not UNSET and set(wanted) == set(shown)),
    )
    if disk.id != item.disk:
        return None, ReadBack.UNCLEAR
    return disk, ReadBack.DONE if all(as_wanted) else ReadBack.NOT_DONE


async def _read_deleted(
    session: Session, item: Assignment, meter: Meter
) -> tuple[TrashObject | None, ReadBack]:
    try:
        await session.request(GET, query=disk_query(item), meter=meter)
    except ObjectInTrash as deleted:
        return deleted.trash_object, ReadBack.DONE
    return None, ReadBack.NOT_DONE


def _trashed(response: DiskTrashedResponse, item: Assignment) -> TrashObject:
    about(response, item)
    return response.trash_object


def _updated(response: DiskResponse, item: DiskUpdate) -> Disk:
    disk = about(response, item)
    if item.name is not UNSET and disk.name is not UNSET and disk.name != item.name:
        raise Contradiction(f"the disk is still called {disk.name}")
    return disk


_READ_SIZE = read_with(GET, query=disk_query, result=about, found=_found_resized)
_READ_IO_PROFILE = read_with(GET, query=disk_query, result=about, found=_found_io_profile)

RESIZING = Action(
    name="resize",
    item=Resize,
    send=send_with(
        RESIZE,
        body=lambda item: requests.ResizeDisk(lookups.disk(item.disk), item.size_in_gb, item.resize_method),
        result=about,
        task=task_of,
    ),
    read=read_again(_READ_SIZE),
    words=Words("resized", "already_resized"),
    # The API refuses the size that the disk already has.
    may_be_done=(ValidationError, TaskQueueingError),
    example='[("disk_…", 50)]',
    probe=PROBE,
    learn=learn_machine,
)
CHANGING_IO_PROFILE = Action(
    name="change_io_profile",
    item=IOProfileChange,
    send=send_with(
        IO_PROFILE,
        body=lambda item: requests.ChangeIOProfile(
            lookups.disk(item.disk), lookups.io_profile(item.io_profile)
        ),
        result=about,
        task=task_of,
    ),
    read=read_again(_READ_IO_PROFILE),
    words=Words("changed", "already_changed"),
    may_be_done=(TaskQueueingError,),
    example='[("disk_…", "diop_…")]',
    probe=PROBE,
    # The API also queues a task for the profile that the disk already has.
    success_proves_change=False,
    learn=learn_machine,
)
UPDATING = Action(
    name="update",
    item=DiskUpdate,
    send=send_with(UPDATE, body=update_body, result=_updated),
    read=_read_update,
    words=Words("updated", "already_updated"),
    example='[DiskUpdate("disk_…", name="data")]',
    probe=PROBE,
    # The API's response is the same if nothing changed.
    success_proves_change=False,
    learn=learn_machine,
)
DELETING = Action(
    name="delete",
    item=Assignment,
    send=send_with(DELETE, body=lambda item: requests.NameDisk(lookups.disk(item.disk)), result=_trashed),
    read=_read_deleted,
    words=Words("deleted", "already_deleted"),
    may_be_done=(ObjectInTrash,),
    example=DISKS_EXAMPLE,
    read_item=read_disk,
    probe=PROBE,
)
#: The actions that a durable run finds by name.
DURABLE_ACTIONS = (RESIZING, CHANGING_IO_PROFILE, UPDATING, DELETING)
