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
from typing import Any, cast

from aiohttp import web

from katapult_async.testing import watching
from katapult_async.testing.backend import PREFIX, Backend, Call, Incoming
from katapult_async.testing.delivery import deliver
from katapult_async.testing.faults import Faults
from katapult_async.testing.ledger import Ledger
from katapult_async.testing.limiters import Limiter, LimiterKind, make_limiter
from katapult_async.testing.population import populate
from katapult_async.testing.tokens import Token
from katapult_async.testing.wire_form import WireForm
from katapult_async.testing.world import World


class KatapultEmulator(Backend):
    """A Katapult installation of one organisation, on loopback.

        async with KatapultEmulator(disks=1000, limit=200, period=2.0) as emulator:
            ...  # emulator.url, emulator.disk_ids, emulator.virtual_machine_ids, emulator.ledger

    Population: `disks` and `virtual_machines` are numbers or ids; `boot_disks` gives every machine one of its own
    beside them. `task_duration` in seconds. `large_set` keeps the totals out of paginations.

    Counting: each of `tokens` has its own limiter of the kind `limiter` with `limit` requests in `period` seconds
    (and `burst` for that kind); `count_refused` makes refused requests count; `limits_per_type` counts each method
    and path apart. `headers` sends the two X-Ratelimit headers, `headers_on_429` on refusals too. `retry_after`
    sends that header on a 429: True for the true seconds, a number for that number.

    What a 429 says: `absurd_429_details` is put in place of the limit as total_permitted (a list is cycled through,
    "missing" leaves it out). `description_null` makes the descriptions of errors null. `flat_errors` sends errors
    without their envelope, as the published page shows them.

    Time: `latency` in seconds, or (lowest, highest). The server's clock is `clock()` + `clock_offset`. `seed` makes
    ids, latencies and request ids the same again. `keep_ledger=False` keeps the ledger's counters only.

    Attributes, all of which may be changed in mid-run: world, ledger, tokens (by name), faults, latency,
    clock_offset, and form, with the options of headers and errors under their own names. The limit is changed by
    `set_limit`.
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
        limit: int = 1000,
        limiter: LimiterKind | str = "aligned",
        period: float = 60.0,
        burst: int | None = None,
        count_refused: bool = False,
        limits_per_type: bool = False,
        headers: bool = True,
        headers_on_429: bool = True,
        retry_after: bool | float = False,
        absurd_429_details: object = None,
        description_null: bool = False,
        flat_errors: bool = False,
        faults: Faults | None = None,
        latency: float | tuple[float, float] = 0.0,
        clock: Callable[[], float] = time.time,
        clock_offset: float = 0.0,
        seed: int = 0,
        keep_ledger: bool = True,
        port: int = 0,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        ledger = Ledger(keep_arrivals=keep_ledger)
        world = World(seed=seed, task_duration=task_duration, on_change=ledger.apply)
        world.large_set = large_set
        self.disk_ids, self.virtual_machine_ids = populate(
            world, disks, virtual_machines, boot_disks=boot_disks
        )
        self._limit = limit

        def new_limiter() -> Limiter:
            return make_limiter(limiter, self._limit, period, burst=burst, count_refused=count_refused)

        form = WireForm(
            headers=headers,
            headers_on_429=headers_on_429,
            retry_after=retry_after,
            absurd_429_details=absurd_429_details,
            description_null=description_null,
            flat_errors=flat_errors,
            seed=seed,
        )
        super().__init__(
            world=world,
            ledger=ledger,
            tokens={name: Token(name, new_limiter, per_type=limits_per_type) for name in tokens},
            faults=faults or Faults(),
            form=form,
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
