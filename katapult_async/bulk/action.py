"""Actions: how a bulk run sends an item, how it reads the item back, and when the item is done.

A run knows no endpoints. `resources` declares the actions of this package. Users may declare more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar

import msgspec

from katapult_async.errors import AssignmentConflict, KatapultError, ProtocolError
from katapult_async.models import Task
from katapult_async.transport import MachineNames, Meter, Operation, Session

from .item import ItemT, ResultT, read_as
from .outcome import DEFAULT_WORDS, Words
from .verdict import ReadBack

AnswerT = TypeVar("AnswerT")
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)

#: Sends one request for one item. Returns the result that the response shows, and the queued task.
Send = Callable[[Session, ItemT, Meter], Awaitable[tuple["ResultT | None", "Task | None"]]]
#: Reads one item back. Returns the result that the response shows, and whether the item is done.
Read = Callable[[Session, ItemT, Meter], Awaitable[tuple["ResultT | None", ReadBack]]]


class ReadFunction(Protocol[ItemT_contra, ResultT_co]):
    """The type of the functions that `read_with` returns: a `Read`, written as a protocol.

    For a Callable, mypy infers `ResultT | None` as the result type of an Action, and then rejects
    the `found` function. For a protocol, it infers ResultT.
    """

    def __call__(
        self, session: Session, item: ItemT_contra, meter: Meter, /
    ) -> Awaitable[tuple[ResultT_co | None, ReadBack]]:
        """Read one item back, as `Read` describes."""
        ...


# Sent without a query, so the API responds that an argument is missing.
_PROBE: Operation[msgspec.Raw] = Operation("GET", "/tasks/task", msgspec.Raw)


class Contradiction(Exception):
    """A successful response shows the wrong result.

    Raise it in the `result` function of `send_with` and `read_with`.
    """


def send_with(
    operation: Operation[AnswerT],
    *,
    body: Callable[[ItemT], msgspec.Struct],
    result: Callable[[AnswerT, ItemT], ResultT | None],
    task: Callable[[AnswerT], Task | None] | None = None,
) -> Send[ItemT, ResultT]:
    """Return a function that sends one item as one request with a body.

    Args:
        operation: The endpoint.
        body: Makes the body of the request from the item.
        result: Takes the result from the response. Raises Contradiction if the response cannot be
            true. The run then reads the item back.
        task: Takes the queued task from the response. None if the endpoint queues no task.

    Returns:
        The function, for `Action.send`.
    """

    async def send(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, Task | None]:
        answer = await session.send(operation, body=body(item), meter=meter)
        try:
            done = result(answer, item)
        except Contradiction as contradiction:
            raise _protocol_error(contradiction, operation.name, meter) from None
        return done, None if task is None else task(answer)

    return send


def read_with(
    operation: Operation[AnswerT],
    *,
    query: Callable[[ItemT], Sequence[tuple[str, str]]],
    result: Callable[[AnswerT, ItemT], ResultT],
    found: Callable[[ResultT, ItemT], ReadBack],
) -> ReadFunction[ItemT, ResultT]:
    """Return a function that reads one item back with one GET.

    Args:
        operation: The endpoint.
        query: Makes the query from the item.
        result: Takes the result from the response. Raises Contradiction if the response is about
            something else.
        found: Decides from the result whether the item is done.

    Returns:
        The function, for `Action.read`.
    """

    async def read(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, ReadBack]:
        answer = await session.request(operation, query=query(item), meter=meter)
        try:
            shown = result(answer, item)
        except Contradiction as contradiction:
            raise _protocol_error(contradiction, operation.name, meter) from None
        return shown, found(shown, item)

    return read


def _protocol_error(contradiction: Contradiction, operation: str, meter: Meter) -> ProtocolError:
    return ProtocolError(str(contradiction), operation=operation, request_id=meter.request_id)


@dataclass(frozen=True)
class Action(Generic[ItemT, ResultT]):
    """One kind of bulk run, for `client.bulk(action, items)`.

    An item can be any object. `str(item)` names it in messages. If it has an attribute
    `virtual_machine`, a run works on one item per machine at a time.

    Args:
        name: The action in one word, for example `resize`.
        item: The type of the items. A run also accepts tuples of its fields.
        send: Sends one item. See `send_with`.
        read: Reads one item back after an unclear response. See `read_with`. None if the API
            cannot show the item: its status is then unknown, and the run never repeats the request.
        words: The words for the statuses done and already done.
        may_be_done: Errors that may mean "already done". The run then reads the item once.
        example: A valid input, for messages.
        read_item: Turns an object of the input into an item. Default: accepts an object of the item
            type, or a tuple of its fields.
        probe: A GET about no item. Any response to it proves that the API is available.
        success_proves_change: Whether a success proves that the item was not done before.
        read_first: Whether the run reads each item before it sends it. A recorder overrides this.
        find_wanted: Raises NotFound or ObjectInTrash if something that an item names does not
            exist. The run calls it when `read` returns CONFLICT.
        conflict: Makes the error when `read` returns CONFLICT or BOOT_DISK.
        learn: Learns the names of virtual machines from a result.
    """

    name: str
    item: type[ItemT]
    send: Send[ItemT, ResultT]
    # The protocol comes first: mypy infers ResultT from the first member that fits.
    read: ReadFunction[ItemT, ResultT] | Read[ItemT, ResultT] | None = None
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
        """The function that turns an object of the input into an item."""
        return self.read_item or partial(read_as, self.item)

    def conflict_of(self, found: ReadBack, result: ResultT | None, item: ItemT) -> KatapultError:
        """Return the error for an item that its current state does not allow."""
        if self.conflict is not None and result is not None:
            return self.conflict(found, result, item)
        return AssignmentConflict(f"{item}: {found.value}")
