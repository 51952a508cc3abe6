"""The scheduler: pulls items, holds concurrency and order per machine, asks the gate, yields outcomes.

`outcome` is what goes in and comes out, `feed` and `lookahead` choose the next item, `verdict` says what an answer
means, `settle` works on one item, `fanout` on all of them, `delivery` hands outcomes out. An `action` says what is done
to a disk.
"""

from __future__ import annotations

from .action import Action
from .delivery import Recorder
from .fanout import Outcomes
from .item import Item, Items, check_items, read_item
from .outcome import Assignment, BulkError, BulkReport, Outcome, OutcomeStatus
from .settle import Settling
from .verdict import Found, Start, Step, judge

__all__ = [
    "Action",
    "Assignment",
    "BulkError",
    "BulkReport",
    "Found",
    "Item",
    "Items",
    "Outcome",
    "OutcomeStatus",
    "Outcomes",
    "Recorder",
    "Settling",
    "Start",
    "Step",
    "check_items",
    "judge",
    "read_item",
]
