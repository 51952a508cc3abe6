"""The records of the emulated cloud: disks, machines and their parts.

It creates and finds records, and refuses those that are missing or not permitted.
"""

from __future__ import annotations

import random
import string
import uuid
from collections.abc import Iterable, Sequence

from katapult_async.testing import payloads
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.state import (
    Country,
    DataCenter,
    Disk,
    IOProfile,
    Organization,
    Trash,
    VirtualMachine,
)

_ALPHANUMERIC = string.ascii_letters + string.digits
_KEPT_IN_TRASH = 48 * 3600
_BORN = 1_700_000_000


class Population:
    """One organization with its disks and virtual machines by ID. Tests may change every record.

    Attributes:
        denied: IDs of objects for which the response is 403 permission_denied.
        unlisted: IDs of usable disks and machines that the organization's lists do not show.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._fqdns: dict[str, str] = {}
        self.denied: set[str] = set()
        self.unlisted: set[str] = set()
        country = Country("ctry_emulated00000000", "United Kingdom", "GB", "GBR", "Europe/London", eu=False)
        self.data_centers = [
            DataCenter(self.new_id("loc"), "Emulated One", "em-one-01", country),
            DataCenter(self.new_id("loc"), "Emulated Two", "em-two-01", country),
        ]
        self.io_profiles = [
            IOProfile(self.new_id("diop"), "Unrestricted", "unrestricted"),
            IOProfile(self.new_id("diop"), "Moderate", "moderate", speed_in_mb=500, iops=20_000),
        ]
        organization = self.new_id("org")
        name = str(uuid.uuid5(uuid.NAMESPACE_URL, organization))
        self.organization = Organization(organization, "Acme", "acme", name, country, _BORN)
        self.disks: dict[str, Disk] = {}
        self.virtual_machines: dict[str, VirtualMachine] = {}

    def new_id(self, prefix: str) -> str:
        """Return `prefix`, an underscore and 16 alphanumerics. The seed determines all IDs."""
        return f"{prefix}_{''.join(self._rng.choices(_ALPHANUMERIC, k=16))}"

    def add_disk(self, identity: str | None = None, *, name: str | None = None, size_in_gb: int = 20) -> Disk:
        """Add a built, unassigned disk."""
        disk = Disk(
            id=identity or self.new_id("disk"),
            name=name or f"disk-{len(self.disks)}",
            size_in_gb=size_in_gb,
            wwn=f"{self._rng.getrandbits(64):016x}",
            io_profile=self.io_profiles[0],
            data_center=self.data_centers[0],
            created_at=_BORN,
        )
        self.disks[disk.id] = disk
        return disk

    def add_virtual_machine(self, identity: str | None = None, *, boot_disk: bool = False) -> VirtualMachine:
        """Add a started virtual machine, with or without a boot disk."""
        hostname = f"machine-{len(self.virtual_machines)}"
        machine = VirtualMachine(
            id=identity or self.new_id("vm"),
            name=hostname,
            hostname=hostname,
            fqdn=f"{hostname}.{self.organization.sub_domain}.katapult.test",
            data_center=self.data_centers[0],
            created_at=_BORN,
        )
        self.virtual_machines[machine.id] = machine
        self._fqdns[machine.fqdn] = machine.id
        if boot_disk:
            disk = self.add_disk(name="System Disk")
            disk.virtual_machine, disk.boot, disk.attachment = machine.id, True, "attached"
            disk.installed = True
        return machine

    def change_fqdn(self, machine: VirtualMachine, fqdn: str) -> None:
        """Give a machine another FQDN. The old one is then free."""
        if self._fqdns.get(machine.fqdn) == machine.id:
            del self._fqdns[machine.fqdn]
        machine.fqdn = fqdn
        self._fqdns[fqdn] = machine.id

    def trash(self, thing: Disk | VirtualMachine, now: float = _BORN) -> Trash:
        """Move a disk or a machine to the trash."""
        kind = "Disk" if isinstance(thing, Disk) else "VirtualMachine"
        thing.trash = Trash(self.new_id("trsh"), int(now) + _KEPT_IN_TRASH, thing.id, kind)
        return thing.trash

    def find_disk(self, identity: str) -> Disk:
        """Return a disk, or raise Refusal."""
        disk = self.disks.get(identity)
        if disk is None:
            raise Refusal("disk_not_found")
        self._check_reachable(disk)
        return disk

    def find_virtual_machine(self, *, identity: str | None = None, fqdn: str | None = None) -> VirtualMachine:
        """Return a virtual machine by ID or FQDN, or raise Refusal."""
        key = identity if identity is not None else self._fqdns.get(fqdn or "")
        machine = self.virtual_machines.get(key or "")
        if machine is None:
            raise Refusal("virtual_machine_not_found")
        self._check_reachable(machine)
        return machine

    def locate(self, disk: str | None, machine: str | None, fqdn: str | None) -> str | None:
        """Return the ID of the machine that these arguments concern, if known."""
        if machine is not None:
            return machine
        if fqdn is not None:
            return self._fqdns.get(fqdn)
        found = self.disks.get(disk) if disk is not None else None
        return None if found is None else found.virtual_machine

    def _check_reachable(self, thing: Disk | VirtualMachine) -> None:
        if thing.id in self.denied:
            raise Refusal("permission_denied", details=f"access to {thing.id} is not permitted")
        if thing.trash is not None:
            raise Refusal("object_in_trash", trash_object=payloads.trash(thing.trash))

    def virtual_machine_of(self, disk: Disk) -> VirtualMachine | None:
        """Return the machine that a disk is assigned to."""
        return None if disk.virtual_machine is None else self.virtual_machines.get(disk.virtual_machine)

    def attachment_of(self, disk: Disk) -> str:
        """Return the state of an assignment to show. No disk is attached to a stopped machine."""
        machine = self.virtual_machine_of(disk)
        if machine is not None and machine.state == "stopped" and disk.attachment == "attached":
            return "detached"
        return disk.attachment

    def disks_of(self, machine: VirtualMachine) -> Sequence[Disk]:
        """Return the disks that are assigned to a machine."""
        return [d for d in self.disks.values() if d.virtual_machine == machine.id and d.trash is None]


def populate(
    population: Population,
    disks: int | Iterable[str],
    virtual_machines: int | Iterable[str],
    *,
    boot_disks: bool,
) -> tuple[list[str], list[str]]:
    """Add disks and machines, by number or by ID. Return their IDs, without boot disks."""
    machines = [None] * virtual_machines if isinstance(virtual_machines, int) else virtual_machines
    machine_ids = [population.add_virtual_machine(identity, boot_disk=boot_disks).id for identity in machines]
    names = [None] * disks if isinstance(disks, int) else disks
    return [population.add_disk(identity).id for identity in names], machine_ids
