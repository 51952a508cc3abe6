"""What happens, told while it happens: the one protocol through which callers watch.

The progress display, logs, metrics and the journal's timeline all listen here. Observers only listen: they cannot
change what happens, and they must not block (they run on the event loop). An exception in one ends the run.
"""

from __future__ import annotations

from typing import Protocol

import msgspec


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request has ended, with an answer or without. Times are unix seconds.

    status: the HTTP status; None if no response arrived.
    code: the API's error code, if it refused.
    failure: the class of the transport failure, if there was one.
    permitted, remaining: the two rate limit headers, if they were there.
    """

    operation: str
    sent_at: float
    ended_at: float
    status: int | None = None
    code: str | None = None
    failure: str | None = None
    request_id: str | None = None
    permitted: int | None = None
    remaining: int | None = None

    @property
    def rate_limited(self) -> bool:
        """Whether this is a 429."""
        return self.status == 429


class WaitEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Requests begin to wait for a permit.

    until: unix time (seconds); None if only an answer under way can tell.
    reason: in plain words.
    """

    since: float
    until: float | None
    reason: str


class RetryEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request will be sent again after `delay` seconds (429s do not count: they only wait for a permit)."""

    operation: str
    attempt: int
    delay: float
    reason: str


class Observer(Protocol):
    """Subclass it and override what is of interest; what is not overridden does nothing."""

    def on_request(self, event: RequestEvent) -> None:
        """A request has ended."""
        return

    def on_wait(self, event: WaitEvent) -> None:
        """Requests begin to wait for the rate limit."""
        return

    def on_retry(self, event: RetryEvent) -> None:
        """A request is about to be tried again."""
        return
