"""The emulator's HTTP server on loopback.

The limiter of its token counts each request on arrival. The world changes after half of the
latency, and the response leaves after the other half.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web

from katapult_async.testing import watching
from katapult_async.testing.backend import PREFIX, Backend, Call, Incoming
from katapult_async.testing.delivery import deliver
from katapult_async.testing.faults import Faults
from katapult_async.testing.ledger import Ledger, Stall
from katapult_async.testing.population import populate
from katapult_async.testing.settings import Answers, Counting, OldSettings, group
from katapult_async.testing.tokens import Token
from katapult_async.testing.wire_form import WireForm
from katapult_async.testing.world import World

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


class KatapultEmulator(Backend):
    """A Katapult installation of one organization, on loopback: an asynchronous context manager.

        async with KatapultEmulator(disks=1000, limit=200) as emulator:
            ...  # emulator.url, emulator.disk_ids, emulator.virtual_machine_ids, emulator.ledger

    The settings that most tests need are keyword arguments. Two groups of rarer settings are
    objects: `counting=Counting(limit=20, period=2.0)` and `answers=Answers(headers=False)`.

    Args:
        disks: Number of disks, or their IDs.
        virtual_machines: Number of virtual machines, or their IDs.
        boot_disks: Whether each machine also has a boot disk.
        task_duration: Duration of a task in seconds.
        large_set: Whether paginations have no totals.
        tokens: The accepted API tokens. Each has its own counter.
        limit: Requests permitted per minute. The same as `counting=Counting(limit=…)`.
        counting: How to count the requests of each token.
        answers: The form of responses.
        faults: Which requests fail, and how.
        latency: Duration of a request in seconds, or (lowest, highest).
        clock: Returns the time of the server's clock, in Unix seconds.
        clock_offset: Seconds to add to the clock.
        seed: The same seed makes the same IDs, latencies and request IDs.
        keep_ledger: False keeps only the counters of the ledger, for servers that run for days.
        port: Port to listen on. 0 for any free port.
        ssl_context: For HTTPS.

    Attributes:
        world: The disks and machines.
        ledger: The requests and changes.
        tokens: The tokens by name.
        faults: As given.
        latency: As given.
        clock_offset: As given.
        form: The options of Answers, under their own names.

    All attributes may be changed at any time. `set_limit` changes the limit.

    Raises:
        TypeError: If both `limit` and `counting` are given.
    """

    def __init__(
        self,
        *,
        disks: int | Iterable[str] = 100,
        virtual_machines: int | Iterable[str] = 10,
        boot_disks: bool = False,
        task_duration: float = 0.1,
        large_set: bool = False,
        tokens: Iterable[str] = ("token",),
        limit: int | None = None,
        counting: Counting | None = None,
        answers: Answers | None = None,
        faults: Faults | None = None,
        latency: float | tuple[float, float] = 0.0,
        clock: Callable[[], float] = time.time,
        clock_offset: float = 0.0,
        seed: int = 0,
        keep_ledger: bool = True,
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
        **old: Unpack[OldSettings],
    ) -> None:
        counting, answers = group(limit, counting, answers, **old)
        ledger = Ledger(keep_arrivals=keep_ledger)
        world = World(seed=seed, task_duration=task_duration, on_change=ledger.apply)
        world.large_set = large_set
        self.disk_ids, self.virtual_machine_ids = populate(
            world, disks, virtual_machines, boot_disks=boot_disks
        )
        self._limit = counting.limit
        make = counting.limiter_of(lambda: self._limit)
        super().__init__(
            world=world,
            ledger=ledger,
            tokens={name: Token(name, make, per_type=counting.per_type) for name in tokens},
            faults=faults or Faults(),
            form=WireForm(answers, seed=seed),
            clock=clock,
            clock_offset=clock_offset,
        )
        self.latency = latency
        self._rng = random.Random(seed)
        self._port = port
        self._ssl_context = ssl_context
        self._runner: web.ServerRunner | None = None
        self._handlers: set[asyncio.Task[Any]] = set()
        self._stopping = False
        self._stalled_until = 0.0

    async def start(self) -> None:
        """Start to listen on 127.0.0.1."""
        if self._runner is not None:
            raise RuntimeError("the emulator has been started already")
        self._stopping = False
        server = web.Server(self._handle, handler_cancellation=True, access_log=None, lingering_time=0)
        runner = self._runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=1024, ssl_context=self._ssl_context)
        try:
            await site.start()
        except OSError:
            await self.stop()
            raise
        self._port = cast("tuple[str, int]", runner.addresses[0])[1]

    async def stop(self) -> None:
        """Stop listening and close all connections, including those of requests in progress."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        self._stopping = True
        for handler in self._handlers:
            handler.cancel()
        await runner.cleanup()

    async def __aenter__(self) -> KatapultEmulator:
        await self.start()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()
        raised, self.faults.raised = self.faults.raised, None
        if raised is not None and exc is None:
            raise raised

    @property
    def port(self) -> int:
        """The port, also after `stop`. 0 before the first `start`."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL for clients: `http://127.0.0.1:PORT/core/v1`."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}{PREFIX}"

    @property
    def ledger_url(self) -> str:
        """URL of the ledger as JSON (GET). It needs no token, and such requests are not counted."""
        return self.url.removesuffix(PREFIX) + watching.LEDGER

    @property
    def limit(self) -> int:
        """Requests permitted per period."""
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Change the limit of every token from the next request on."""
        self._limit = limit
        for token in self.tokens.values():
            token.set_limit(limit)

    def stall(self, seconds: float) -> None:
        """Answer nothing for some time, from now on. Requests that arrive meanwhile wait.

        They are counted when they arrive, and carried out after the stall. `ledger.stalls` has the
        time of the stall.

        Args:
            seconds: Length of the stall.

        Raises:
            ValueError: If the length is not positive.
        """
        if not seconds > 0:
            raise ValueError(f"a stall lasts more than 0 seconds, not {seconds!r}")
        now = self.now()
        self._stalled_until = time.monotonic() + seconds
        self.ledger.stalls.append(Stall(now, now + seconds))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith(watching.PREFIX):
            return watching.answer(request.method, request.path, self)
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._handlers.add(task)
        try:
            call = self.receive(
                Incoming(
                    request.method,
                    request.path,
                    request.query.items() if request.query_string else (),
                    request.headers.get("Content-Type", ""),
                    request.headers.get("Authorization", ""),
                    await request.read(),
                )
            )
            try:
                return await self._answer(request, call)
            finally:
                self.ledger.leave(call.arrival)
        finally:
            self._handlers.discard(task)

    async def _answer(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        pause = self._draw_latency() / 2
        before = pause + max(self._stalled_until - time.monotonic(), 0.0)
        gone = None
        if before:
            try:
                await asyncio.sleep(before)
            except asyncio.CancelledError as cancelled:
                if self._stopping:
                    raise
                # The client closed the connection. The server carries out the request all the same.
                gone = cancelled
        reply = self.carry_out(call)
        if gone is not None:
            raise gone
        if pause:
            await asyncio.sleep(pause)

        def sent(status: int) -> None:
            call.arrival.status = status
            call.arrival.answered = self.now()

        return await deliver(request, reply, call.effect, self.faults.hang, sent)

    def _draw_latency(self) -> float:
        if isinstance(self.latency, tuple):
            return self._rng.uniform(*self.latency)
        return self.latency

    def __repr__(self) -> str:
        where = f"on port {self._port}" if self._runner is not None else "stopped"
        return f"KatapultEmulator({where}, {self.world!r}, {self.ledger!r})"
