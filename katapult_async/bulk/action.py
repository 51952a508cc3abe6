"""What a bulk run does to each disk: how to ask for it, how to read back, and how to tell from a disk whether it is
done. The scheduler knows no endpoints; `resources` declares the actions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from katapult_async.models import Disk, Task
from katapult_async.transport import Meter, Operation, Session

from .outcome import Assignment, OutcomeStatus
from .verdict import ReadBack

#: Sends one request for one item: the disk afterwards and the task that was queued, if any.
Send = Callable[[Session, Assignment, Meter], Awaitable[tuple[Disk, Task | None]]]
#: Reads the disk.
Read = Callable[[Session, Assignment, Meter], Awaitable[Disk]]


@dataclass(frozen=True)
class Action:
    """One kind of bulk run. done, already: the words for an item that is done, and for one that was so before.

    probe: a request that changes nothing and concerns no item. Any answer of the API to it proves that the API is there.
    success_proves_change: whether a success shows that the item was not done before.
    read_first: whether each item is read before it is sent, unless a recorder says how its work
    begins.
    find_wanted: raises NotFound or ObjectInTrash if the virtual machine that an item names does not exist. Called when
    the disk turns out to be elsewhere.
    """

    name: str
    send: Send
    read: Read
    found: Callable[[Disk, Assignment], ReadBack]
    done: OutcomeStatus
    already: OutcomeStatus
    probe: Operation[Any]
    needs_virtual_machine: bool = False
    success_proves_change: bool = True
    read_first: bool = False
    find_wanted: Callable[[Session, Assignment, Meter], Awaitable[None]] | None = None
