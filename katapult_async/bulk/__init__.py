"""Bulk runs: pull items, hold concurrency and order per machine, ask the gate, yield outcomes.

`item` is what goes in and `outcome` what comes out. `feed` and `look_ahead` choose the next item, `verdict` says what
an answer means. `item_work` works on one item, `fan_out` on all of them, `task_wait` on the tasks that they queued, and
`delivery` hands outcomes out. An `action` says what is done to an item, whatever its type.
"""

from __future__ import annotations

from .action import Action, Contradiction, Read, Send, read_with, send_with
from .delivery import Recorder
from .fan_out import Outcomes
from .item import (
    Assignment,
    Item,
    Items,
    ItemT,
    ResultT,
    check_disk,
    check_items,
    check_machine,
    fields_of,
    read_as,
    read_item,
)
from .item_work import ItemWork
from .outcome import BulkError, BulkReport, Outcome, OutcomeStatus, Words
from .verdict import ReadBack, Start, Verdict, judge

__all__ = [
    "Action",
    "Assignment",
    "BulkError",
    "BulkReport",
    "Contradiction",
    "Item",
    "ItemT",
    "ItemWork",
    "Items",
    "Outcome",
    "OutcomeStatus",
    "Outcomes",
    "Read",
    "ReadBack",
    "Recorder",
    "ResultT",
    "Send",
    "Start",
    "Verdict",
    "Words",
    "check_disk",
    "check_items",
    "check_machine",
    "fields_of",
    "judge",
    "read_as",
    "read_item",
    "read_with",
    "send_with",
]
