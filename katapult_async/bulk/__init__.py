"""The scheduler: pulls items, holds concurrency and order per machine, asks the gate, yields outcomes.

`outcome` is what goes in and comes out, `feed` and `lookahead` choose the next item, `verdict` says what an answer
means, `settle` works on one item, `fanout` on all of them, `delivery` hands outcomes out. An `action` says what is done
to a disk.
"""

from __future__ import annotations

from .action import Action
from .delivery import Recorder
from .fan_out import Outcomes
from .item import Item, Items, check_items, read_item
from .item_work import ItemWork
from .outcome import Assignment, BulkError, BulkReport, Outcome, OutcomeStatus
from .verdict import ReadBack, Start, Verdict, judge

__all__ = [
    "Action",
    "Assignment",
    "BulkError",
    "BulkReport",
    "Item",
    "ItemWork",
    "Items",
    "Outcome",
    "OutcomeStatus",
    "Outcomes",
    "ReadBack",
    "Recorder",
    "Start",
    "Verdict",
    "check_items",
    "judge",
    "read_item",
]
