"""Read the input of a run, one item at a time, when a worker is free.

`look_ahead` limits how many items are read before their machines are free.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable
from typing import Generic, Protocol, runtime_checkable

from katapult_async.transport import MachineNames

from .item import ItemT
from .look_ahead import LookAhead
from .reader import Reader


class InputCancelled(RuntimeError):
    """Reading the input was cancelled by something other than the run."""


@runtime_checkable
class ReadsAhead(Protocol):
    """An asynchronous input that often has its next items in memory.

    A worker takes these itself, which saves two switches of tasks for each item.
    """

    def has_next(self) -> bool:
        """Return whether `take_next` has an item."""
        ...

    def take_next(self) -> object:
        """Return the next item, as `__anext__` would."""
        ...


class Feed(Generic[ItemT]):
    """Gives items to workers, at most `per_machine` for one machine at a time.

    Args:
        items: The input.
        per_machine: The most items in progress for one machine.
        bound: The most items for busy machines to read ahead.
        read_item: Turns an object of the input into an item, or raises TypeError or ValueError.
        names: The known names of machines.
        failed: Called when the input has failed.
    """

    def __init__(
        self,
        items: Iterable[object] | AsyncIterable[object],
        *,
        per_machine: int,
        bound: int,
        read_item: Callable[[object], ItemT],
        names: MachineNames,
        failed: Callable[[], None],
    ) -> None:
        self._source: Callable[[], object] | None = None
        self._in_memory: ReadsAhead | None = None
        self._reader: Reader[object] | None = None
        self._read_item = read_item
        self._failed = failed
        self._names = names
        self._ahead: LookAhead[ItemT] = LookAhead(per_machine=per_machine, bound=bound, names=names)
        self._closed = False
        self._pulled = 0
        # Waiting workers. Each gets an item, or None to check again.
        self._waiting: deque[asyncio.Future[ItemT | None]] = deque()
        # Workers that got None and have not checked again yet.
        self._woken = 0
        #: Whether the run takes no more items from the input.
        self.exhausted = False
        #: Whether the input was read to its end.
        self.complete = False
        #: Items that were read and not started when the feed was closed.
        self.left: deque[ItemT] = deque()
        #: The error that ended the input, if any.
        self.failure: BaseException | None = None
        if isinstance(items, AsyncIterable):
            self._in_memory = items if isinstance(items, ReadsAhead) else None
            self._reader = Reader(
                items.__aiter__(), wanted=self._is_wanted, take=self._take, ended=self._source_ended
            )
        else:
            self._source = iter(items).__next__
        names.listeners.append(self._ahead.same)

    def __repr__(self) -> str:
        return f"<Feed pulled={self._pulled} exhausted={self.exhausted} {self._ahead!r}>"

    @property
    def idle(self) -> bool:
        """Whether a worker waits for an item."""
        return bool(self._waiting) or self._woken > 0

    @property
    def pulled(self) -> int:
        """Number of items read from the input."""
        return self._pulled

    async def next(self) -> ItemT | None:
        """Return the next item that may start now. None if no item is left for this worker.

        After the end of the input, parked items may remain for busy machines. The worker that
        finishes an item of such a machine takes them.
        """
        ahead = self._ahead
        while True:
            item = ahead.next_ready()
            if item is not None:
                return item
            if self.exhausted:
                return None
            if ahead.full:
                item = await self._wait()
            elif self._source is not None:
                item = self._pull(self._source)
            elif self._in_memory is not None and self._in_memory.has_next():
                item = self._pull(self._in_memory.take_next)
            else:
                item = await self._wait()
            if item is not None:
                return item

    def _pull(self, take: Callable[[], object]) -> ItemT | None:
        """Return the next item of a source that does not wait; None to check again."""
        try:
            item = self._check(take())
        except StopIteration:
            self._source_ended(True, None)
        except (KeyboardInterrupt, SystemExit) as exc:
            self._source_ended(False, exc)
            # Raised in a worker, it would arrive inside exception groups.
            asyncio.get_running_loop().call_soon(_raise, exc)
        except BaseException as exc:  # noqa: BLE001 - raised after the outcomes of all sent items
            self._source_ended(False, exc)
        else:
            if self._closed:
                self.left.append(item)  # the source itself stopped the run
            elif self._ahead.offer(item):
                return item
        return None

    def _is_wanted(self) -> bool:
        return bool(self._waiting) and not self._ahead.full

    def _take(self, raw: object) -> None:
        """Take an item from an asynchronous source."""
        item = self._check(raw)
        if self._closed:
            self.left.append(item)
        elif self._ahead.offer(item) and not self._wake(item):
            self._ahead.put_back(item)

    def _check(self, item: object) -> ItemT:
        self._pulled += 1
        try:
            return self._read_item(item)
        except ValueError as exc:
            raise ValueError(f"item {self._pulled}: {exc}") from exc
        except TypeError as exc:
            raise TypeError(f"item {self._pulled}: {exc}") from exc

    def _source_ended(self, complete: bool, failure: BaseException | None) -> None:
        self.exhausted = True
        self.complete = complete and failure is None
        if isinstance(failure, asyncio.CancelledError):
            items = "1 item" if self._pulled == 1 else f"{self._pulled} items"
            cancelled = InputCancelled(f"the input was cancelled after {items}")
            cancelled.__cause__ = failure
            failure = cancelled
        elif isinstance(failure, StopAsyncIteration):
            # Raised unchanged, it would end the stream of outcomes like a normal end.
            stopped = RuntimeError("the input raised StopAsyncIteration")
            stopped.__cause__ = failure
            failure = stopped
        self.failure = failure
        if failure is not None:
            self._failed()
        self._wake_all()

    def finished(self, item: ItemT) -> None:
        """Free the machine of a finished item."""
        ready = self._ahead.finished(item)
        if not self._waiting:
            return
        if ready or (self._reader is None and not self._ahead.full):
            self._wake(None)
        if self._reader is not None:
            self._reader.wake()

    def close(self) -> None:
        """Read no more items. Items that were read and not started are in `left`."""
        if self._closed:
            return
        self.exhausted = self._closed = True
        if self._reader is not None:
            self._reader.close()
        self.left.extend(self._ahead.drain())
        self._wake_all()

    async def aclose(self) -> None:
        """Close, and wait until an asynchronous source is closed. A cancellation ends the wait."""
        self.close()
        if self._reader is not None:
            await self._reader.wait()
        self._leave()

    async def abandon(self) -> None:
        """Like `aclose`, but forward cancellations to the source."""
        self.close()
        try:
            if self._reader is not None:
                await self._reader.wait_closed()
        finally:
            self._leave()

    def cancel(self) -> None:
        """Cancel an asynchronous source that is being closed."""
        if self._closed and self._reader is not None:
            self._reader.cancel()

    def raise_fatal(self) -> None:
        """Raise an error of the source that is not an Exception, after the consumer has left."""
        failure = self.failure
        # The event loop has already raised KeyboardInterrupt and SystemExit.
        if failure is not None and not isinstance(
            failure, (Exception, KeyboardInterrupt, SystemExit, GeneratorExit)
        ):
            raise failure

    def _leave(self) -> None:
        if self._ahead.same in self._names.listeners:
            self._names.listeners.remove(self._ahead.same)
        self.left.extend(self._ahead.drain())

    async def _wait(self) -> ItemT | None:
        wakeup: asyncio.Future[ItemT | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(wakeup)
        if self._reader is not None:
            self._reader.wake()
        try:
            return await wakeup
        except BaseException:
            if not wakeup.done() or wakeup.cancelled():
                if wakeup in self._waiting:
                    self._waiting.remove(wakeup)
            elif (item := wakeup.result()) is not None:
                self._ahead.put_back(item)
            else:
                self._wake(None)  # pass the wake-up on to another worker
            raise
        finally:
            if wakeup.done() and not wakeup.cancelled() and wakeup.result() is None:
                self._woken -= 1

    def _wake(self, item: ItemT | None) -> bool:
        """Give an item, or None, to a waiting worker. Return False if no worker waits."""
        while self._waiting:
            wakeup = self._waiting.popleft()
            if not wakeup.done():
                wakeup.set_result(item)
                self._woken += item is None
                return True
        return False

    def _wake_all(self) -> None:
        while self._wake(None):
            pass


def _raise(exc: BaseException) -> None:
    raise exc
