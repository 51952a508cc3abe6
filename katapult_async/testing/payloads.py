"""Convert records to JSON objects with the exact shapes of the API's responses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from katapult_async.testing.state import (
    Country,
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


def country(country: Country) -> Json:
    return {
        "id": country.id,
        "name": country.name,
        "iso_code2": country.iso_code2,
        "iso_code3": country.iso_code3,
        "time_zone": country.time_zone,
        "eu": country.eu,
    }


def annotations_of(thing: Disk | VirtualMachine) -> list[Json]:
    return [{"key": key, "value": value} for key, value in thing.annotations.items()]


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


def _installation(disk: Disk) -> Json:
    """Return the installation of a disk. It contains a root password, as in the real API."""
    return {
        "id": "dinst_" + disk.id.partition("_")[2],
        "disk_template_version": {
            "number": 1,
            "stable": True,
            "disk_template": {
                "id": "dtpl_emulated00000000",
                "name": "Emulated OS 1",
                "permalink": "templates/emulated-os-1",
                "operating_system": {"id": "os_emulated000000000", "name": "Emulated OS"},
            },
        },
        "attributes": [
            {
                "key": "root_password",
                "label": "Root password",
                "description": "The password of the root user.",
                "value": "emulated-root-password",
                "protect": True,
            }
        ],
    }


def disk(disk: Disk, machine: VirtualMachine | None, attachment: str) -> Json:
    """Return the full disk, for all endpoints except lists. `attachment` is the state to show."""
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
            "state": attachment,
        },
        "installation": _installation(disk) if disk.installed else None,
    }


def listed_disk(disk: Disk, machine: VirtualMachine | None) -> Json:
    """Return the partial disk of an organization's list."""
    return {
        "id": disk.id,
        "name": disk.name,
        "size_in_gb": disk.size_in_gb,
        "wwn": disk.wwn,
        "state": disk.state,
        "virtual_machine_disk": None
        if machine is None
        else {"virtual_machine": {"id": machine.id, "fqdn": machine.fqdn}},
    }


def disk_of_machine(disk: Disk, attachment: str) -> Json:
    """Return an entry of a machine's list of disks. `attachment` is the state to show."""
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
        "state": attachment,
    }


def _zone(centre: DataCenter) -> Json:
    return {
        "id": "zone_" + centre.id.partition("_")[2],
        "name": centre.name + " 1",
        "permalink": centre.permalink + "-zone-1",
        "data_center": data_center(centre),
    }


def _organization(organization: Organization) -> Json:
    """Return the organization of a virtual machine. The emulated one has no address."""
    empty = ("address1", "address2", "address3", "address4", "postcode", "phone_number", "vat_number")
    return {
        "id": organization.id,
        "name": organization.name,
        "sub_domain": organization.sub_domain,
        "infrastructure_domain": f"{organization.sub_domain}.katapult.test",
        "uuid": organization.uuid,
        "created_at": organization.created_at,
        "activated_at": organization.created_at,
        "suspended": False,
        "managed": False,
        "billing_name": organization.name,
        **dict.fromkeys(empty),
        "currency": {"id": "cur_emulated00000000", "name": "British Pound", "iso_code": "GBP", "symbol": "£"},
        "country": country(organization.country),
        "country_state": None,
    }


_PACKAGE: Json = {
    "id": "vmpkg_emulated00000000",
    "name": "Emulated",
    "permalink": "emulated",
    "cpu_cores": 1,
    "ipv4_addresses": 1,
    "memory_in_gb": 1,
    "storage_in_gb": 20,
    "monthly_bandwidth_allowance_in_gb": 1000,
    "privacy": "public",
    "use_dedicated_cpus": False,
    "icon": None,
    "group": {"id": "vmpkgrp_emulated0000000", "name": "Emulated"},
}


def virtual_machine(machine: VirtualMachine, organization: Organization) -> Json:
    """Return the full virtual machine. It contains `initial_root_password`, as in the real API."""
    zone = _zone(machine.data_center)
    zone["data_center"]["country"] = country(machine.data_center.country)
    return {
        "id": machine.id,
        "name": machine.name,
        "hostname": machine.hostname,
        "fqdn": machine.fqdn,
        "description": None,
        "created_at": machine.created_at,
        "initial_root_password": machine.initial_root_password,
        "state": machine.state,
        "cpu_cores": _PACKAGE["cpu_cores"],
        "memory_in_gb": _PACKAGE["memory_in_gb"],
        "suspended": False,
        "suspended_at": None,
        "use_dedicated_cpus": False,
        "gpu_type": None,
        "gpus": [],
        "attached_iso": None,
        "group": None,
        "zone": zone,
        "organization": _organization(organization),
        "package": _PACKAGE,
        "tags": [],
        "tag_names": [],
        "ip_addresses": [],
    }


def listed_virtual_machine(machine: VirtualMachine) -> Json:
    """Return the partial virtual machine of an organization's list, without `state`."""
    return {
        "id": machine.id,
        "name": machine.name,
        "hostname": machine.hostname,
        "fqdn": machine.fqdn,
        "created_at": machine.created_at,
        "zone": _zone(machine.data_center),
        "package": {"name": _PACKAGE["name"]},
        "gpu_type": None,
        "ip_addresses": [],
    }


def task(task: Task, now: float) -> Json:
    """Return the task at the time `now`."""
    length = task.due - task.starts
    progress = 0
    if task.status == "completed":
        progress = 100
    elif task.status != "pending" and length > 0:
        progress = min(99, math.floor(100 * (min(now, task.due) - task.starts) / length))
    return {
        "id": task.id,
        "name": task.name,
        "status": task.status,
        "created_at": math.floor(task.created_at),
        "started_at": None if task.status == "pending" else math.floor(task.starts),
        "finished_at": math.floor(task.due) if task.status in {"completed", "failed"} else None,
        "progress": progress,
    }


def page(items: Sequence[Any], number: int, per_page: int, *, large_set: bool) -> tuple[Json, Sequence[Any]]:
    """Return `pagination` and the items of one page. The totals of a large set are null."""
    pagination = {
        "current_page": number,
        "total_pages": None if large_set else math.ceil(len(items) / per_page),
        "total": None if large_set else len(items),
        "per_page": per_page,
        "large_set": large_set,
    }
    start = (number - 1) * per_page
    return pagination, items[start : start + per_page]
