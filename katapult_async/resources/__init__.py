"""The endpoints: Operations, Actions, and their typed methods."""

from __future__ import annotations

from .disk_changes import DiskUpdate, IOProfileChange, Resize
from .disk_creation import NewDisk
from .disks import Disks
from .io_profiles import IOProfiles
from .power_actions import Machine
from .runs import Runs
from .tasks import Tasks
from .virtual_machines import VirtualMachines

__all__ = [
    "DiskUpdate",
    "Disks",
    "IOProfileChange",
    "IOProfiles",
    "Machine",
    "NewDisk",
    "Resize",
    "Runs",
    "Tasks",
    "VirtualMachines",
]
