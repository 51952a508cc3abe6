"""The bodies of responses: objects in their envelopes. The methods of `resources` unwrap them."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .annotation import Annotation
from .disk import Disk
from .io_profile import IOProfile
from .paging import Pagination
from .task import Task
from .trash import TrashObject
from .virtual_machine import AttachedDisk, VirtualMachine


class DiskResponse(msgspec.Struct, frozen=True, kw_only=True):
    disk: Disk
    annotations: tuple[Annotation, ...] | UnsetType = UNSET


class DiskTaskResponse(msgspec.Struct, frozen=True, kw_only=True):
    disk: Disk
    task: Task
    annotations: tuple[Annotation, ...] | UnsetType = UNSET


class DiskTrashedResponse(msgspec.Struct, frozen=True, kw_only=True):
    disk: Disk
    trash_object: TrashObject


class DiskPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of disks. The API's key of the array is singular."""

    pagination: Pagination
    items: tuple[Disk, ...] = msgspec.field(name="disk")


class AttachedDiskPage(msgspec.Struct, frozen=True, kw_only=True):
    pagination: Pagination
    items: tuple[AttachedDisk, ...] = msgspec.field(name="disks")


class VirtualMachinePage(msgspec.Struct, frozen=True, kw_only=True):
    pagination: Pagination
    items: tuple[VirtualMachine, ...] = msgspec.field(name="virtual_machines")


class IOProfilePage(msgspec.Struct, frozen=True, kw_only=True):
    pagination: Pagination
    items: tuple[IOProfile, ...] = msgspec.field(name="disk_io_profiles")


class VirtualMachineResponse(msgspec.Struct, frozen=True, kw_only=True):
    virtual_machine: VirtualMachine
    annotations: tuple[Annotation, ...] | UnsetType = UNSET


class TaskResponse(msgspec.Struct, frozen=True, kw_only=True):
    task: Task
