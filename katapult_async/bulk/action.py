"""What a bulk run does to each item: how to send it, how to read it back, and how to tell from what was read whether
it is done. A run knows no endpoints; `resources` declares the actions, and users may declare their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import msgspec

from katapult_async.errors import AssignmentConflict, KatapultError, ProtocolError
from katapult_async.models import Task
from katapult_async.transport import MachineNames, Meter, Operation, Session

from .item import ItemT, ResultT, read_as
from .outcome import DEFAULT_WORDS, Words
from .verdict import ReadBack

AnswerT = TypeVar("AnswerT")

#: Sends one request for one item. Returns what the answer shows of it, and the task that was queued, if any.
Send = Callable[[Session, ItemT, Meter], Awaitable[tuple["ResultT | None", "Task | None"]]]
#: Reads one item back. Returns what is shown of it, and whether it is done.
Read = Callable[[Session, ItemT, Meter], Awaitable[tuple["ResultT | None", ReadBack]]]

# Sent without a query. The API answers that an argument is missing.
_PROBE: Operation[msgspec.Raw] = Operation("GET", "/tasks/task", msgspec.Raw)


class Contradiction(Exception):
    """A response says success and shows something else. Raise it in `result` of `send_with` and `read_with`."""


def send_with(
    operation: Operation[AnswerT],
    *,
    body: Callable[[ItemT], msgspec.Struct],
    result: Callable[[AnswerT, ItemT], ResultT | None],
    task: Callable[[AnswerT], Task | None] | None = None,
) -> Send[ItemT, ResultT]:
    """Return how an action sends one item: one request with a body.

    Args:
        operation: The endpoint.
        body: Makes the body of the request from the item.
        result: Takes from the answer what the item has become. Raises Contradiction if the answer
            cannot be true; the item is then read back.
        task: Takes from the answer the task that was queued. None if the endpoint queues none.
    """

    async def send(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, Task | None]:
        answer = await session.send(operation, body=body(item), meter=meter)
        try:
            done = result(answer, item)
        except Contradiction as contradiction:
            raise _untrue(contradiction, operation.name, meter) from None
        return done, None if task is None else task(answer)

    return send


def read_with(
    operation: Operation[AnswerT],
    *,
    query: Callable[[ItemT], Sequence[tuple[str, str]]],
    result: Callable[[AnswerT, ItemT], ResultT],
    found: Callable[[ResultT, ItemT], ReadBack],
) -> Read[ItemT, ResultT]:
    """Return how an action reads one item back: one GET with a query.

    Args:
        operation: The endpoint.
        query: Makes the query from the item.
        result: Takes from the answer what is shown of the item. Raises Contradiction if the answer
            cannot be about the item.
        found: Tells from what is shown whether the item is done.
    """

    async def read(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, ReadBack]:
        answer = await session.request(operation, query=query(item), meter=meter)
        try:
            shown = result(answer, item)
        except Contradiction as contradiction:
            raise _untrue(contradiction, operation.name, meter) from None
        return shown, found(shown, item)

    return read


def _untrue(contradiction: Contradiction, operation: str, meter: Meter) -> ProtocolError:
    return ProtocolError(str(contradiction), operation=operation, request_id=meter.request_id)


@dataclass(frozen=True)
class Action(Generic[ItemT, ResultT]):
    """One kind of bulk run, for `client.bulk(action, items)`.

    An item can be any object. `str(item)` names it in messages. If it has an attribute
    `virtual_machine`, a run works on one item of a machine at a time.

    Args:
        name: The action in one word, for example `resize`.
        item: The type of the items. A run also accepts tuples of its fields.
        send: Sends one item. See `send_with`.
        read: Reads one item back after an unclear answer, and tells whether it is done. None if nothing
            can be read: such an item comes out as unknown, and the run never sends it again. See
            `read_with`.
        words: The words for an item that is done, and for one that was so before.
        may_be_done: Errors that may mean that the item was in the wanted state already. The item is
            then read once.
        example: An input that is right, for messages.
        read_item: Turns what the input gives into an item. By default an object of the item type, or
            a tuple of its fields.
        probe: A GET that concerns no item. Any answer of the API to it proves that the API is there.
        success_proves_change: Whether a success shows that the item was not done before.
        read_first: Whether each item is read before it is sent, unless a recorder says how its work
            begins.
        find_wanted: Raises NotFound or ObjectInTrash if something that an item names does not exist.
            The run calls it when `read` says CONFLICT.
        conflict: Makes the error for an item of which `read` says CONFLICT or BOOT_DISK.
        learn: Takes from a result what it shows about the names of virtual machines.
    """

    name: str
    item: type[ItemT]
    send: Send[ItemT, ResultT]
    read: Read[ItemT, ResultT] | None = None
    words: Words = DEFAULT_WORDS
    may_be_done: tuple[type[KatapultError], ...] = ()
    example: str = "[item, …]"
    read_item: Callable[[object], ItemT] | None = None
    probe: Operation[object] = _PROBE
    success_proves_change: bool = True
    read_first: bool = False
    find_wanted: Callable[[Session, ItemT, Meter], Awaitable[None]] | None = None
    conflict: Callable[[ReadBack, ResultT, ItemT], KatapultError] | None = None
    learn: Callable[[ResultT, MachineNames], None] | None = None

    @property
    def reader(self) -> Callable[[object], ItemT]:
        """What turns an object of the input into an item, or raises TypeError or ValueError."""
        return self.read_item or partial(read_as, self.item)

    def conflict_of(self, found: ReadBack, result: ResultT | None, item: ItemT) -> KatapultError:
        """Return the error for an item that cannot be done because of what was read."""
        if self.conflict is not None and result is not None:
            return self.conflict(found, result, item)
        return AssignmentConflict(f"{item}: {found.value}")
