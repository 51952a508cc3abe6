"""Bulk runs: read items, send their requests, and stream their outcomes.

- `item`, `action`, `outcome`: the input of a run, what it does to each item, and its result.
- `feed`, `reader`, `look_ahead`: choose the next item and keep the order per machine.
- `item_work`, `verdict`: work on one item, and decide what a response means.
- `fan_out`, `task_wait`, `delivery`: work on all items, wait for tasks, deliver outcomes.
"""

from __future__ import annotations

from .action import Action, Contradiction, Read, ReadFunction, Send, read_with, send_with
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
    check_size,
    check_text,
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
    "ReadFunction",
    "Recorder",
    "ResultT",
    "Send",
    "Start",
    "Verdict",
    "Words",
    "check_disk",
    "check_items",
    "check_machine",
    "check_size",
    "check_text",
    "fields_of",
    "judge",
    "read_as",
    "read_item",
    "read_with",
    "send_with",
]
