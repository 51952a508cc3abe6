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
from dataclasses import dataclass
from types import TracebackType
from typing import Any, cast

from aiohttp import web

from katapult_async.testing import arguments as args
from katapult_async.testing.delivery import cut, damaged, truncate
from katapult_async.testing.endpoints import ENDPOINTS
from katapult_async.testing.faults import Fault, FaultKind, Faults
from katapult_async.testing.ledger import Arrival, Ledger
from katapult_async.testing.limiters import Limiter, LimiterKind, Verdict, make_limiter
from katapult_async.testing.population import populate
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.tokens import Token
from katapult_async.testing.wire_form import Reply, WireForm
from katapult_async.testing.world import World

PREFIX = "/core/v1"
_REPLACES_ANSWER = {
    FaultKind.UNAVAILABLE: "service_unavailable",
    FaultKind.SERVER_ERROR: "unhandled_exception",
}


@dataclass(slots=True)
class _Call:
    """One request on its way through the server."""

    arrival: Arrival
    arguments: dict[str, Any]
    verdict: Verdict | None = None
    refusal: Refusal | None = None
    fault: Fault | None = None


class KatapultEmulator:
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
        self.ledger = Ledger(keep_arrivals=keep_ledger)
        self.world = World(seed=seed, task_duration=task_duration, on_change=self.ledger.apply)
        self.world.large_set = large_set
        self.disk_ids, self.virtual_machine_ids = populate(
            self.world, disks, virtual_machines, boot_disks=boot_disks
        )
        self._limit = limit

        def new_limiter() -> Limiter:
            return make_limiter(limiter, self._limit, period, burst=burst, count_refused=count_refused)

        self.tokens = {name: Token(name, new_limiter, per_type=limits_per_type) for name in tokens}
        self.faults = faults or Faults()
        self.form = WireForm(
            headers=headers,
            headers_on_429=headers_on_429,
            retry_after=retry_after,
            absurd_429_details=absurd_429_details,
            description_null=description_null,
            flat_errors=flat_errors,
            seed=seed,
        )
        self.latency = latency
        self.clock_offset = clock_offset
        self._clock = clock
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

    # -- what tests do in mid-run -----------------------------------------------------------------------------

    @property
    def limit(self) -> int:
        return self._limit

    def set_limit(self, limit: int) -> None:
        """Change the limit of every token from the next request on."""
        self._limit = limit
        for token in self.tokens.values():
            token.set_limit(limit)

    def foreign(self, requests: int, *, method: str = "POST", path: str = "/disks/disk/assign") -> int:
        """Count requests of somebody else on the first token; how many of them were let through."""
        limiter = next(iter(self.tokens.values())).limiter(method, path)
        now = self.now()
        return sum(limiter.hit(now).allowed for _ in range(requests))

    def now(self) -> float:
        """The server's clock: unix time in seconds."""
        return self._clock() + self.clock_offset

    # -- one request ------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._handlers.add(task)
        try:
            call = self._receive(request, await request.read())
            try:
                return await self._answer(request, call)
            finally:
                self.ledger.leave(call.arrival)
        finally:
            self._handlers.discard(task)

    def _receive(self, request: web.BaseRequest, body: bytes) -> _Call:
        """Note the arrival, count it, and find what refuses it before anything is done."""
        now = self.now()
        self.world.advance(now)
        path = request.path.removeprefix(PREFIX)
        name = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        arguments: dict[str, Any] = {}
        unreadable = None
        try:
            arguments = args.from_body(body)
        except Refusal as refusal:
            unreadable = refusal
        if request.query_string:
            arguments = {**args.from_query(request.query.items()), **arguments}
        disk = args.peek(arguments, "disk", "id")
        machine = self.world.locate(
            disk,
            args.peek(arguments, "virtual_machine", "id"),
            args.peek(arguments, "virtual_machine", "fqdn"),
        )
        arrival = self.ledger.arrive(
            now, request.method, path, name or None, disk=disk, virtual_machine=machine
        )
        call = _Call(arrival, arguments)
        try:
            self._admit(call, known_prefix=request.path.startswith(PREFIX), unreadable=unreadable)
        except Refusal as refusal:
            call.refusal = refusal
        if not arrival.refused:
            call.fault = self.faults.draw(arrival)
            arrival.fault = call.fault and call.fault.kind.value
        return call

    def _admit(self, call: _Call, *, known_prefix: bool, unreadable: Refusal | None) -> None:
        arrival = call.arrival
        if arrival.token is None:
            raise Refusal("missing_api_token")
        token = self.tokens.get(arrival.token)
        if token is None:
            raise Refusal("invalid_api_token")
        verdict = call.verdict = token.limiter(arrival.method, arrival.path).hit(arrival.time)
        if not verdict.allowed:
            arrival.refused = True
            raise Refusal("rate_limit_reached", **self.form.details_of_429(verdict))
        endpoint = ENDPOINTS.get((arrival.method, arrival.path)) if known_prefix else None
        if endpoint is None:
            raise Refusal("route_not_found")
        token.check(endpoint.scopes)
        if unreadable is not None:
            raise unreadable

    async def _answer(self, request: web.BaseRequest, call: _Call) -> web.StreamResponse:
        fault = call.fault
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
        reply = self._apply(call)
        if gone is not None:
            raise gone
        if pause:
            await asyncio.sleep(pause)
        kind = None if fault is None else fault.kind
        if kind in {FaultKind.TIMEOUT_BEFORE, FaultKind.TIMEOUT_AFTER}:
            await asyncio.sleep(self.faults.hang)
            return cut(request)
        if kind in {FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER}:
            return cut(request)
        reply = damaged(reply, kind)
        call.arrival.status = reply.status
        if kind is FaultKind.TRUNCATED:
            return await truncate(request, reply)
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    def _apply(self, call: _Call) -> Reply:
        """Do what the request asks, unless it is refused or a fault prevents it, and encode the answer."""
        try:
            status, payload = self._carry_out(call)
        except Refusal as refusal:
            return self.form.refused(refusal, self.now(), call.verdict)
        return self.form.answered(status, payload, self.now(), call.verdict)

    def _carry_out(self, call: _Call) -> tuple[int, dict[str, Any]]:
        if call.refusal is not None:
            raise call.refusal
        arrival, fault = call.arrival, call.fault
        answer: tuple[int, dict[str, Any]] = 200, {}
        if fault is None or fault.applies:
            now = self.now()
            self.world.advance(now)
            answer = ENDPOINTS[arrival.method, arrival.path].answer(self.world, call.arguments, now)
        if fault is not None and fault.kind in _REPLACES_ANSWER:
            raise Refusal(_REPLACES_ANSWER[fault.kind])
        return answer

    def _draw_latency(self) -> float:
        if isinstance(self.latency, tuple):
            return self._rng.uniform(*self.latency)
        return self.latency

    def __repr__(self) -> str:
        where = f"on port {self._port}" if self._runner is not None else "stopped"
        return f"KatapultEmulator({where}, {self.world!r}, {self.ledger!r})"
