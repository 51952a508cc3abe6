"""Tasks: background work of the platform."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from .enums import TaskStatus


class Task(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Background work of the platform (`task_…`).

    Args:
        created_at: Unix time in seconds, like `started_at` and `finished_at`.
        progress: In percent.
    """

    id: str
    name: str | UnsetType = UNSET
    status: TaskStatus | UnsetType = UNSET
    created_at: int | UnsetType = UNSET
    started_at: int | UnsetType | None = UNSET
    finished_at: int | UnsetType | None = UNSET
    progress: int | UnsetType = UNSET
