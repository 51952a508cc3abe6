"""What a session tells its observers and the log: requests, retries and waits. It sends nothing.

It stands apart from the session, because a session without observers never calls it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from katapult_async.errors import KatapultError, TransportError
from katapult_async.logs import package_logger
from katapult_async.observer import Observer, Observers, RequestEvent, RetryEvent, WaitEvent
from katapult_async.ratelimit import Evidence, Wait, WaitReason

from .wire import Reply

log = package_logger("transport")


def report_request(
    observers: Observers,
    base_url: str,
    operation: str,
    sent_at: float,
    reply: Reply | None,
    error: KatapultError | None,
    evidence: Evidence | None,
) -> None:
    """Log the end of a request and report it to the observers."""
    if log.isEnabledFor(logging.DEBUG):
        request_id = reply.headers.get("X-Request-Id") if reply is not None else None
        log.debug("%s: %s", operation, error if error is not None else "ok", request_id=request_id)
    if not observers.hears_requests:
        return
    headers: Mapping[str, str] = reply.headers if reply is not None else {}
    observers.on_request(
        RequestEvent(
            operation=operation,
            sent_at=sent_at,
            ended_at=time.time(),
            status=reply.status if reply is not None else None,
            code=getattr(error, "code", None),
            failure=type(error).__name__ if isinstance(error, TransportError) else None,
            request_id=headers.get("X-Request-Id"),
            permitted=evidence.permitted if evidence is not None else None,
            remaining=evidence.remaining if evidence is not None else None,
            base_url=base_url,
        )
    )


def report_retry(
    observers: Observers, operation: str, attempt: int, delay: float, error: KatapultError
) -> None:
    """Log the next attempt and report it to the observers."""
    log.info(
        "%s: attempt %d failed, next one in %.1f s: %s",
        operation,
        attempt,
        delay,
        error,
        request_id=error.request_id,
    )
    api_code = getattr(error, "code", None)
    code = api_code if isinstance(api_code, str) else type(error).__name__
    observers.on_retry(
        RetryEvent(operation=operation, attempt=attempt, delay=delay, reason=str(error), code=code)
    )


def wait_listener(observer: Observer) -> Callable[[Wait, float], None]:
    """Return a listener for the gate that reports waits in Unix time."""

    def on_wait(wait: Wait, now: float) -> None:
        at = time.time()
        # A wait for a response has no known end: `until` is only when to stop waiting for it.
        timed = wait.reason is not WaitReason.ANSWER and wait.until < float("inf")
        until = at + wait.until - now if timed else None
        observer.on_wait(WaitEvent(since=at, until=until, reason=wait.reason.value))

    return on_wait
