"""Read an asynchronous source in one task, from its first item until it is closed.

A source may hold a time-out, a cancel scope or a task group while it is suspended at a `yield`.
These belong to the task that runs the source. So exactly one task runs it, outside all scopes of
the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")

#: Seconds for the cleanup of a cancelled source, before it is cancelled again.
CLEANUP_SECONDS = 5.0

# These end the event loop, so they are raised at once.
_AT_ONCE = (KeyboardInterrupt, SystemExit, GeneratorExit)


class Reader(Generic[T]):
    """Reads the source item by item, only while `wanted()` is true.

    Args:
        source: The source. It is closed at the end if it has an `aclose` method.
        wanted: Returns whether an item is wanted now. Call `wake` when the result changes.
        take: Called with each item.
        ended: Called once when the source has ended. The first argument is whether it was read to
            its end. The second is its error, or None.
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
        # Whether the source ended by itself. Its cleanup then has no time limit.
        self._finished = False
        self._next_cancellation: asyncio.TimerHandle | None = None
        self._wake: asyncio.Future[None] | None = None
        self._task = asyncio.create_task(self._read(), name="katapult_async: input")

    def wake(self) -> None:
        """Check again whether an item is wanted."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        """Read no more items. Does not wait for an item that the source is waiting for."""
        if not self._closed:
            self._closed = True
            self.wake()
            # Later, because the source itself may be the caller.
            asyncio.get_running_loop().call_soon(self._interrupt)

    def cancel(self) -> None:
        """Cancel the source now, then every CLEANUP_SECONDS until it is closed."""
        if self._task.done():
            return
        self._cancellations += 1
        self._task.cancel()
        self._cancel_later()

    async def wait(self) -> None:
        """Wait until the source is closed. A cancellation ends the wait, but not the source."""
        if not self._task.done():
            await asyncio.wait([self._task])

    async def wait_closed(self) -> None:
        """Wait until the source is closed, and forward each cancellation of the caller to it.

        A cancelled anyio scope cancels every wait inside it again and again. It counts as one
        cancellation, so that the source can clean up.
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
            self._task.exception()  # the event loop has already raised a KeyboardInterrupt
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
        """Read until the source ends or the reader is closed. Return (whether it ended, error)."""
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
            # Unless this reader cancelled it: a cancelled task inside the source, or its time-out.
            return False, None if self._cancellations else exc
        except _AT_ONCE as exc:
            self._ended(False, exc)
            raise
        except BaseException as exc:  # noqa: BLE001 - raised in the consumer
            return False, exc
        return False, None

    async def _ask(self, thrown: BaseException | None) -> T:
        """Return the next item. Raise `thrown`, if given, in the suspended source first."""
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
        """Wait for `wake`. Return the CancelledError if a time-out of the source ends the wait."""
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
                uncancel()  # Python 3.11 and later: a time-out in the cleanup must not see our cancellation
        close = getattr(self._source, "aclose", None)
        if close is None:
            return None
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await close()
            except (asyncio.CancelledError, GeneratorExit):
                raise
            except BaseException as exc:  # noqa: BLE001 - raised in the consumer
                return exc
        return None
