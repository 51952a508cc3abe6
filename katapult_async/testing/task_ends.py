"""What the end of a task does to its disk, by the task's action.

Queueing a task, and when it ends, is the world's work.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from katapult_async.testing.state import Disk, IOProfile, Task


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
