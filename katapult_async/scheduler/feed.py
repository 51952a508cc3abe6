"""The input of a run: pulled item by item as workers get free, never pushed, never read ahead further than the
look-ahead allows. Does not know what is done with an item.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

import anyio

from .lookahead import LookAhead
from .outcome import Assignment

Item = Assignment | tuple[str, str] | str
Items = Iterable[Item] | AsyncIterable[Item]


class Feed:
    """Hands out items to workers, at most `per_machine` of one machine at a time."""

    def __init__(self, items: Items, *, per_machine: int, bound: int, needs_virtual_machine: bool) -> None:
        self._source: Iterator[Item] | None = None
        self._async_source: AsyncIterator[Item] | None = None
        if isinstance(items, AsyncIterable):
            self._async_source = items.__aiter__()
        else:
            self._source = iter(items)
        self._needs_virtual_machine = needs_virtual_machine
        self._ahead = LookAhead(per_machine=per_machine, bound=bound)
        self._exhausted = False
        self._closed = False
        # While an asynchronous source is asked: the scope of the worker that asks.
        self._pulling: anyio.CancelScope | None = None
        #: Pulled and not started when the feed was closed.
        self.left: list[Assignment] = []
        #: What the source has raised.
        self.failure: Exception | None = None
        self._waiting: deque[anyio.Event] = deque()

    def __repr__(self) -> str:
        return f"<Feed exhausted={self._exhausted} {self._ahead!r}>"

    async def next(self, scope: anyio.CancelScope) -> Assignment | None:
        """The next item that may be started now; None when there is none any more. scope: what may be cancelled while
        the source is asked, by `close`.
        """
        ahead = self._ahead
        while True:
            ready = ahead.next_ready()
            if ready is not None:
                return ready
            if self._exhausted and not ahead.parked:
                return None
            if self._exhausted or ahead.full or self._pulling is not None:
                await self._wait()
                continue
            item = await self._pull(scope)
            if item is None:
                continue
            if self._closed:
                self.left.append(item)  # it came while the feed was closed
            elif ahead.offer(item):
                return item

    async def _pull(self, scope: anyio.CancelScope) -> Assignment | None:
        """The next item of the source; None when it has no more, has failed, or the feed is closed meanwhile."""
        try:
            if self._source is not None:
                return self._check(next(self._source))
            assert self._async_source is not None  # noqa: S101 - one of the two is always there
            self._pulling = scope
            try:
                return self._check(await self._async_source.__anext__())
            finally:
                self._pulling = None
                self._wake(1)
        except (StopIteration, StopAsyncIteration):
            self._exhausted = True
        except Exception as exc:  # noqa: BLE001 - raised when what is under way has come out
            self.failure = exc
            self._exhausted = True
        self._wake(len(self._waiting))
        return None

    def _check(self, item: Item) -> Assignment:
        if isinstance(item, str):
            item = Assignment(item)
        elif not isinstance(item, Assignment):
            item = Assignment(*item)
        if self._needs_virtual_machine and item.virtual_machine is None:
            raise ValueError(f"no virtual machine is given for {item.disk}")
        return item

    def finished(self, item: Assignment) -> None:
        """An item is done with its machine."""
        if self._ahead.finished(item) or self._exhausted:
            self._wake(1 if not self._exhausted else len(self._waiting))
        elif not self._ahead.full:
            self._wake(1)

    def close(self) -> None:
        """Pull nothing any more. What has been pulled and not started is in `left`."""
        self._exhausted = self._closed = True
        if self._pulling is not None:
            self._pulling.cancel()  # a source that has nothing to say now may never have
        self.left += self._ahead.drain()
        self._wake(len(self._waiting))

    async def _wait(self) -> None:
        event = anyio.Event()
        self._waiting.append(event)
        try:
            await event.wait()
        except BaseException:
            if event.is_set():
                self._wake(1)  # the wake-up was meant for somebody who can use it
            else:
                self._waiting.remove(event)
            raise

    def _wake(self, count: int) -> None:
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft().set()
