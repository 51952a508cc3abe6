"""Reads an asynchronous source in a task of its own: from the first item to the last, and through its closing.

A source may hold a time-out, a cancel scope or a task group while it is suspended at a `yield`. Those belong to the task
that runs the source. So one task runs it all the time, outside of all scopes of the run, and nothing else runs there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

#: Seconds that a source has for its cleanup when it is cancelled or closed early. Then it is cancelled again.
CLEANUP_SECONDS = 5.0


# These end the event loop, or are its end: nothing of the run can wait for them.
_AT_ONCE = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Reader(Generic[T]):
    """Reads the source item by item, only while `wanted()` is true.

    Args:
        source: The source. It is closed at the end if it has an `aclose` method.
        wanted: Tells whether an item is wanted now. Call `wake` when that has changed.
        take: Called with each item.
        ended: Called once when the source has ended: with None when it was read to its end or the reader was closed,
            else with the error. The first argument says whether it was read to its end.
    """

    def __init__(
        self,
        source: AsyncIterator[T],
        *,
        wanted: Callable[[], bool],
        take: Callable[[T], None],
        ended: Callable[[bool, BaseException | None], None],
    ) -> None:
        self._source = source
        self._wanted = wanted
        self._take = take
        self._ended = ended
        self._closed = False
        # Whether the source is running, and how often this reader has cancelled it.
        self._asking = False
        self._cancellations = 0
        # Whether the source has come to its own end: then nothing hurries its closing.
        self._finished = False
        self._next_cancellation: asyncio.TimerHandle | None = None
        self._wake: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(self._read(), name="katapult_async: input")

    def wake(self) -> None:
        """Look again whether an item is wanted."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        """Read nothing more. An item that the source is waiting for is not waited for."""
        if not self._closed:
            self._closed = True
            self.wake()
            # Not at once: the source itself may be the caller.
            asyncio.get_running_loop().call_soon(self._interrupt)

    def cancel(self) -> None:
        """Cancel the source now, and again every CLEANUP_SECONDS until it is closed. Call `close` first."""
        if self._task.done():
            return
        self._cancellations += 1
        self._task.cancel()
        self._cancel_later()

    async def wait(self) -> None:
        """Wait until the source is closed. A cancellation ends the wait, and leaves the source alone."""
        if not self._task.done():
            await asyncio.wait([self._task])

    async def wait_closed(self) -> None:
        """Wait until the source is closed, whatever happens. Passes each cancellation of the caller on to it.

        A cancelled scope of anyio cancels every wait inside it, over and over. It counts as one cancellation,
        or no source could clean up.
        """
        cancelled: asyncio.CancelledError | None = None
        with anyio.CancelScope() as scope:
            while not self._task.done():
                try:
                    await asyncio.wait([self._task])
                except asyncio.CancelledError as exc:  # noqa: PERF203 - each one counts
                    cancelled = exc
                    if anyio.current_effective_deadline() == -math.inf:
                        scope.shield = True
                        if self._next_cancellation is None:
                            self._cancel_later()
                    else:
                        self.cancel()
        if not self._task.cancelled():
            self._task.exception()  # a KeyboardInterrupt has gone through the event loop already
        if cancelled is not None:
            raise cancelled

    def _interrupt(self) -> None:
        if self._asking:
            self.cancel()
        elif not self._finished and not self._task.done():
            self._cancel_later()

    def _cancel_later(self) -> None:
        if self._next_cancellation is not None:
            self._next_cancellation.cancel()
        loop = asyncio.get_running_loop()
        self._next_cancellation = loop.call_later(CLEANUP_SECONDS, self.cancel)

    async def _read(self) -> None:
        try:
            complete, failure = await self._read_items()
            self._finished = complete or failure is not None
            error = await self._close_source()
            self._ended(complete, failure or error)
            if isinstance(error, _AT_ONCE):
                raise error
        finally:
            if self._next_cancellation is not None:
                self._next_cancellation.cancel()

    async def _read_items(self) -> tuple[bool, BaseException | None]:
        """Read until the source ends or the reader is closed. Whether it was the end, and the error."""
        try:
            while not self._closed:
                if self._wanted():
                    item = await self._ask(None)
                elif (expired := await self._wait()) is not None:
                    item = await self._ask(expired)
                else:
                    continue
                self._take(item)
        except StopAsyncIteration:
            return True, None
        except asyncio.CancelledError as exc:
            # Without a cause of ours, somebody else's task was cancelled, or a time-out of the source has expired.
            return False, None if self._cancellations else exc
        except _AT_ONCE as exc:
            self._ended(False, exc)
            raise
        except BaseException as exc:  # noqa: BLE001 - handed to the consumer
            return False, exc
        return False, None

    async def _ask(self, thrown: BaseException | None) -> T:
        """The next item. thrown: raise this in the source, where it is suspended."""
        self._asking = True
        try:
            if thrown is None:
                return await self._source.__anext__()
            throw = getattr(self._source, "athrow", None)
            if throw is None:
                raise thrown
            item: T = await throw(thrown)
            return item
        finally:
            self._asking = False

    async def _wait(self) -> asyncio.CancelledError | None:
        """Wait for `wake`. A time-out that the source holds while it is suspended cancels this wait: return that."""
        self._wake = asyncio.get_running_loop().create_future()
        try:
            if not self._wanted() and not self._closed:
                await self._wake
        except asyncio.CancelledError as exc:
            return exc
        finally:
            self._wake = None
        return None

    async def _close_source(self) -> BaseException | None:
        if (uncancel := getattr(self._task, "uncancel", None)) is not None:
            for _ in range(self._cancellations):
                uncancel()  # from Python 3.11 on: a time-out in the closing must not take this for its own
        close = getattr(self._source, "aclose", None)
        if close is None:
            return None
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await close()
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - handed to the consumer
                return exc
        return None
