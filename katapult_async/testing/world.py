"""The changes that requests make to the emulated cloud, with every documented refusal.

No I/O and no clock: callers pass `now`, in seconds of the server's clock, and `advance` ends tasks.
A transition changes the world and calls `on_change`, or raises `Refusal` and changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence

from katapult_async.testing.population import Population
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.state import DataCenter, Disk, IOProfile, Task, Trash, VirtualMachine
from katapult_async.testing.task_ends import ENDS, WHILE, end_power

#: Fraction of its duration that a task is in the queue. A quarter of recorded tasks are `pending`.
_PENDING = 0.25
_TRANSITIONAL = frozenset(
    ("starting", "allocating", "resetting", "migrating", "stopping", "shutting_down", "transferring")
)

OnChange = Callable[[float, str, str, "str | None"], None]


class World(Population):
    """The population, and the changes to it.

    Args:
        seed: The same seed makes the same IDs.
        task_duration: Duration of a task in seconds, a quarter of it in the queue.
        on_change: Called with the time, the action, the ID of the changed disk (or of the machine
            for a power action), and the ID of the virtual machine.

    Attributes:
        tasks: Tasks by ID.
        tasks_fail: Whether newly queued tasks fail.
        refuse_tasks: Whether no task can be queued (406).
        one_task_a_machine: Whether a machine refuses a task for a disk while another one runs.
        large_set: Whether lists have no totals.
    """

    def __init__(
        self, *, seed: int = 0, task_duration: float = 1.0, on_change: OnChange | None = None
    ) -> None:
        super().__init__(seed=seed)
        self._on_change = on_change
        self._due: list[tuple[float, int, Task]] = []
        self.tasks: dict[str, Task] = {}
        self.task_duration = task_duration
        self.tasks_fail = False
        self.refuse_tasks = False
        self.one_task_a_machine = False
        self.large_set = False

    def assign(self, disk: Disk, machine: VirtualMachine, now: float) -> None:
        """Assign a disk at once. An assigned disk is refused, even for the same machine."""
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
        """Unassign a disk at once. Nothing changes for a disk on no machine."""
        if disk.virtual_machine is None:
            return
        attachment = self.attachment_of(disk)
        errors: list[str] = []
        if disk.boot:
            errors.append("Boot disk cannot be unassigned")
        elif attachment not in {"detached", "failed"}:
            errors.append(f"Disk is {attachment}")
        if errors:
            raise Refusal("unable_to_unassign", errors=errors)
        self._changed(now, "unassign", disk)
        disk.virtual_machine, disk.attachment = None, "detached"

    def attach(self, disk: Disk, now: float) -> Task:
        """Queue the task that attaches a disk."""
        self._check_may_queue(disk, wanted=("detached", "failed"))
        task = self._queue("Attach disk to virtual machine", "attach", disk, now)
        disk.attachment = "attaching"
        return task

    def detach(self, disk: Disk, now: float) -> Task:
        """Queue the task that detaches a disk."""
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
        if self.one_task_a_machine and any(
            other.attachment in {"attaching", "detaching"} for other in self.disks_of(machine)
        ):
            raise Refusal("task_queueing_error", details="Virtual machine is busy with another task")
        attachment = self.attachment_of(disk)
        if attachment not in wanted:
            raise Refusal("task_queueing_error", details=f"Disk is {attachment}")

    def create(
        self,
        name: str | None,
        size_in_gb: int,
        data_center: DataCenter | None,
        io_profile: IOProfile,
        now: float,
        machine: VirtualMachine | None = None,
    ) -> tuple[Disk, Task]:
        """Create a disk, assigned to `machine` if given, and queue the task that builds it."""
        errors: list[str] = []
        if not name:
            errors.append("Name can't be blank")
        if size_in_gb <= 0:
            errors.append("Size in GB must be greater than 0")
        if data_center is None:
            errors.append("Data center must exist")
        elif machine is not None and machine.data_center.id != data_center.id:
            errors.append("Virtual machine is in a different data center")
        if errors or data_center is None:
            raise Refusal("validation_error", errors=errors)
        self._check_queue_open()
        disk = self.add_disk(name=name, size_in_gb=size_in_gb)
        disk.data_center, disk.io_profile = data_center, io_profile
        disk.state, disk.created_at = "not_built", int(now)
        disk.virtual_machine = None if machine is None else machine.id
        self._changed(now, "create", disk)
        return disk, self._queue("Build disk", "build", disk, now)

    def update(
        self, disk: Disk, now: float, *, name: str | None, bus_type: str | None, attach_on_boot: bool | None
    ) -> None:
        """Change the properties that are not None."""
        if name == "":
            raise Refusal("validation_error", errors=["Name can't be blank"])
        if attach_on_boot is not None and disk.virtual_machine is None:
            raise Refusal("unassigned_disk")
        disk.name = name or disk.name
        disk.bus_type = bus_type or disk.bus_type
        if attach_on_boot is not None:
            disk.attach_on_boot = attach_on_boot
        self._changed(now, "update", disk)

    def delete(self, disk: Disk, now: float) -> Trash:
        """Move an unassigned disk to the trash."""
        if disk.virtual_machine is not None:
            raise Refusal("validation_error", errors=["Disk is assigned to a virtual machine"])
        self._changed(now, "delete", disk)
        return self.trash(disk, now)

    def resize(self, disk: Disk, size_in_gb: int, now: float, *, online: bool = False) -> Task:
        """Queue the task that grows a disk, or shrinks it unless its machine runs."""
        machine = self.virtual_machine_of(disk)
        if size_in_gb <= 0:
            raise Refusal("validation_error", errors=["Size in GB must be greater than 0"])
        if size_in_gb == disk.size_in_gb:
            raise Refusal("validation_error", errors=["Size in GB must differ from the current size"])
        if size_in_gb > disk.size_in_gb:
            name = "Grow disk online" if online else "Grow disk"
        elif machine is None or machine.state == "stopped":
            name = "Shrink disk"
        else:
            raise Refusal(
                "validation_error", errors=["Size in GB can only be reduced while nothing runs on it"]
            )
        task = self._queue(name, "resize", disk, now, size_in_gb)
        disk.state = "resizing"
        return task

    def set_io_profile(self, disk: Disk, profile: IOProfile, now: float) -> Task:
        """Queue the task that changes the IO profile of a disk."""
        return self._queue("Change disk IO profile", "io_profile", disk, now, profile)

    def stop(self, machine: VirtualMachine) -> None:
        """Stop a machine at once and detach its disks."""
        machine.state = "stopped"
        for disk in self.disks_of(machine):
            disk.attachment = "detached"

    def start(self, machine: VirtualMachine) -> None:
        """Start a machine at once and attach its boot disk and its disks with attach_on_boot."""
        machine.state = "started"
        for disk in self.disks_of(machine):
            disk.attachment = "attached" if disk.boot or disk.attach_on_boot else "detached"

    def power(self, machine: VirtualMachine, action: str, now: float) -> Task:
        """Queue the task of a power action: start, stop, shutdown or reset."""
        wanted = "stopped" if action == "start" else "started"
        if machine.state != wanted:
            raise Refusal("task_queueing_error", details=f"Virtual machine is {machine.state}")
        name = f"{action.capitalize()} virtual machine"
        task = self._queue(name, action, machine, now, machine.state)
        machine.state = WHILE[action]
        return task

    def advance(self, now: float) -> None:
        """End all tasks that are due at `now`."""
        while self._due and self._due[0][0] <= now:
            self._finish(heapq.heappop(self._due)[2])

    def find_task(self, identity: str, now: float) -> Task:
        """Return a task with its status at `now`, or raise Refusal."""
        task = self.tasks.get(identity)
        if task is None:
            raise Refusal("task_not_found")
        if task.status == "pending" and task.starts <= now:
            task.status = "running"
        return task

    def _check_queue_open(self) -> None:
        if self.refuse_tasks:
            raise Refusal("task_queueing_error", details="The queue does not accept tasks")

    def _queue(
        self,
        name: str,
        action: str,
        subject: Disk | VirtualMachine,
        now: float,
        argument: object = None,
    ) -> Task:
        self._check_queue_open()
        starts, due = now + _PENDING * self.task_duration, now + self.task_duration
        task = Task(
            self.new_id("task"),
            name,
            action,
            subject.id,
            now,
            starts,
            due,
            self.tasks_fail,
            argument=argument,
        )
        self.tasks[task.id] = task
        heapq.heappush(self._due, (due, len(self.tasks), task))
        return task

    def _finish(self, task: Task) -> None:
        task.status = "failed" if task.fails else "completed"
        subject: Disk | VirtualMachine
        if task.action in WHILE:
            subject = self.virtual_machines[task.subject]
            end_power(subject, self.disks_of(subject), task)
        else:
            subject = self.disks[task.subject]
            ENDS[task.action](subject, task)
        if not task.fails:
            self._changed(task.due, task.action, subject)

    def _changed(self, now: float, action: str, subject: Disk | VirtualMachine) -> None:
        if self._on_change is not None:
            machine = subject.virtual_machine if isinstance(subject, Disk) else subject.id
            self._on_change(now, action, subject.id, machine)

    def __repr__(self) -> str:
        return f"World({len(self.disks)} disks, {len(self.virtual_machines)} virtual machines)"
