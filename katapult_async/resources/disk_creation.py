"""The action create and its item, and the search for a disk after an unclear response.

A request that may have created a disk is never repeated, because a second disk would cost money.
The search finds the disk if exactly one disk of the organization has its name, no other item of the
run has that name, and the API created it after the item was first sent. Otherwise the item is
unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import UNSET, UnsetType

from katapult_async.bulk import (
    Action,
    Contradiction,
    ReadBack,
    Words,
    check_machine,
    check_size,
    check_text,
    send_with,
)
from katapult_async.models import BusType, Disk, FileSystem, StorageSpeed, Task, lookups, requests
from katapult_async.models.requests import DiskArguments, VirtualMachineDiskArguments
from katapult_async.models.responses import DiskPage, DiskTaskResponse
from katapult_async.transport import Meter, Operation, Session

from .disk_actions import GET, PROBE, learn_machine, task_of
from .disk_changes import notes
from .pages import MOST_PER_PAGE, pages

LIST = Operation("GET", "/organizations/organization/disks", DiskPage)
CREATE = Operation("POST", "/organizations/organization/disks", DiskTaskResponse)

#: Name of the action. Each run has its own action object.
NAME = "create"

#: Rounding error of `Date` and `created_at` together, in seconds. Both have no fractions.
RESOLUTION = 1.0


class NewDisk(msgspec.Struct, frozen=True):
    """A disk to create. The API chooses the value of a property that is UNSET.

    Args:
        organization: ID (`org_…`) or sub-domain.
        name: Name of the disk. Use a different name for each disk: without one, a run cannot find a
            disk whose request had no response.
        data_center: ID (`loc_…`, `dc_…`) or permalink.
        size_in_gb: Size in gigabytes.
        io_profile: ID (`diop_…`) or permalink.
        bus_type: Bus by which the machine sees the disk.
        storage_speed: Kind of storage.
        initial_file_system: File system of the new disk.
        virtual_machine: ID (`vm_…`) or FQDN of the machine to assign the disk to.
        attach_on_boot: Whether the disk is attached when that machine starts. The API's default is
            True.
        attach: Whether the disk is attached to that machine as soon as it is built.
        annotations: Values by key, for filtering lists.

    Raises:
        ValueError: If a field is not valid.
    """

    organization: str
    name: str
    data_center: str
    size_in_gb: int
    io_profile: str | UnsetType = UNSET
    bus_type: BusType | UnsetType = UNSET
    storage_speed: StorageSpeed | UnsetType = UNSET
    initial_file_system: FileSystem | UnsetType = UNSET
    virtual_machine: str | None = None
    attach_on_boot: bool | UnsetType = UNSET
    attach: bool | UnsetType = UNSET
    annotations: Mapping[str, str] | UnsetType = UNSET

    def __post_init__(self) -> None:
        for field in ("organization", "name", "data_center"):
            check_text(field, getattr(self, field))
        check_size(self.size_in_gb)
        if self.virtual_machine is not None:
            check_machine(self.virtual_machine)

    def __str__(self) -> str:
        return f"{self.name} ({self.size_in_gb} GB)"


def create_body(item: NewDisk) -> requests.CreateDisk:
    """Return the body of the request that creates a disk."""
    machine = item.virtual_machine
    bond: VirtualMachineDiskArguments | UnsetType = UNSET
    if machine is not None or item.attach_on_boot is not UNSET or item.attach is not UNSET:
        bond = VirtualMachineDiskArguments(
            virtual_machine=lookups.virtual_machine(machine) if machine is not None else UNSET,
            attach_on_boot=item.attach_on_boot,
            attach=item.attach,
        )
    properties = DiskArguments(
        name=item.name,
        data_center=lookups.data_center(item.data_center),
        size_in_gb=item.size_in_gb,
        io_profile=lookups.io_profile(item.io_profile) if item.io_profile else UNSET,
        bus_type=item.bus_type,
        storage_speed=item.storage_speed,
        initial_file_system=item.initial_file_system,
        virtual_machine_disk=bond,
    )
    return requests.CreateDisk(lookups.organization(item.organization), properties, notes(item.annotations))


def _created(response: DiskTaskResponse, item: NewDisk) -> Disk:
    disk = response.disk
    if disk.name is not UNSET and disk.name != item.name:
        raise Contradiction(f"the answer is about another disk ({disk.id})")
    return disk


class _Names:
    """The names that one run has sent. A name that several items share identifies none of them."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], NewDisk | None] = {}

    def note(self, item: NewDisk) -> None:
        key = item.organization, item.name
        self._sent[key] = item if self._sent.setdefault(key, item) is item else None

    def is_unique(self, item: NewDisk) -> bool:
        return self._sent.get((item.organization, item.name)) is item


def creating(sent_at: Callable[[object], float | None] | None = None) -> Action[NewDisk, Disk]:
    """Return the action of one run that creates disks. It keeps the names that the run has sent.

    Args:
        sent_at: Returns the time when an earlier process first sent an item, in Unix seconds. A
            disk that was created after that may belong to the item. None if there was no earlier
            process.

    Returns:
        The action, for one run only.
    """
    names = _Names()

    def since(item: NewDisk, meter: Meter) -> float | None:
        before = sent_at(item) if sent_at is not None else None
        return before if before is not None else meter.started_at

    send_one = send_with(CREATE, body=create_body, result=_created, task=task_of)

    async def send(session: Session, item: NewDisk, meter: Meter) -> tuple[Disk | None, Task | None]:
        names.note(item)
        return await send_one(session, item, meter)

    async def read(session: Session, item: NewDisk, meter: Meter) -> tuple[Disk | None, ReadBack]:
        names.note(item)  # an earlier process may have sent it
        unique = names.is_unique(item)
        disk = await _find_created(session, item, meter, since(item, meter)) if unique else None
        # Another item with the same name may have been sent during the search.
        if disk is None or not names.is_unique(item):
            return None, ReadBack.UNCLEAR
        return disk, ReadBack.DONE

    return Action(
        name=NAME,
        item=NewDisk,
        send=send,
        read=read,
        words=Words("created", "already_created"),
        example='[NewDisk("acme", "data-1", "loc_…", 50)]',
        probe=PROBE,
        learn=learn_machine,
    )


async def _find_created(session: Session, item: NewDisk, meter: Meter, since: float | None) -> Disk | None:
    """Return the only disk of this name, if it was created after `since` (Unix seconds)."""
    query = [lookups.organization(item.organization).query("organization")]
    # A set, because a disk may be on two pages while others are created.
    found: set[str] = set()
    async for page in pages(session, LIST, query, MOST_PER_PAGE, meter=meter):
        found.update(disk.id for disk in page.items if disk.name == item.name)
    if len(found) != 1:
        return None
    disk = (await session.request(GET, query=[lookups.disk(found.pop()).query("disk")], meter=meter)).disk
    age = _age(disk, meter.date)
    if age is None or since is None or age > time.time() - since + RESOLUTION:
        return None
    return disk


def _age(disk: Disk, date: str | None) -> float | None:
    """Return the seconds since the API created this disk, by the API's clock. None if not known."""
    if date is None or isinstance(disk.created_at, UnsetType):
        return None
    try:
        return parsedate_to_datetime(date).timestamp() - disk.created_at
    except ValueError:
        return None
