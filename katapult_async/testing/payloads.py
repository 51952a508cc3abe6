"""Records -> JSON objects in the exact shapes of the wire. It reads the records and changes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from katapult_async.testing.state import (
    DataCenter,
    Disk,
    IOProfile,
    Organization,
    Task,
    Trash,
    VirtualMachine,
)

Json = dict[str, Any]


def data_center(centre: DataCenter) -> Json:
    return {"id": centre.id, "name": centre.name, "permalink": centre.permalink}


def io_profile(profile: IOProfile) -> Json:
    return {
        "id": profile.id,
        "name": profile.name,
        "permalink": profile.permalink,
        "speed_in_mb": profile.speed_in_mb,
        "iops": profile.iops,
    }


def trash(thing: Trash) -> Json:
    return {
        "id": thing.id,
        "keep_until": thing.keep_until,
        "object_id": thing.object_id,
        "object_type": thing.object_type,
    }


def disk(disk: Disk, machine: VirtualMachine | None) -> Json:
    """The full disk, as every endpoint but the lists has it."""
    return {
        "id": disk.id,
        "name": disk.name,
        "size_in_gb": disk.size_in_gb,
        "wwn": disk.wwn,
        "state": disk.state,
        "created_at": disk.created_at,
        "storage_speed": disk.storage_speed,
        "io_profile": io_profile(disk.io_profile),
        "bus_type": disk.bus_type,
        "data_center": data_center(disk.data_center),
        "virtual_machine_disk": None
        if machine is None
        else {
            "virtual_machine": {"id": machine.id, "fqdn": machine.fqdn},
            "attach_on_boot": disk.attach_on_boot,
            "boot": disk.boot,
            "state": disk.attachment,
        },
        "installation": None,
    }


def listed_disk(disk: Disk, machine: VirtualMachine | None) -> Json:
    """The partial disk of an organisation's list."""
    return {
        "id": disk.id,
        "name": disk.name,
        "size_in_gb": disk.size_in_gb,
        "wwn": disk.wwn,
        "state": disk.state,
        "virtual_machine_disk": None
        if machine is None
        else {"virtual_machine": {"id": machine.id, "name": machine.name, "fqdn": machine.fqdn}},
    }


def disk_of_machine(disk: Disk) -> Json:
    """An entry of a virtual machine's list of disks."""
    return {
        "disk": {
            "id": disk.id,
            "name": disk.name,
            "size_in_gb": disk.size_in_gb,
            "wwn": disk.wwn,
            "state": disk.state,
            "created_at": disk.created_at,
        },
        "attach_on_boot": disk.attach_on_boot,
        "boot": disk.boot,
        "state": disk.attachment,
    }


def _zone(centre: DataCenter) -> Json:
    return {
        "id": "zone_" + centre.id.partition("_")[2],
        "name": centre.name + " 1",
        "permalink": centre.permalink + "-zone-1",
        "data_center": data_center(centre),
    }


def virtual_machine(machine: VirtualMachine, organization: Organization) -> Json:
    """The full virtual machine. It contains `initial_root_password`, as the real one does."""
    return {
        "id": machine.id,
        "name": machine.name,
        "hostname": machine.hostname,
        "fqdn": machine.fqdn,
        "description": None,
        "created_at": machine.created_at,
        "initial_root_password": machine.initial_root_password,
        "state": machine.state,
        "cpu_cores": 1,
        "memory_in_gb": 1,
        "suspended": False,
        "suspended_at": None,
        "use_dedicated_cpus": False,
        "gpu_type": None,
        "gpus": [],
        "attached_iso": None,
        "group": None,
        "zone": _zone(machine.data_center),
        "organization": {
            "id": organization.id,
            "name": organization.name,
            "sub_domain": organization.sub_domain,
        },
        "package": {"id": "vmpkg_emulated00000000", "name": "Emulated"},
        "tags": [],
        "tag_names": [],
        "ip_addresses": [],
    }


def listed_virtual_machine(machine: VirtualMachine) -> Json:
    """The partial virtual machine of an organisation's list: it has no `state`."""
    return {
        "id": machine.id,
        "name": machine.name,
        "hostname": machine.hostname,
        "fqdn": machine.fqdn,
        "created_at": machine.created_at,
        "zone": _zone(machine.data_center),
        "package": {"name": "Emulated"},
        "gpu_type": None,
        "ip_addresses": [],
    }


def task(task: Task, now: float) -> Json:
    running = task.status != "pending"
    ended = task.status in {"completed", "failed"}
    length = task.due - task.created_at
    progress = 0
    if task.status == "completed":
        progress = 100
    elif running and length > 0:
        progress = min(99, math.floor(100 * (min(now, task.due) - task.created_at) / length))
    return {
        "id": task.id,
        "name": task.name,
        "status": task.status,
        "created_at": math.floor(task.created_at),
        "started_at": math.floor(task.created_at) if running else None,
        "finished_at": math.floor(task.due) if ended else None,
        "progress": progress,
    }


def page(items: Sequence[Any], number: int, per_page: int, *, large_set: bool) -> tuple[Json, Sequence[Any]]:
    """`pagination` and the items of one page. On a large set the totals are null."""
    pagination = {
        "current_page": number,
        "total_pages": None if large_set else math.ceil(len(items) / per_page),
        "total": None if large_set else len(items),
        "per_page": per_page,
        "large_set": large_set,
    }
    start = (number - 1) * per_page
    return pagination, items[start : start + per_page]
