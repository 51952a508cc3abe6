"""The emulated cloud: its records and how each request changes them, with every documented refusal.

Pure of I/O and clocks: `now`, in seconds of the server's clock, is passed in, and tasks that have come due take
effect lazily in `advance`. A transition changes the world and says so to `on_change`, or raises `Refusal` and
changes nothing. It knows nothing of HTTP, JSON, tokens or limits.
"""

from __future__ import annotations

import heapq
import random
import string
from collections.abc import Callable, Iterable, Sequence

from katapult_async.testing import payloads
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.state import (
    DataCenter,
    Disk,
    IOProfile,
    Organization,
    Task,
    Trash,
    VirtualMachine,
)

_ALPHANUMERIC = string.ascii_letters + string.digits
_TRANSITIONAL = frozenset(
    ("starting", "allocating", "resetting", "migrating", "stopping", "shutting_down", "transferring")
)
_KEPT_IN_TRASH = 48 * 3600
_BORN = 1_700_000_000

OnChange = Callable[[float, str, str, "str | None"], None]


class World:
    """One organisation with its disks and virtual machines.

    disks, virtual_machines, tasks: records by id, free for tests to change. task_duration: seconds a task takes.
    tasks_fail: tasks queued from now on will fail. refuse_tasks: no task can be queued (406). large_set: lists keep
    their totals to themselves. denied: ids of objects that answer 403 permission_denied.
    """

    def __init__(
        self, *, seed: int = 0, task_duration: float = 1.0, on_change: OnChange | None = None
    ) -> None:
        self._rng = random.Random(seed)
        self._on_change = on_change
        self._due: list[tuple[float, int, Task]] = []
        self._fqdns: dict[str, str] = {}
        self.task_duration = task_duration
        self.tasks_fail = False
        self.refuse_tasks = False
        self.large_set = False
        self.denied: set[str] = set()
        self.data_centers = [
            DataCenter(self.new_id("loc"), "Emulated One", "em-one-01"),
            DataCenter(self.new_id("loc"), "Emulated Two", "em-two-01"),
        ]
        self.io_profiles = [
            IOProfile(self.new_id("diop"), "Unrestricted", "unrestricted"),
            IOProfile(self.new_id("diop"), "Moderate", "moderate", speed_in_mb=500, iops=20_000),
        ]
        self.organization = Organization(self.new_id("org"), "Acme", "acme")
        self.disks: dict[str, Disk] = {}
        self.virtual_machines: dict[str, VirtualMachine] = {}
        self.tasks: dict[str, Task] = {}

    # -- set-up, also for tests in mid-run --------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        """`prefix`, an underscore and 16 alphanumerics: the same ones in the same order for the same seed."""
        return f"{prefix}_{''.join(self._rng.choices(_ALPHANUMERIC, k=16))}"

    def add_disk(self, identity: str | None = None, *, name: str | None = None, size_in_gb: int = 20) -> Disk:
        """One more built, unassigned disk."""
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
        """One more started virtual machine, with a boot disk of its own or without."""
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
        return machine

    def trash(self, thing: Disk | VirtualMachine, now: float = _BORN) -> Trash:
        """Put a disk or a machine into the trash."""
        kind = "Disk" if isinstance(thing, Disk) else "VirtualMachine"
        thing.trash = Trash(self.new_id("trsh"), int(now) + _KEPT_IN_TRASH, thing.id, kind)
        return thing.trash

    # -- looking things up ------------------------------------------------------------------------------------

    def find_disk(self, identity: str) -> Disk:
        disk = self.disks.get(identity)
        if disk is None:
            raise Refusal("disk_not_found")
        self._check_reachable(disk)
        return disk

    def find_virtual_machine(self, *, identity: str | None = None, fqdn: str | None = None) -> VirtualMachine:
        key = identity if identity is not None else self._fqdns.get(fqdn or "")
        machine = self.virtual_machines.get(key or "")
        if machine is None:
            raise Refusal("virtual_machine_not_found")
        self._check_reachable(machine)
        return machine

    def locate(self, disk: str | None, machine: str | None, fqdn: str | None) -> str | None:
        """Id of the machine that a request with these arguments is about, as far as that can be told."""
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

    def find_task(self, identity: str) -> Task:
        task = self.tasks.get(identity)
        if task is None:
            raise Refusal("task_not_found")
        if task.status == "pending":
            # Only the answer that queued a task shows it pending: whoever asks later finds it at work.
            task.status = "running"
        return task

    def virtual_machine_of(self, disk: Disk) -> VirtualMachine | None:
        return None if disk.virtual_machine is None else self.virtual_machines.get(disk.virtual_machine)

    def disks_of(self, machine: VirtualMachine) -> Sequence[Disk]:
        return [d for d in self.disks.values() if d.virtual_machine == machine.id and d.trash is None]

    # -- transitions ------------------------------------------------------------------------------------------

    def assign(self, disk: Disk, machine: VirtualMachine, now: float) -> None:
        """Tie the disk to the machine, at once. Twice is refused, even to the same machine."""
        errors: list[str] = []
        if disk.virtual_machine is not None:
            errors.append("Disk is already assigned to a virtual machine")
        if disk.state != "built":
            errors.append("Disk is not built")
        if machine.state in _TRANSITIONAL:
            errors.append(f"Virtual machine is {machine.state}")
        if disk.data_center.id != machine.data_center.id:
            errors.append("Disk and virtual machine are in different data centers")
        if errors:
            raise Refusal("unable_to_assign", errors=errors)
        disk.virtual_machine = machine.id
        disk.attachment, disk.attach_on_boot, disk.boot = "detached", True, False
        self._changed(now, "assign", disk)

    def unassign(self, disk: Disk, now: float) -> None:
        errors: list[str] = []
        if disk.virtual_machine is None:
            errors.append("Disk is not assigned to a virtual machine")
        elif disk.boot:
            errors.append("Boot disk cannot be unassigned")
        elif disk.attachment not in {"detached", "failed"}:
            errors.append(f"Disk is {disk.attachment}")
        if errors:
            raise Refusal("unable_to_unassign", errors=errors)
        self._changed(now, "unassign", disk)
        disk.virtual_machine = None

    def attach(self, disk: Disk, now: float) -> Task:
        self._check_may_queue(disk, wanted=("detached", "failed"))
        task = self._queue("Attach disk to virtual machine", "attach", disk, now)
        disk.attachment = "attaching"
        return task

    def detach(self, disk: Disk, now: float) -> Task:
        self._check_may_queue(disk, wanted=("attached",))
        task = self._queue("Detach disk from virtual machine", "detach", disk, now)
        disk.attachment = "detaching"
        return task

    def _check_may_queue(self, disk: Disk, wanted: Sequence[str]) -> None:
        machine = self.virtual_machine_of(disk)
        if machine is None:
            raise Refusal("unassigned_disk")
        if machine.state in _TRANSITIONAL:
            raise Refusal("task_queueing_error", details=f"Virtual machine is {machine.state}")
        if disk.attachment not in wanted:
            raise Refusal("task_queueing_error", details=f"Disk is {disk.attachment}")

    def create(
        self, name: str, size_in_gb: int, data_center: DataCenter, io_profile: IOProfile, now: float
    ) -> tuple[Disk, Task]:
        errors: list[str] = []
        if not name:
            errors.append("Name can't be blank")
        if size_in_gb <= 0:
            errors.append("Size in GB must be greater than 0")
        if errors:
            raise Refusal("validation_error", errors=errors)
        self._check_queue_open()
        disk = self.add_disk(name=name, size_in_gb=size_in_gb)
        disk.data_center, disk.io_profile = data_center, io_profile
        disk.state, disk.created_at = "not_built", int(now)
        self._changed(now, "create", disk)
        return disk, self._queue("Build disk", "build", disk, now)

    def update(self, disk: Disk, now: float, *, name: str | None, attach_on_boot: bool | None) -> None:
        if name == "":
            raise Refusal("validation_error", errors=["Name can't be blank"])
        if attach_on_boot is not None and disk.virtual_machine is None:
            raise Refusal("unassigned_disk")
        if name is not None:
            disk.name = name
        if attach_on_boot is not None:
            disk.attach_on_boot = attach_on_boot
        self._changed(now, "update", disk)

    def delete(self, disk: Disk, now: float) -> Trash:
        if disk.virtual_machine is not None:
            raise Refusal("validation_error", errors=["Disk is assigned to a virtual machine"])
        self._changed(now, "delete", disk)
        return self.trash(disk, now)

    def resize(self, disk: Disk, size_in_gb: int, now: float) -> Task:
        if size_in_gb <= disk.size_in_gb:
            raise Refusal("validation_error", errors=["Size in GB must be greater than the current size"])
        task = self._queue("Grow disk", "resize", disk, now, size_in_gb)
        disk.state = "resizing"
        return task

    def set_io_profile(self, disk: Disk, profile: IOProfile, now: float) -> Task:
        return self._queue("Update disk IO profile", "io_profile", disk, now, profile)

    # -- tasks ------------------------------------------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Let every task that has come due by `now` take effect."""
        while self._due and self._due[0][0] <= now:
            self._finish(heapq.heappop(self._due)[2])

    def _check_queue_open(self) -> None:
        if self.refuse_tasks:
            raise Refusal("task_queueing_error", details="The queue does not accept tasks")

    def _queue(self, name: str, action: str, disk: Disk, now: float, argument: object = None) -> Task:
        self._check_queue_open()
        due = now + self.task_duration
        task = Task(self.new_id("task"), name, action, disk.id, now, due, self.tasks_fail, argument=argument)
        self.tasks[task.id] = task
        heapq.heappush(self._due, (due, len(self.tasks), task))
        return task

    def _finish(self, task: Task) -> None:
        task.status = "failed" if task.fails else "completed"
        disk = self.disks.get(task.disk)
        if disk is None:
            return
        if task.action == "attach":
            disk.attachment = "failed" if task.fails else "attached"
        elif task.action == "detach":
            disk.attachment = "attached" if task.fails else "detached"
        elif task.action == "build":
            disk.state = "failed" if task.fails else "built"
        elif task.action == "resize":
            disk.state = "built"
            if not task.fails and isinstance(task.argument, int):
                disk.size_in_gb = task.argument
        elif not task.fails and isinstance(task.argument, IOProfile):
            disk.io_profile = task.argument
        if not task.fails:
            self._changed(task.due, task.action, disk)

    def _changed(self, now: float, action: str, disk: Disk) -> None:
        if self._on_change is not None:
            self._on_change(now, action, disk.id, disk.virtual_machine)

    def __repr__(self) -> str:
        return f"World({len(self.disks)} disks, {len(self.virtual_machines)} virtual machines)"


def populate(
    world: World, disks: int | Iterable[str], virtual_machines: int | Iterable[str], *, boot_disks: bool
) -> tuple[list[str], list[str]]:
    """Fill a world with so many, or with just these ids; return the ids of disks and machines (no boot disks)."""
    machines = [None] * virtual_machines if isinstance(virtual_machines, int) else virtual_machines
    machine_ids = [world.add_virtual_machine(identity, boot_disk=boot_disks).id for identity in machines]
    names = [None] * disks if isinstance(disks, int) else disks
    return [world.add_disk(identity).id for identity in names], machine_ids
