"""The endpoints: declarative Operations, and the typed methods that stand for them."""

from __future__ import annotations

from .disks import Disks
from .io_profiles import IOProfiles
from .tasks import Tasks
from .virtual_machines import VirtualMachines

__all__ = ["Disks", "IOProfiles", "Tasks", "VirtualMachines"]
