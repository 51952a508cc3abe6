"""Tasks: work that the platform does in the background."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .enums import TaskStatus


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Work the platform does in the background (`task_…`). Times are unix seconds, progress is a percentage."""

    id: str
    name: str | UnsetType = UNSET
    status: TaskStatus | UnsetType = UNSET
    created_at: int | UnsetType = UNSET
    started_at: int | UnsetType | None = UNSET
    finished_at: int | UnsetType | None = UNSET
    progress: int | UnsetType = UNSET
