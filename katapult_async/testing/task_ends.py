"""The effects of the end of a task on its disk or machine, by action."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from katapult_async.testing.state import Disk, IOProfile, Task, VirtualMachine


def _attach(disk: Disk, task: Task) -> None:
    disk.attachment = "failed" if task.fails else "attached"


def _detach(disk: Disk, task: Task) -> None:
    disk.attachment = "attached" if task.fails else "detached"


def _build(disk: Disk, task: Task) -> None:
    disk.state = "failed" if task.fails else "built"
    if disk.attach_when_built and not task.fails:
        disk.attachment = "attached"


def _resize(disk: Disk, task: Task) -> None:
    disk.state = "built"
    if not task.fails and isinstance(task.argument, int):
        disk.size_in_gb = task.argument


def _io_profile(disk: Disk, task: Task) -> None:
    if not task.fails and isinstance(task.argument, IOProfile):
        disk.io_profile = task.argument


ENDS: Mapping[str, Callable[[Disk, Task], None]] = {
    "attach": _attach,
    "detach": _detach,
    "build": _build,
    "resize": _resize,
    "io_profile": _io_profile,
}

#: The state of a machine during a power task, by action.
WHILE: Mapping[str, str] = {
    "start": "starting",
    "stop": "stopping",
    "shutdown": "shutting_down",
    "reset": "resetting",
}


def end_power(machine: VirtualMachine, disks: Sequence[Disk], task: Task) -> None:
    """End a power task. A failed task restores the machine's old state, which is its argument."""
    if task.fails:
        machine.state = str(task.argument)
        return
    machine.state = "stopped" if task.action in {"stop", "shutdown"} else "started"
    for disk in disks:
        runs = machine.state == "started" and (disk.boot or disk.attach_on_boot)
        if task.action != "reset":
            disk.attachment = "attached" if runs else "detached"
