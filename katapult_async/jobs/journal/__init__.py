"""The journal of a run: one SQLite file.

All SQL of durable runs stands in this package. Sends nothing.
"""

from __future__ import annotations

from .journal import Journal
from .new_run import NewLine, new_info

__all__ = ["Journal", "NewLine", "new_info"]
