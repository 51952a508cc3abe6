"""The journal of a run: one SQLite file. All SQL of durable runs is in this package.

- `schema`: the tables. `LINE_TABLE` shows how a line is stored. `first_version` is obsolete.
- `records`, `summary`: what callers read from a journal, as structs.
- `queries_lines`: statements about lines while a run is executed: open, mark as sent, record.
- `queries_run`: statements that read a journal, fill a new one, and select what a rollback reverts.
- `queries_sessions`, `queries_preflight`, `queries_integrity`: statements for these parts.
- `statements`: executes statements with named parameters, singly or in batches.
- `journal`, `reading`, `file`, `new_run`: create, open and read a journal.
- `group_commit`: writes many records in one transaction. `session`, `timeline`, `latency` use it.
- `integrity`, `wal`, `writing_mark`: find damage and lost records.
- `lock`: one process at a time executes a run.
"""

from __future__ import annotations

from .journal import Journal
from .new_run import NewLine, new_info

__all__ = ["Journal", "NewLine", "new_info"]
