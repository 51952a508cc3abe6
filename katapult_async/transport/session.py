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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import msgspec
from yarl import URL

from katapult_async.budget import SharedGate
from katapult_async.errors import (
    KatapultError,
    RateLimitReached,
    TransportError,
    error_from_response,
)
from katapult_async.logs import package_logger
from katapult_async.observer import Observer, Observers, check_observer
from katapult_async.ratelimit import (
    Ceiling,
    Charges,
    Evidence,
    GateByType,
    Permit,
    Priority,
    read_evidence,
)

from .machine_names import MachineNames
from .meter import Meter
from .operation import Operation
from .reporting import report_request, report_retry, wait_listener
from .retry import RetryPolicy, may_repeat
from .waits import Waits
from .wire import Exchange, Reply, client_is_closed, malformed

R = TypeVar("R")

log = package_logger("transport")

Query = Sequence[tuple[str, str]]

_encode = msgspec.json.Encoder().encode


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
        self._waits = Waits(gate, ceiling)
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
        self._waits.close()
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
        """Send events to `observer`, too, inside the block.

        Args:
            observer: Gets the events.

        Raises:
            TypeError: If it is not an Observer.
        """
        unsubscribe = self._subscribe(observer)
        try:
            yield
        finally:
            unsubscribe()

    def _subscribe(self, observer: Observer) -> Callable[[], None]:
        check_observer(observer)
        gate, guarded = self._gate, Observers(observer)
        on_wait = wait_listener(guarded)
        self._observers.add(observer)
        gate.listeners.append(on_wait)
        unwatch = gate.watchers.add(guarded.on_budget) if isinstance(gate, SharedGate) else None

        def stop() -> None:
            self._observers.remove(observer)
            gate.listeners.remove(on_wait)
            if unwatch is not None:
                unwatch()

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

        Returns:
            The body of the response, decoded into the type of the operation.

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
        report_retry(self._observers, operation, attempt, delay, error)

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
                raise client_is_closed(operation.name)
            permit = None
            # The same as `may_send`, inlined because this runs for each request.
            held_back = meter is not None and (meter.stopping or (breaker is not None and breaker.open))
            if self._ceiling is None and not held_back:
                permit = self._gate.take_nowait(operation.name)
            if permit is None:
                permit = await self._waits.permit(operation.name, priority, meter, breaker)
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
        permit = await self._waits.permit(operation.name, Priority.AGAIN, None, None)
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

    def _url(self, path: str, query: Query) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base_url + path)
        return url.with_query(query) if query else url

    async def _exchange(
        self, operation: Operation[R], url: URL, payload: bytes | None, permit: Permit
    ) -> tuple[Reply, KatapultError | None]:
        # A request sent before the first observer was added is not reported, because its start was
        # not measured.
        observed = self._observers.hears_requests or log.logger.isEnabledFor(logging.DEBUG)
        sent_at = time.time() if observed else 0.0
        try:
            reply = await self._wire.exchange(operation.method, url, payload)
        except TransportError as error:
            error.operation = operation.name
            if error.sent:
                self._gate.lost(permit)
            else:
                self._gate.unused(permit)
            if observed:
                self._report(operation, sent_at, None, error, None)
            raise
        except BaseException:
            self._gate.lost(permit)  # cancelled: the server may have counted it
            raise
        if 200 <= reply.status < 300:
            evidence = read_evidence(reply.status, reply.headers)
            self._gate.answered(permit, evidence)
            if observed:
                self._report(operation, sent_at, reply, None, evidence)
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
            self._report(operation, sent_at, reply, refusal, evidence)
        return reply, refusal

    def _decode(self, operation: Operation[R], reply: Reply) -> R:
        try:
            return operation.decode(reply.body)
        except Exception as exc:  # of any kind (RecursionError, for example)
            error = malformed(reply)
            error.operation = operation.name
            # The frames of the decoder hold the body, and tracebacks with locals would show it.
            exc.__traceback__ = None
            raise error from exc

    def _report(
        self,
        operation: Operation[R],
        sent_at: float,
        reply: Reply | None,
        error: KatapultError | None,
        evidence: Evidence | None,
    ) -> None:
        report_request(self._observers, self._base_url, operation.name, sent_at, reply, error, evidence)
