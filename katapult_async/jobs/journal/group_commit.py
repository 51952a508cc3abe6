"""Write records durably while a run is executed, in one thread and few transactions (group commit).

A record counts as written when its transaction is synchronised to the disk. Records that arrive
meanwhile form the next transaction. So a slow disk makes transactions larger, and not the run
slower.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio
import msgspec

from katapult_async.jobs.errors import JournalError

from .file import cannot_write
from .journal import Journal
from .statements import BatchStatement

P = ParamSpec("P")
Row = TypeVar("Row", bound=msgspec.Struct)
T = TypeVar("T")

#: The fewest seconds between the starts of two transactions. Larger transactions cost less, and no
#: request waits for them, because lines are marked as sent before their turn.
SPACING = 0.002


class Batch:
    """The rows of one transaction, by statement, in the order in which statements came first."""

    __slots__ = ("done", "error", "rows")

    def __init__(self) -> None:
        self.rows: dict[BatchStatement[Any], list[Any]] = {}
        self.done = anyio.Event()
        self.error: JournalError | None = None

    async def durable(self) -> None:
        """Wait until the batch is on the disk. Raises JournalWriteError if it cannot be written."""
        if not self.done.is_set():
            await self.done.wait()
        if self.error is not None:
            raise self.error


class Writer:
    """Writes to a journal from the event loop.

    Use it as an async context manager. Do not use the journal otherwise inside the block.

    A batch executes one statement after the other, each for all of its rows. If the order of rows
    of two statements matters, wait for the first batch before you submit the second row.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._orders: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._next = Batch()
        self._writing: Batch | None = None
        self._failure: JournalError | None = None
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        #: Transactions so far.
        self.commits = 0

    def __repr__(self) -> str:
        return f"<Writer {self._journal.name} {self.commits} commits>"

    async def __aenter__(self) -> Writer:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._work, name="katapult-journal")
        self._thread.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # The thread uses the connection until the thread ends, so a cancellation must wait for it.
        # An anyio scope does not shield from a second cancellation of the asyncio task itself.
        ending = asyncio.ensure_future(self._end())
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope(shield=True):
            while not ending.done():
                try:
                    await asyncio.shield(ending)
                except asyncio.CancelledError as error:  # noqa: PERF203 - each cancellation is one turn
                    cancelled = error
        ending.result()
        if cancelled is not None:
            raise cancelled

    async def _end(self) -> None:
        """Write the remaining rows, and end the thread."""
        while (batch := self._writing or (self._next if self._next.rows else None)) is not None:
            await batch.done.wait()
        self._orders.put(None)
        await asyncio.to_thread(self._thread.join)

    async def write(self, statement: BatchStatement[Row], row: Row) -> None:
        """Write one row durably. Raises JournalWriteError. Then every later call raises it, too."""
        await self.submit(statement, (row,)).durable()

    def submit(self, statement: BatchStatement[Row], rows: Iterable[Row]) -> Batch:
        """Add rows to the next transaction, and return its batch.

        Raises JournalWriteError if an earlier transaction could not be written.
        """
        if self._failure is not None:
            raise self._failure
        return self._add(statement, rows)

    def note(self, statement: BatchStatement[Row], row: Row) -> None:
        """Add a row to the next transaction. It is dropped if the journal cannot be written."""
        if self._failure is None:
            self._add(statement, (row,))

    def _add(self, statement: BatchStatement[Row], rows: Iterable[Row]) -> Batch:
        batch = self._next
        batch.rows.setdefault(statement, []).extend(rows)
        self._flush()
        return batch

    async def call(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a query function in the thread, after all rows that were added before.

        The function must begin a transaction if it needs one. An error of SQLite becomes a
        JournalWriteError.
        """
        pending = self._next if self._next.rows else self._writing
        if pending is not None and not pending.done.is_set():
            await pending.done.wait()
        if self._failure is not None:
            raise self._failure
        result: asyncio.Future[T] = self._loop.create_future()

        def order() -> None:
            try:
                value = self._journal.query(work, *args, **kwargs)
            except BaseException as exc:  # noqa: BLE001 - raised in the caller of `call`
                self._loop.call_soon_threadsafe(_fail, result, self._translate(exc))
            else:
                self._loop.call_soon_threadsafe(_succeed, result, value)

        self._orders.put(order)
        return await result

    # -- the event loop and the thread -------------------------------------------------------------

    def _flush(self) -> None:
        if self._writing is not None or not self._next.rows or self._timer is not None:
            return
        now = self._loop.time()
        if now < self._not_before:
            self._timer = self._loop.call_at(self._not_before, self._flush_now)
            return
        self._flush_now()

    def _flush_now(self) -> None:
        self._timer = None
        batch, self._next = self._next, Batch()
        self._writing = batch
        self._not_before = self._loop.time() + SPACING
        self._orders.put(lambda: self._commit(batch))

    def _commit(self, batch: Batch) -> None:
        error: JournalError | None = None
        try:
            self._journal.query(_write, batch)
        except Exception as exc:  # noqa: BLE001 - raised in the tasks that wait for this batch
            error = cannot_write(self._journal.path, exc)
        self._loop.call_soon_threadsafe(self._committed, batch, error)

    def _committed(self, batch: Batch, error: JournalError | None) -> None:
        self._writing = None
        self.commits += 1
        if error is None:
            self._flush()
        else:
            # Write no later rows either, so that the journal has no gaps.
            self._failure = error
            lost, self._next = self._next, Batch()
            lost.error = error
            lost.done.set()
        batch.error = error
        batch.done.set()

    def _translate(self, exc: BaseException) -> BaseException:
        return cannot_write(self._journal.path, exc) if isinstance(exc, sqlite3.Error) else exc

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            order()


def _write(db: sqlite3.Connection, batch: Batch) -> None:
    try:
        db.execute("BEGIN IMMEDIATE")
        for statement, rows in batch.rows.items():
            statement.execute(db, rows)
        db.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # raise the first error, not this one
            if db.in_transaction:
                db.execute("ROLLBACK")
        raise


def _succeed(future: asyncio.Future[Any], value: object) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: asyncio.Future[Any], exc: BaseException) -> None:
    if not future.done():
        future.set_exception(exc)
