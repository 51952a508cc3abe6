"""The input of a run: pulled item by item as workers get free, never pushed, never read ahead further than the
look-ahead allows. Does not know what is done with an item.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from typing import Generic

from katapult_async.transport import MachineNames

from .item import ItemT
from .look_ahead import LookAhead
from .reader import Reader


class InputCancelled(RuntimeError):
    """Reading the input was cancelled by something other than the run."""


class Feed(Generic[ItemT]):
    """Hands out items to workers, at most `per_machine` of one machine at a time.

    Args:
        items: The input.
        per_machine: Items of one machine that may be started at the same time.
        bound: Items for busy machines that are read ahead at most.
        read_item: Turns what the input gives into an item, or raises TypeError or ValueError.
        names: The names of machines that are known.
        failed: Called when the input has failed: no more items will come.
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
        self._source: Iterator[object] | None = None
        self._reader: Reader[object] | None = None
        self._read_item = read_item
        self._failed = failed
        self._names = names
        self._ahead: LookAhead[ItemT] = LookAhead(per_machine=per_machine, bound=bound, names=names)
        self._closed = False
        self._pulled = 0
        # Workers that wait for an item, or for a reason to look again (None).
        self._waiting: deque[asyncio.Future[ItemT | None]] = deque()
        # Those that will look again and have not done so yet.
        self._woken = 0
        #: Whether the input has no more items, or none that are wanted.
        self.exhausted = False
        #: Whether the input was read to its end.
        self.complete = False
        #: Pulled and not started when the feed was closed.
        self.left: deque[ItemT] = deque()
        #: What has ended the input, unless that was its end.
        self.failure: BaseException | None = None
        if isinstance(items, AsyncIterable):
            self._reader = Reader(
                items.__aiter__(), wanted=self._is_wanted, take=self._take, ended=self._source_ended
            )
        else:
            self._source = iter(items)
        names.listeners.append(self._ahead.same)

    def __repr__(self) -> str:
        return f"<Feed pulled={self._pulled} exhausted={self.exhausted} {self._ahead!r}>"

    @property
    def idle(self) -> bool:
        """Whether a worker waits for an item."""
        return bool(self._waiting) or self._woken > 0

    @property
    def pulled(self) -> int:
        """Items that the input has given."""
        return self._pulled

    async def next(self) -> ItemT | None:
        """The next item that may be started now; None when this worker is not needed any more.

        Once the input is exhausted, a worker that finishes an item takes the next one of that machine itself.
        """
        ahead = self._ahead
        while True:
            item = ahead.next_ready()
            if item is not None:
                return item
            if self.exhausted:
                return None
            item = (
                self._pull(self._source)
                if self._source is not None and not ahead.full
                else await self._wait()
            )
            if item is not None:
                return item

    def _pull(self, source: Iterator[object]) -> ItemT | None:
        """The next item of a synchronous source; None to look again."""
        try:
            item = self._check(next(source))
        except StopIteration:
            self._source_ended(True, None)
        except (KeyboardInterrupt, SystemExit) as exc:
            self._source_ended(False, exc)
            # Through the event loop, at once: in a worker it would arrive in groups.
            asyncio.get_running_loop().call_soon(_raise, exc)
        except BaseException as exc:  # noqa: BLE001 - raised when what is under way has come out
            self._source_ended(False, exc)
        else:
            if self._closed:
                self.left.append(item)  # the source itself has stopped the run
            elif self._ahead.offer(item):
                return item
        return None

    def _is_wanted(self) -> bool:
        return bool(self._waiting) and not self._ahead.full

    def _take(self, raw: object) -> None:
        """An item of an asynchronous source."""
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
            # Raised as it is, it would end the stream of outcomes as if nothing had happened.
            stopped = RuntimeError("the input raised StopAsyncIteration")
            stopped.__cause__ = failure
            failure = stopped
        self.failure = failure
        if failure is not None:
            self._failed()
        self._wake_all()

    def finished(self, item: ItemT) -> None:
        """An item is done with its machine."""
        ready = self._ahead.finished(item)
        if not self._waiting:
            return
        if ready or (self._reader is None and not self._ahead.full):
            self._wake(None)
        if self._reader is not None:
            self._reader.wake()

    def close(self) -> None:
        """Pull nothing any more. What has been pulled and not started is in `left`."""
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
        """Close, and wait until an asynchronous source is closed. Passes cancellations on to the source."""
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
        """Raise what the source raised if it is no Exception, for a consumer that has left."""
        failure = self.failure
        # KeyboardInterrupt and SystemExit have gone through the event loop already.
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
                self._wake(None)  # it was meant for a worker that can use it
            raise
        finally:
            if wakeup.done() and not wakeup.cancelled() and wakeup.result() is None:
                self._woken -= 1

    def _wake(self, item: ItemT | None) -> bool:
        """Give an item to a waiting worker, or let one look again. False if none waits."""
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
