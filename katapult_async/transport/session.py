"""Sends the requests of one token: an Operation in, a decoded struct out.

For each request the session takes a permit from the token's gate, sends, reports the response to
the gate, and returns a struct or raises an error. A 429 is not an error here: the request goes back
to the head of the queue and waits for the next permit. The session does not decide what a bulk run
does about an error.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NoReturn, Protocol, TypeVar

import anyio
import anyio.lowlevel
import msgspec
from yarl import URL

from katapult_async.budget import SharedGate
from katapult_async.errors import (
    Execution,
    KatapultError,
    ProtocolError,
    RateLimitReached,
    TransportError,
    error_from_response,
)
from katapult_async.logs import package_logger
from katapult_async.observer import Observer, Observers, RequestEvent, RetryEvent, WaitEvent, check_observer
from katapult_async.ratelimit import (
    BreakerGate,
    Ceiling,
    Charges,
    Evidence,
    GateByType,
    Permit,
    Priority,
    Wait,
    WaitReason,
    read_evidence,
)

from .machine_names import MachineNames
from .operation import Operation
from .retry import RetryPolicy, may_repeat
from .wire import Exchange, Reply, client_is_closed

R = TypeVar("R")

log = package_logger("transport")

Query = Sequence[tuple[str, str]]

_encode = msgspec.json.Encoder().encode
_WITH_BODY = {"Content-Type": "application/json"}
_NO_BODY: dict[str, str] = {}


class Meter(Protocol):
    """Counts what one item of a bulk run costs.

    Attributes:
        requests: Requests sent.
        rate_limited: 429s received.
        elapsed: Seconds of its reads, its failed writes and the pauses between them, without 429s
            and without waits for the rate limit.
        request_id: The API's ID of the last request that got a response.
        on_the_wire: Whether a request is in flight.
        stopping: Whether no further request may be sent.
        breaker: The circuit breaker of the run; None outside a run.
        date: The `Date` header of the last response to a GET.
        started_at: When the work on the item began, Unix time in seconds.
    """

    requests: int
    rate_limited: int
    elapsed: float
    request_id: str | None
    date: str | None
    on_the_wire: bool
    stopping: bool

    @property
    def started_at(self) -> float | None: ...

    @property
    def breaker(self) -> BreakerGate | None: ...


class RunStopped(KatapultError):
    """The run was stopped before this request was sent. Never raised to users."""

    execution = Execution.NOT_EXECUTED


class Session:
    """Sends the requests of one token.

    `SessionPool.session` creates it, and `SessionPool.close_session` closes it.

    Args:
        wire: Sends one request and returns its response.
        gate: Gives out permits. All sessions of the token share it.
        base_url: The installation.
        retry: When a failed request is sent again.
        ceiling: This session's own limit of requests per second; None for none.
        observer: Gets the events of this session.
    """

    def __init__(
        self,
        wire: Exchange,
        gate: GateByType | SharedGate,
        *,
        base_url: str,
        retry: RetryPolicy,
        ceiling: Ceiling | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._wire = wire
        self._gate = gate
        self._ceiling = ceiling
        self._base_url = base_url
        self._urls: dict[str, URL] = {}
        self._retry = retry
        self._observers = Observers()
        self._unsubscribe = self._subscribe(observer) if observer is not None else None
        self._closed = False
        # The scopes of requests that wait for a permit. Closing the session cancels them.
        self._waits: set[anyio.CancelScope] = set()
        self._rng = random.Random()  # noqa: S311 - spreads retries, keeps no secret
        self._warned_of_limit = False
        #: The names of virtual machines that responses have shown.
        self.machines = MachineNames()

    def __repr__(self) -> str:
        return f"<Session {self._base_url} {self._gate!r}>"

    @property
    def closed(self) -> bool:
        """Whether the session is closed."""
        return self._closed

    async def close(self) -> None:
        """Send nothing further, and report nothing further to the observer.

        Requests that wait for a permit fail at once. Requests in flight end normally. Other
        sessions of the token are not affected.
        """
        self._closed = True
        for scope in self._waits:
            scope.cancel()
        unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()
        await self._wire.close()

    @property
    def gate(self) -> GateByType | SharedGate:
        """The gate of the token."""
        return self._gate

    @property
    def ceiling(self) -> Ceiling | None:
        """The session's own limit of requests per second, if it has one."""
        return self._ceiling

    @property
    def retry(self) -> RetryPolicy:
        """When a failed request is sent again."""
        return self._retry

    @property
    def base_url(self) -> str:
        """The installation."""
        return self._base_url

    @property
    def observers(self) -> Observers:
        """The observers of this session."""
        return self._observers

    @contextmanager
    def watching(self, observer: Observer) -> Iterator[None]:
        """Send events to `observer`, too, inside the block."""
        unsubscribe = self._subscribe(observer)
        try:
            yield
        finally:
            unsubscribe()

    def _subscribe(self, observer: Observer) -> Callable[[], None]:
        check_observer(observer)
        on_wait = _wait_listener(Observers(observer))
        self._observers.add(observer)
        self._gate.listeners.append(on_wait)

        def stop() -> None:
            self._observers.remove(observer)
            self._gate.listeners.remove(on_wait)

        return stop

    async def request(
        self,
        operation: Operation[R],
        *,
        body: msgspec.Struct | None = None,
        query: Query = (),
        priority: Priority = Priority.NORMAL,
        meter: Meter | None = None,
    ) -> R:
        """Send a request, and send it again as the retry policy says.

        Args:
            operation: The endpoint.
            body: The JSON body.
            query: Pairs of the query string.
            priority: Which request goes first when several wait for the rate limit.
            meter: Counts what the request costs.

        Raises:
            KatapultError: If no attempt succeeded.
        """
        breaker = meter.breaker if meter is not None else None
        charges = Charges(breaker)
        attempt = 1
        while True:
            sent_after = breaker.number if breaker is not None else 0
            try:
                return await self.send(operation, body=body, query=query, priority=priority, meter=meter)
            except KatapultError as error:
                charges.failed(error.elapsed, sent_after)
                if not may_repeat(error, safe=operation.safe) or (meter is not None and meter.stopping):
                    raise
                delay = await self.delay_before_retry(charges)
                if delay is None:
                    raise
                self.notify_retry(operation.name, attempt, delay, error)
            await asyncio.sleep(delay)
            charges.paused(delay)
            if meter is not None:
                meter.elapsed += delay
            attempt += 1

    async def delay_before_retry(self, charges: Charges) -> float | None:
        """Return the seconds until the next attempt; None if there is none.

        First waits until an open breaker has found out whether the API is reachable.
        """
        delay = self._retry.delay(charges.attempts, charges.seconds, self._rng)
        return 0.0 if await charges.excused(used_up=delay is None) else delay

    def notify_retry(self, operation: str, attempt: int, delay: float, error: KatapultError) -> None:
        """Log the next attempt and report it to the observers."""
        log.info(
            "%s: attempt %d failed, next one in %.1f s: %s",
            operation,
            attempt,
            delay,
            error,
            request_id=error.request_id,
        )
        if self._observers.active:
            api_code = getattr(error, "code", None)
            code = api_code if isinstance(api_code, str) else type(error).__name__
            self._observers.on_retry(
                RetryEvent(operation=operation, attempt=attempt, delay=delay, reason=str(error), code=code)
            )

    async def send(
        self,
        operation: Operation[R],
        *,
        body: msgspec.Struct | None = None,
        query: Query = (),
        priority: Priority = Priority.NORMAL,
        meter: Meter | None = None,
    ) -> R:
        """Send one attempt, and repeat it after each 429. Takes the arguments of `request`.

        Raises:
            KatapultError: If the attempt failed. Never RateLimitReached.
        """
        payload = _encode(body) if body is not None else None
        url = self._url(operation.path, query)
        breaker = meter.breaker if meter is not None else None
        clock = time.monotonic
        while True:
            if self._closed:
                self._raise_closed(operation)
            permit = None
            # The same as `_may_send`, inlined because this runs for each request.
            held_back = meter is not None and (meter.stopping or (breaker is not None and breaker.open))
            if self._ceiling is None and not held_back:
                permit = self._gate.take_nowait(operation.name)
            if permit is None:
                permit = await self._wait_for_permit(operation, priority, meter, breaker)
            began = clock()
            sent_after = breaker.number if breaker is not None else 0
            if meter is not None:
                meter.requests += 1
                meter.on_the_wire = True
            try:
                reply, error = await self._exchange(operation, url, payload, permit)
                if meter is not None:
                    meter.on_the_wire = False
                    meter.request_id = reply.headers.get("X-Request-Id")
                if error is None:
                    result = self._decode(operation, reply)
                    if breaker is not None and not breaker.calm:
                        breaker.answered(sent_after)
                    # A write that succeeds is its item's last request: its time is not needed.
                    if operation.safe and meter is not None:
                        meter.elapsed += clock() - began
                        meter.date = reply.headers.get("Date")
                    return result
                if not isinstance(error, RateLimitReached):
                    raise error
            except KatapultError as failure:
                failure.elapsed = clock() - began
                if meter is not None:
                    meter.on_the_wire = False
                    meter.elapsed += failure.elapsed
                if breaker is not None:
                    breaker.failed(failure, sent_after)
                raise
            if breaker is not None:
                breaker.failed(error, sent_after)
            if meter is not None:
                meter.rate_limited += 1
            priority = Priority.AGAIN

    async def probe(self, operation: Operation[R], sent: Callable[[], None]) -> KatapultError | None:
        """Send one request. Return its error (also a 429), or None on success.

        Args:
            operation: The endpoint, without arguments.
            sent: Called when the request is sent.

        Raises:
            KatapultError: If the client is closed.
        """
        permit = await self._wait_for_permit(operation, Priority.AGAIN, None, None)
        sent()
        try:
            reply, error = await self._exchange(operation, self._url(operation.path, ()), None, permit)
            if error is None:
                self._decode(operation, reply)
        except KatapultError as failure:
            if failure.stops_run:
                raise  # the client is closed
            return failure
        return error

    async def _wait_for_permit(
        self, operation: Operation[R], priority: Priority, meter: Meter | None, breaker: BreakerGate | None
    ) -> Permit:
        """Wait for a permit. Closing the session ends the wait.

        Raises:
            ConnectError: If the session is closed.
            RunStopped: If the run was stopped, so that nothing of it may be sent.
        """
        scope = anyio.CancelScope()
        self._waits.add(scope)
        try:
            with scope:
                return await self._permit(operation, priority, meter, breaker)
            self._raise_closed(operation)
        finally:
            self._waits.discard(scope)

    async def _permit(
        self, operation: Operation[R], priority: Priority, meter: Meter | None, breaker: BreakerGate | None
    ) -> Permit:
        """Wait until the breaker is closed, then for the permit."""

        async def wait() -> Permit:
            permit = await self._gate.take(priority, operation.name)
            try:
                # A request whose run was stopped while it waited must not be sent.
                await anyio.lowlevel.checkpoint_if_cancelled()
            except BaseException:
                self._gate.unused(permit)
                raise
            return permit

        while True:
            if self._closed:
                self._raise_closed(operation)
            if meter is not None and meter.stopping:
                _raise_stopped(operation)
            if breaker is not None and breaker.open:
                await breaker.wait()
                continue
            if self._ceiling is None:
                permit = await wait()
            else:
                at_once = partial(self._gate.take_nowait, operation.name)
                permit = await self._ceiling.take(at_once, wait, priority)
            if not self.closed and _may_send(meter, breaker):
                return permit
            self._gate.unused(permit)

    def _raise_closed(self, operation: Operation[R]) -> NoReturn:
        error = client_is_closed()
        error.operation = operation.name
        raise error

    def _url(self, path: str, query: Query) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base_url + path)
        return url.with_query(query) if query else url

    async def _exchange(
        self, operation: Operation[R], url: URL, payload: bytes | None, permit: Permit
    ) -> tuple[Reply, KatapultError | None]:
        headers = _NO_BODY if payload is None else _WITH_BODY
        # A request sent before the first observer was added is not reported, because its start was
        # not measured.
        observed = self._observers.active or log.logger.isEnabledFor(logging.DEBUG)
        sent_at = time.time() if observed else 0.0
        try:
            reply = await self._wire.exchange(operation.method, url, headers, payload)
        except TransportError as error:
            error.operation = operation.name
            if error.sent:
                self._gate.lost(permit)
            else:
                self._gate.unused(permit)
            if observed:
                self._notify_request(operation, sent_at, None, error, None)
            raise
        except BaseException:
            self._gate.lost(permit)  # cancelled: the server may have counted it
            raise
        if 200 <= reply.status < 300:
            evidence = read_evidence(reply.status, reply.headers)
            self._gate.answered(permit, evidence)
            if observed:
                self._notify_request(operation, sent_at, reply, None, evidence)
            return reply, None
        refusal = error_from_response(reply.status, reply.headers, reply.body, operation=operation.name)
        total_permitted = refusal.total_permitted if isinstance(refusal, RateLimitReached) else None
        evidence = read_evidence(reply.status, reply.headers, total_permitted=total_permitted)
        self._gate.answered(permit, evidence)
        if evidence.absurd and not self._warned_of_limit:
            self._warned_of_limit = True
            log.warning(
                "%s: a 429 has no plausible total_permitted; ignoring it",
                operation.name,
                request_id=refusal.request_id,
            )
        if observed:
            self._notify_request(operation, sent_at, reply, refusal, evidence)
        return reply, refusal

    def _decode(self, operation: Operation[R], reply: Reply) -> R:
        try:
            return operation.decode(reply.body)
        except Exception as exc:  # of any kind (RecursionError, for example)
            kind = reply.headers.get("Content-Type", "no content type")[:50]
            error = ProtocolError(
                f"the response ({reply.status}, {kind}, {len(reply.body)} bytes) does not have the documented"
                " form",
            )
            error.operation = operation.name
            error.request_id = reply.headers.get("X-Request-Id")
            # The frames of the decoder hold the body, and tracebacks with locals would show it.
            exc.__traceback__ = None
            raise error from exc

    def _notify_request(
        self,
        operation: Operation[R],
        sent_at: float,
        reply: Reply | None,
        error: KatapultError | None,
        evidence: Evidence | None,
    ) -> None:
        if log.isEnabledFor(logging.DEBUG):
            request_id = reply.headers.get("X-Request-Id") if reply is not None else None
            log.debug("%s: %s", operation.name, error if error is not None else "ok", request_id=request_id)
        if not self._observers.active:
            return
        headers: Mapping[str, str] = reply.headers if reply is not None else _NO_BODY
        self._observers.on_request(
            RequestEvent(
                operation=operation.name,
                sent_at=sent_at,
                ended_at=time.time(),
                status=reply.status if reply is not None else None,
                code=getattr(error, "code", None),
                failure=type(error).__name__ if isinstance(error, TransportError) else None,
                request_id=headers.get("X-Request-Id"),
                permitted=evidence.permitted if evidence is not None else None,
                remaining=evidence.remaining if evidence is not None else None,
                base_url=self._base_url,
            )
        )


def _raise_stopped(operation: Operation[R]) -> NoReturn:
    raise RunStopped("not sent: the run was stopped", operation=operation.name)


def _may_send(meter: Meter | None, breaker: BreakerGate | None) -> bool:
    """Return whether the run continues and its breaker is closed."""
    return not (meter is not None and meter.stopping) and (breaker is None or not breaker.open)


def _wait_listener(observer: Observer) -> Callable[[Wait, float], None]:
    """Return a listener for the gate that reports waits in Unix time."""

    def on_wait(wait: Wait, now: float) -> None:
        at = time.time()
        # A wait for a response has no known end: `until` is only when to stop waiting for it.
        timed = wait.reason is not WaitReason.ANSWER and wait.until < float("inf")
        until = at + wait.until - now if timed else None
        observer.on_wait(WaitEvent(since=at, until=until, reason=wait.reason.value))

    return on_wait
