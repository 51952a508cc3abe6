"""What may be done to many disks: how each action is sent, read back, and told from what was read.

It declares; the scheduler carries out. The typed methods are in disks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgspec import UNSET

from katapult_async.bulk import Action, Assignment, OutcomeStatus, ReadBack
from katapult_async.errors import ProtocolError
from katapult_async.models import AttachmentState, Disk, Task, lookups, requests
from katapult_async.models.responses import DiskResponse, DiskTaskResponse
from katapult_async.transport import Meter, Operation, Session

from .virtual_machines import find_wanted

GET = Operation("GET", "/disks/disk", DiskResponse)
#: Sent without a query. The API answers that it knows no such disk, or that an argument is missing.
PROBE = GET
ASSIGN = Operation("POST", "/disks/disk/assign", DiskResponse)
UNASSIGN = Operation("POST", "/disks/disk/unassign", DiskResponse)
ATTACH = Operation("POST", "/disks/disk/attach", DiskTaskResponse)
DETACH = Operation("POST", "/disks/disk/detach", DiskTaskResponse)


async def _assign(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    assert item.virtual_machine is not None  # noqa: S101 - checked when the item was pulled
    body = requests.AssignDisk(lookups.disk(item.disk), lookups.virtual_machine(item.virtual_machine))
    response = await session.send(ASSIGN, body=body, meter=meter)
    disk = _about(item, response.disk, ASSIGN, meter)
    if not _may_be_on(disk, item.virtual_machine):
        raise _contradicts(f"the disk is {_where(disk)}, not on {item.virtual_machine}", ASSIGN, meter)
    return disk, None


async def _unassign(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(UNASSIGN, body=body, meter=meter)
    disk = _about(item, response.disk, UNASSIGN, meter)
    if is_on(disk, None):
        raise _contradicts(f"the disk is still {_where(disk)}", UNASSIGN, meter)
    return disk, None


async def _attach(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(ATTACH, body=body, meter=meter)
    return _about(item, response.disk, ATTACH, meter), response.task


async def _detach(session: Session, item: Assignment, meter: Meter) -> tuple[Disk, Task | None]:
    body = requests.NameDisk(lookups.disk(item.disk))
    response = await session.send(DETACH, body=body, meter=meter)
    return _about(item, response.disk, DETACH, meter), response.task


async def _read(session: Session, item: Assignment, meter: Meter) -> Disk:
    response = await session.request(GET, query=[lookups.disk(item.disk).query("disk")], meter=meter)
    return _about(item, response.disk, GET, meter)


def _about(item: Assignment, disk: Disk, operation: Operation[Any], meter: Meter) -> Disk:
    """Return the disk, if the response is about the one that was asked for.

    A proxy that mixes responses up must not be believed.
    """
    if disk.id == item.disk:
        return disk
    raise _contradicts(f"the answer is about another disk ({disk.id})", operation, meter)


def _contradicts(message: str, operation: Operation[Any], meter: Meter) -> ProtocolError:
    """The error for a response that says success and shows another disk or machine."""
    return ProtocolError(message, operation=operation.name, request_id=meter.request_id)


def _where(disk: Disk) -> str:
    bond = disk.virtual_machine_disk
    return f"on {bond.virtual_machine.id}" if bond else "on no machine"


def _may_be_on(disk: Disk, virtual_machine: str) -> bool:
    """Whether the response leaves it possible that the disk is on this machine."""
    bond = disk.virtual_machine_disk
    if bond is UNSET:
        return True  # the machine is not shown
    if bond is None:
        return False
    machine = bond.virtual_machine
    if machine.fqdn is UNSET and lookups.is_fqdn(virtual_machine):
        return True  # named by its FQDN, and shown without it
    return is_on(disk, virtual_machine)


def is_on(disk: Disk, virtual_machine: str | None) -> bool:
    """Whether the disk is assigned to this machine (None: to any)."""
    bond = disk.virtual_machine_disk
    if bond is None or bond is UNSET:
        return False
    machine = bond.virtual_machine
    return virtual_machine in (None, machine.id) or (
        machine.fqdn is not UNSET and _same_name(machine.fqdn, virtual_machine)
    )


def _same_name(one: str | None, other: str | None) -> bool:
    # Names of hosts are the same in any case, and with or without the dot at their end.
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


def _found_plugged(disk: Disk, item: Assignment, wanted: tuple[AttachmentState, ...]) -> ReadBack:
    bond = disk.virtual_machine_disk
    if not bond or not is_on(disk, item.virtual_machine):
        return ReadBack.CONFLICT
    return ReadBack.DONE if bond.state in wanted else ReadBack.NOT_DONE


def _found_attached(disk: Disk, item: Assignment) -> ReadBack:
    return _found_plugged(disk, item, (AttachmentState.ATTACHED, AttachmentState.ATTACHING))


def _found_detached(disk: Disk, item: Assignment) -> ReadBack:
    if _boots(disk):
        return ReadBack.BOOT_DISK
    return _found_plugged(disk, item, (AttachmentState.DETACHED, AttachmentState.DETACHING))


ASSIGNING = Action(
    name="assign",
    send=_assign,
    read=_read,
    found=_found_assigned,
    done=OutcomeStatus.ASSIGNED,
    already=OutcomeStatus.ALREADY_ASSIGNED,
    probe=PROBE,
    needs_virtual_machine=True,
    find_wanted=find_wanted,
)
UNASSIGNING = Action(
    name="unassign",
    send=_unassign,
    read=_read,
    found=_found_unassigned,
    done=OutcomeStatus.UNASSIGNED,
    already=OutcomeStatus.ALREADY_UNASSIGNED,
    probe=PROBE,
    # The API answers alike for a disk that is on no machine.
    success_proves_change=False,
)
UNASSIGNING_READ_FIRST = replace(UNASSIGNING, read_first=True)
ATTACHING = Action(
    name="attach",
    send=_attach,
    read=_read,
    found=_found_attached,
    done=OutcomeStatus.ATTACHED,
    already=OutcomeStatus.ALREADY_ATTACHED,
    probe=PROBE,
)
DETACHING = Action(
    name="detach",
    send=_detach,
    read=_read,
    found=_found_detached,
    done=OutcomeStatus.DETACHED,
    already=OutcomeStatus.ALREADY_DETACHED,
    probe=PROBE,
)
