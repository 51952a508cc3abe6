"""The actions assign, unassign, attach and detach. `bulk` carries them out.

The typed methods are in `disks` and `many_disks`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

from msgspec import UNSET

from katapult_async.bulk import (
    Action,
    Assignment,
    Contradiction,
    Read,
    ReadBack,
    Words,
    read_item,
    read_with,
    send_with,
)
from katapult_async.errors import (
    AssignmentConflict,
    TaskQueueingError,
    UnableToAssign,
    UnableToUnassign,
    UnassignedDisk,
)
from katapult_async.models import AttachmentState, Disk, Task, lookups, requests
from katapult_async.models.responses import DiskResponse, DiskTaskResponse
from katapult_async.transport import MachineNames, Operation, Query

from .virtual_machines import find_wanted

GET = Operation("GET", "/disks/disk", DiskResponse)
#: Sent without a query, so the API responds that an argument is missing or no disk matches.
PROBE = GET
ASSIGN = Operation("POST", "/disks/disk/assign", DiskResponse)
UNASSIGN = Operation("POST", "/disks/disk/unassign", DiskResponse)
ATTACH = Operation("POST", "/disks/disk/attach", DiskTaskResponse)
DETACH = Operation("POST", "/disks/disk/detach", DiskTaskResponse)


def _name_disk(item: Assignment) -> requests.NameDisk:
    return requests.NameDisk(lookups.disk(item.disk))


def _assign_disk(item: Assignment) -> requests.AssignDisk:
    assert item.virtual_machine is not None  # noqa: S101 - checked when the item was pulled
    return requests.AssignDisk(lookups.disk(item.disk), lookups.virtual_machine(item.virtual_machine))


def _assigned(response: DiskResponse, item: Assignment) -> Disk:
    disk, wanted = response.disk, item.virtual_machine
    bond = disk.virtual_machine_disk
    # Fast path: nearly every response passes this check.
    if disk.id == item.disk and bond:
        machine = bond.virtual_machine
        if wanted in (machine.id, machine.fqdn):
            return disk
    about(response, item)
    if wanted is not None and not _may_be_on(disk, wanted):
        raise Contradiction(f"the disk is {_where(disk)}, not on {wanted}")
    return disk


def _unassigned(response: DiskResponse, item: Assignment) -> Disk:
    disk = about(response, item)
    if is_on(disk, None):
        raise Contradiction(f"the disk is still {_where(disk)}")
    return disk


class _NamesDisk(Protocol):
    @property
    def disk(self) -> str: ...


class _HasDisk(Protocol):
    @property
    def disk(self) -> Disk: ...


def disk_query(item: _NamesDisk) -> Query:
    """Return the query that reads the disk of an item."""
    return [lookups.disk(item.disk).query("disk")]


def about(response: _HasDisk, item: _NamesDisk) -> Disk:
    """Return the disk of a response.

    Raises:
        Contradiction: If it is not the requested disk. A proxy may have mixed up two responses.
    """
    disk = response.disk
    if disk.id == item.disk:
        return disk
    raise Contradiction(f"the answer is about another disk ({disk.id})")


def task_of(response: DiskTaskResponse) -> Task:
    """Return the task of a response."""
    return response.task


def learn_machine(disk: Disk, names: MachineNames) -> None:
    """Learn the name of the machine that a disk is on."""
    if bond := disk.virtual_machine_disk:
        machine = bond.virtual_machine
        # The pair is nearly always known, and this check is cheaper than a call.
        if machine.fqdn is not UNSET and names.ids.get(machine.fqdn) != machine.id:
            names.learn(machine.fqdn, machine.id)


def _where(disk: Disk) -> str:
    bond = disk.virtual_machine_disk
    return f"on {bond.virtual_machine.id}" if bond else "on no machine"


def _may_be_on(disk: Disk, virtual_machine: str) -> bool:
    """Return False if the response shows that the disk is not on this machine."""
    bond = disk.virtual_machine_disk
    if bond is UNSET:
        return True
    if bond is None:
        return False
    machine = bond.virtual_machine
    if machine.fqdn is UNSET and lookups.is_fqdn(virtual_machine):
        return True  # named by its FQDN, which the response does not show
    return is_on(disk, virtual_machine)


def is_on(disk: Disk, virtual_machine: str | None) -> bool:
    """Return whether the disk is assigned to this machine, or to any machine for None."""
    bond = disk.virtual_machine_disk
    if bond is None or bond is UNSET:
        return False
    machine = bond.virtual_machine
    return virtual_machine in (None, machine.id) or (
        machine.fqdn is not UNSET and _same_name(machine.fqdn, virtual_machine)
    )


def _same_name(one: str | None, other: str | None) -> bool:
    # Host names ignore case and a dot at the end.
    return one is not None and other is not None and one.lower().rstrip(".") == other.lower().rstrip(".")


def _boots(disk: Disk) -> bool:
    bond = disk.virtual_machine_disk
    return bond is not None and bond is not UNSET and bond.boot is True


def _found_assigned(disk: Disk, item: Assignment) -> ReadBack:
    if is_on(disk, item.virtual_machine):
        return ReadBack.DONE
    return ReadBack.CONFLICT if is_on(disk, None) else ReadBack.NOT_DONE


def _found_unassigned(disk: Disk, item: Assignment) -> ReadBack:
    if not is_on(disk, None):
        return ReadBack.DONE
    if _boots(disk):
        return ReadBack.BOOT_DISK
    return ReadBack.NOT_DONE if is_on(disk, item.virtual_machine) else ReadBack.CONFLICT


def _found_attachment(disk: Disk, item: Assignment, wanted: tuple[AttachmentState, ...]) -> ReadBack:
    bond = disk.virtual_machine_disk
    if not bond or not is_on(disk, item.virtual_machine):
        return ReadBack.CONFLICT
    return ReadBack.DONE if bond.state in wanted else ReadBack.NOT_DONE


def _found_attached(disk: Disk, item: Assignment) -> ReadBack:
    return _found_attachment(disk, item, (AttachmentState.ATTACHED, AttachmentState.ATTACHING))


def _found_detached(disk: Disk, item: Assignment) -> ReadBack:
    if _boots(disk):
        return ReadBack.BOOT_DISK
    return _found_attachment(disk, item, (AttachmentState.DETACHED, AttachmentState.DETACHING))


def _conflict(found: ReadBack, disk: Disk, item: Assignment) -> AssignmentConflict:
    bond = disk.virtual_machine_disk
    machine = bond.virtual_machine.id if bond else None
    name = bond.virtual_machine.fqdn if bond else UNSET
    if found is ReadBack.BOOT_DISK:
        return AssignmentConflict(
            f"{item.disk} is the boot disk of {machine}, and stays there", virtual_machine=machine
        )
    where = f"is on {machine}" if machine is not None else "is on no machine"
    where += f" ({name})" if name is not UNSET else ""
    wanted = f", not on {item.virtual_machine}" if item.virtual_machine is not None else ""
    return AssignmentConflict(f"{item.disk} {where}{wanted}", virtual_machine=machine)


def _read(found: Callable[[Disk, Assignment], ReadBack]) -> Read[Assignment, Disk]:
    return read_with(GET, query=disk_query, result=about, found=found)


read_disk = partial(read_item, needs_virtual_machine=False)
DISKS_EXAMPLE = '["disk_…"]'

ASSIGNING = Action(
    name="assign",
    item=Assignment,
    send=send_with(ASSIGN, body=_assign_disk, result=_assigned),
    read=_read(_found_assigned),
    words=Words("assigned", "already_assigned"),
    may_be_done=(UnableToAssign,),
    example='[("disk_…", "vm_…")]',
    read_item=partial(read_item, needs_virtual_machine=True),
    probe=PROBE,
    find_wanted=find_wanted,
    conflict=_conflict,
    learn=learn_machine,
)
UNASSIGNING = Action(
    name="unassign",
    item=Assignment,
    send=send_with(UNASSIGN, body=_name_disk, result=_unassigned),
    read=_read(_found_unassigned),
    words=Words("unassigned", "already_unassigned"),
    may_be_done=(UnableToUnassign,),
    example=DISKS_EXAMPLE,
    read_item=read_disk,
    probe=PROBE,
    # The API's response is the same for a disk that is on no machine.
    success_proves_change=False,
    conflict=_conflict,
    learn=learn_machine,
)
UNASSIGNING_READ_FIRST = replace(UNASSIGNING, read_first=True)
ATTACHING = Action(
    name="attach",
    item=Assignment,
    send=send_with(ATTACH, body=_name_disk, result=about, task=task_of),
    read=_read(_found_attached),
    words=Words("attached", "already_attached"),
    may_be_done=(UnassignedDisk, TaskQueueingError),
    example=DISKS_EXAMPLE,
    read_item=read_disk,
    probe=PROBE,
    conflict=_conflict,
    learn=learn_machine,
)
DETACHING = replace(
    ATTACHING,
    name="detach",
    send=send_with(DETACH, body=_name_disk, result=about, task=task_of),
    read=_read(_found_detached),
    words=Words("detached", "already_detached"),
)
#: The actions that a durable run finds by name.
DURABLE_ACTIONS = (UNASSIGNING_READ_FIRST, ATTACHING, DETACHING)
