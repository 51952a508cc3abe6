"""The emulator's server: real HTTP on loopback, from the bytes of a request to the bytes of its answer.

Order of events, for each request: it arrives and is counted by its token's limiter; half of the latency; the world
changes; the other half; the answer leaves. What the world does, how a limiter counts and which request a fault
strikes are decided elsewhere; here they are put together.
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
from katapult_async.testing.ledger import Ledger
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

    What nearly every test says (how many disks and machines, the limit, the tokens) is a keyword argument.
    How requests are counted and what answers say are settings of their own, because most tests need none
    of them: `counting=Counting(limit=20, period=2.0)`, `answers=Answers(headers=False)`.

    Args:
        disks: Number of disks, or their IDs.
        virtual_machines: Number of virtual machines, or their IDs.
        boot_disks: Whether each machine also has a boot disk of its own.
        task_duration: Seconds that a task takes.
        large_set: Whether paginations leave out their totals.
        tokens: The API tokens that it accepts. Each has its own counter.
        limit: Requests permitted per minute. The same as `counting=Counting(limit=…)`.
        counting: How it counts the requests of each token.
        answers: What its answers say beside their content.
        faults: Which requests fail, and how.
        latency: Seconds that a request takes, or (lowest, highest).
        clock: The server's clock, Unix time in seconds.
        clock_offset: Seconds that are added to the clock.
        seed: The same seed makes the same IDs, latencies and request IDs.
        keep_ledger: False keeps the counters of the ledger only, for servers that run for days.
        port: Port to listen on. 0: any free one.
        ssl_context: For HTTPS.

    Attributes:
        world: The disks and machines.
        ledger: What was requested and changed.
        tokens: The tokens by name.
        faults: As given.
        latency: As given.
        clock_offset: As given.
        form: The options of Answers, under their own names.

    All attributes may be changed in mid-run. `set_limit` changes the limit.

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

    # -- life -------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to listen on 127.0.0.1."""
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
        """Stop listening, cut off whatever is being answered and leave nothing behind."""
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

    @property
    def port(self) -> int:
        """The port it listens on, or did; 0 before it was started."""
        return self._port

    @property
    def url(self) -> str:
        """Base URL, as clients take it: `http://127.0.0.1:PORT/core/v1`."""
        scheme = "http" if self._ssl_context is None else "https"
        return f"{scheme}://127.0.0.1:{self._port}{PREFIX}"

    @property
    def ledger_url(self) -> str:
        """Where the ledger can be read as JSON (GET), without a token and without being counted."""
        return self.url.removesuffix(PREFIX) + watching.LEDGER

    # -- what tests do in mid-run -----------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Change the limit of every token from the next request on."""
        self._limit = limit
        for token in self.tokens.values():
            token.set_limit(limit)

    # -- one request ------------------------------------------------------------------------------------------

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
        gone = None
        if pause:
            try:
                await asyncio.sleep(pause)
            except asyncio.CancelledError as cancelled:
                if self._stopping:
                    raise
                # The client hung up while its request was under way: that does not take the request back.
                gone = cancelled
        reply = self.carry_out(call)
        if gone is not None:
            raise gone
        if pause:
            await asyncio.sleep(pause)

        def sent(status: int) -> None:
            call.arrival.status = status

        return await deliver(request, reply, call.effect, self.faults.hang, sent)

    def _draw_latency(self) -> float:
        if isinstance(self.latency, tuple):
            return self._rng.uniform(*self.latency)
        return self.latency

    def __repr__(self) -> str:
        where = f"on port {self._port}" if self._runner is not None else "stopped"
        return f"KatapultEmulator({where}, {self.world!r}, {self.ledger!r})"
