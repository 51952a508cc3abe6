"""The emulator without its socket: from the parts of a request to its response.

`receive` counts a request and finds a reason to refuse it. `carry_out` changes the world later. The
server decides about latency and delivery.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from katapult_async.testing import arguments as args
from katapult_async.testing.delivery import Effect, effect_of
from katapult_async.testing.endpoints import ENDPOINTS
from katapult_async.testing.faults import Fault, Faults
from katapult_async.testing.ledger import Arrival, Ledger
from katapult_async.testing.limiters import Verdict
from katapult_async.testing.refusals import Refusal
from katapult_async.testing.routes import Route, Routes
from katapult_async.testing.tokens import Token
from katapult_async.testing.wire_form import Reply, WireForm
from katapult_async.testing.world import World

PREFIX = "/core/v1"
_ROUTES = Routes(ENDPOINTS)


class Incoming(NamedTuple):
    """The parts of one request. `path` starts with `/core/v1`."""

    method: str
    path: str
    query: Iterable[tuple[str, str]]
    content_type: str
    authorization: str
    body: bytes


@dataclass(slots=True)
class Call:
    """One request in progress."""

    arrival: Arrival
    arguments: args.Arguments
    verdict: Verdict | None = None
    refusal: Refusal | None = None
    fault: Fault | None = None

    @property
    def effect(self) -> Effect:
        """The effect of the request's fault on its response."""
        return effect_of(None if self.fault is None else self.fault.kind)


class Backend:
    """The emulated cloud, its tokens and its faults. Attributes may be replaced at any time."""

    def __init__(
        self,
        *,
        world: World,
        ledger: Ledger,
        tokens: dict[str, Token],
        faults: Faults,
        form: WireForm,
        clock: Callable[[], float],
        clock_offset: float,
    ) -> None:
        self.world = world
        self.ledger = ledger
        self.tokens = tokens
        self.faults = faults
        self.form = form
        self.clock_offset = clock_offset
        self._clock = clock

    def now(self) -> float:
        """Return the time of the server's clock: Unix time in seconds."""
        return self._clock() + self.clock_offset

    def foreign(self, requests: int, *, method: str = "POST", path: str = "/disks/disk/assign") -> int:
        """Count requests of another client on the first token.

        Args:
            requests: Number of requests.
            method: Their method.
            path: Their path, without `/core/v1`.

        Returns:
            The number of permitted requests.
        """
        limiter = next(iter(self.tokens.values())).limiter(method, path)
        now = self.now()
        return sum(limiter.hit(now).allowed for _ in range(requests))

    def receive(self, request: Incoming) -> Call:
        """Record and count a request, and find a reason to refuse it. Nothing else changes yet."""
        now = self.now()
        self.world.advance(now)
        path = request.path.removeprefix(PREFIX)
        route = _ROUTES.find(request.method, path) if request.path.startswith(PREFIX) else None
        name = request.authorization.removeprefix("Bearer ").strip()
        arguments, unreadable = _read(request, route)
        disk = args.peek(arguments, "disk", "id")
        machine = self.world.locate(
            disk,
            args.peek(arguments, "virtual_machine", "id"),
            args.peek(arguments, "virtual_machine", "fqdn"),
        )
        documented = path if route is None else route.path
        arrival = self.ledger.arrive(
            now, request.method, documented, name or None, disk=disk, virtual_machine=machine
        )
        call = Call(arrival, args.Arguments(arguments))
        try:
            self._admit(call, known=route is not None, unreadable=unreadable)
        except Refusal as refusal:
            call.refusal = refusal
        if not arrival.refused:
            call.fault = self.faults.draw(arrival)
            arrival.fault = call.fault and call.fault.kind.value
        return call

    def _admit(self, call: Call, *, known: bool, unreadable: Refusal | None) -> None:
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
        if not known:
            raise Refusal("route_not_found")
        token.check(ENDPOINTS[arrival.method, arrival.path].scopes)
        if unreadable is not None:
            raise unreadable

    def carry_out(self, call: Call) -> Reply:
        """Carry out a request, unless it is refused, and encode the response."""
        try:
            status, payload = self._change(call)
        except Refusal as refusal:
            return self.form.refused(refusal, self.now(), call.verdict)
        return self.form.answered(status, payload, self.now(), call.verdict)

    def _change(self, call: Call) -> tuple[int, dict[str, Any]]:
        if call.refusal is not None:
            raise call.refusal
        arrival = call.arrival
        answer: tuple[int, dict[str, Any]] = 200, {}
        if call.fault is None or call.fault.applies:
            now = self.now()
            self.world.advance(now)
            answer = ENDPOINTS[arrival.method, arrival.path].answer(self.world, call.arguments, now)
        if call.effect.refusal is not None:
            raise Refusal(call.effect.refusal)
        return answer


def _read(request: Incoming, route: Route | None) -> tuple[dict[str, Any], Refusal | None]:
    """Return the arguments, and the refusal of an unreadable body."""
    unreadable = None
    body: dict[str, Any] = {}
    try:
        body = args.from_body(request.body, request.content_type)
    except Refusal as refusal:
        unreadable = refusal
    arguments = args.merged(args.from_query(request.query), body)
    if route is not None:
        route.fill_in(arguments)
    return arguments, unreadable
