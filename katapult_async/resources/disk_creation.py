"""Creating disks: what an item is, and how a disk is told apart that an unanswered request may have created.

A request to create a disk is never repeated once it may have been executed: a second disk would cost money. A disk
counts as created by it if exactly one disk of the organization has its name, no other item of the run has that name,
and the API created it after the item was first sent. Otherwise the item comes out as unknown.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

import msgspec
from msgspec import UNSET, UnsetType

from katapult_async.bulk import Action, Contradiction, ReadBack, Words, check_machine, send_with
from katapult_async.models import BusType, Disk, FileSystem, StorageSpeed, Task, lookups, requests
from katapult_async.models.requests import DiskArguments, VirtualMachineDiskArguments
from katapult_async.models.responses import DiskPage, DiskTaskResponse
from katapult_async.transport import Meter, Operation, Session

from .disk_actions import GET, PROBE, learn_machine, task_of
from .disk_changes import check_size, check_text, notes
from .pages import MOST_PER_PAGE, pages

LIST = Operation("GET", "/organizations/organization/disks", DiskPage)
CREATE = Operation("POST", "/organizations/organization/disks", DiskTaskResponse)

#: What the action is called. Each run has an action of its own.
NAME = "create"

#: Seconds by which `Date` headers and `created_at`, both without fractions, may be wrong together.
RESOLUTION = 1.0


class NewDisk(msgspec.Struct, frozen=True):
    """A disk that does not exist yet. What is UNSET is left to the API.

    Args:
        organization: ID (`org_…`) or sub-domain.
        name: What it is called. Give each disk a name of its own: only then can a disk whose request
            was not answered be told from others.
        data_center: ID (`loc_…`, `dc_…`) or permalink.
        size_in_gb: In gigabytes.
        io_profile: ID (`diop_…`) or permalink.
        bus_type: How the machine sees it.
        storage_speed: What it is stored on.
        initial_file_system: What it is formatted with.
        virtual_machine: ID (`vm_…`) or FQDN of the machine that it is assigned to at once.
        attach_on_boot: Whether it is attached when that machine starts. The API's default is True.
        attach: Whether it is attached to that machine once it is built.
        annotations: Values by key, for filtering lists.

    Raises:
        ValueError: If a field cannot be what it stands for.
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
    """The body of the request that creates a disk."""
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
    """The names that one run has sent: a name that several items have says nothing about any of them."""

    def __init__(self) -> None:
        self._sent: dict[tuple[str, str], NewDisk | None] = {}

    def note(self, item: NewDisk) -> None:
        key = item.organization, item.name
        self._sent[key] = item if self._sent.setdefault(key, item) is item else None

    def is_unique(self, item: NewDisk) -> bool:
        return self._sent.get((item.organization, item.name)) is item


def creating(sent_at: Callable[[object], float | None] | None = None) -> Action[NewDisk, Disk]:
    """Return the action of one run that creates disks. Each run needs its own: it knows the names that were sent.

    Args:
        sent_at: Tells when an earlier process has sent an item, in Unix seconds. A disk is taken for the item's if it
            was created since. None if there was no earlier process.
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
        # Of an earlier process, if it was not sent here.
        names.note(item)
        unique = names.is_unique(item)
        disk = await _find_created(session, item, meter, since(item, meter)) if unique else None
        # A disk with another item's name may have been sent while this one was looked for.
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
    """The only disk of this name, if it was created after the item was first sent, in Unix seconds."""
    query = [lookups.organization(item.organization).query("organization")]
    # A disk may be on two pages while others are created.
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
    """Seconds since the API created this disk, by the API's own clock; None if that is not known."""
    if date is None or isinstance(disk.created_at, UnsetType):
        return None
    try:
        return parsedate_to_datetime(date).timestamp() - disk.created_at
    except ValueError:
        return None
