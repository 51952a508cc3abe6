"""The endpoints: Operations, Actions, and their typed methods.

- `disks`, `virtual_machines`, `tasks`, `io_profiles`, `pages`: the typed methods of a client.
- `disk_actions`, `disk_changes`, `disk_creation`, `power_actions`: the actions of bulk runs. Add a
  bulk action here. `actions` finds them by name.
- `many_disks`: the `…_many` and `…_each` methods of disks.
- `bulk_runs`: starts their bulk runs, which are in memory only. A durable run, with a journal, is
  `katapult_async.jobs.Run`.
"""

from __future__ import annotations

import warnings

from .bulk_runs import BulkRuns
from .disk_changes import DiskUpdate, IOProfileChange, Resize
from .disk_creation import NewDisk
from .disks import Disks
from .io_profiles import IOProfiles
from .power_actions import Machine
from .tasks import Tasks
from .virtual_machines import VirtualMachines

__all__ = [
    "BulkRuns",
    "DiskUpdate",
    "Disks",
    "IOProfileChange",
    "IOProfiles",
    "Machine",
    "NewDisk",
    "Resize",
    "Tasks",
    "VirtualMachines",
]


def __getattr__(name: str) -> object:
    if name == "Runs":
        warnings.warn("katapult_async.resources.Runs is called BulkRuns", DeprecationWarning, stacklevel=2)
        return BulkRuns
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
