"""What happens, told while it happens: the one protocol through which callers watch.

The progress display, metrics and the timeline of a journal all listen here. Observers only listen: they cannot change
what happens, and they must not block (they run on the event loop). An exception in one goes to the log. What must be
awaited before a run may go on (a journal's durable records) is a `Recorder` of the scheduler instead.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

import msgspec

from .logs import package_logger

log = package_logger("observer")


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request has ended, with an answer or without. Times are unix seconds.

    operation: method and path below the base URL, for example "POST /disks/disk/assign". base_url: without a trailing
    slash; it has neither a user name nor a query.
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
    base_url: str = ""

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
    """A request will be sent again after `delay` seconds (429s do not count: they only wait for a permit).

    operation: as in RequestEvent; in a bulk run the action and its item. reason: the error's sentence. code: the API's
    error code, or the name of the failure.
    """

    operation: str
    attempt: int
    delay: float
    reason: str
    code: str | None = None


class OutcomeEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An item is through. Times are unix seconds.

    action: for example assign. item: the item in words. disk: the ID of its disk, empty if it has none. status: the word
    of the action, for example `assigned`, or failed, unknown, not_attempted. code: the API's error code, or the name of
    the failure, unless it is done. started_at: None for an item that was never sent.
    """

    action: str
    disk: str
    virtual_machine: str | None
    status: str
    ok: bool
    code: str | None = None
    attempts: int = 0
    request_id: str | None = None
    started_at: float | None = None
    finished_at: float
    item: str = ""


class StepEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A durable run begins a step with so many lines: assign, attach, detach, unassign, or wait (for tasks)."""

    step: str
    lines: int


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

    def on_outcome(self, event: OutcomeEvent) -> None:
        """An item is through."""
        return

    def on_step(self, event: StepEvent) -> None:
        """A durable run begins a step."""
        return


_METHODS = ("on_request", "on_wait", "on_retry", "on_outcome", "on_step")


def check_observer(observer: object) -> None:
    """Raise TypeError unless `observer` has all methods of an Observer and is not a class."""
    if isinstance(observer, type):
        name = observer.__name__
        raise TypeError(f"observer must be an Observer, not the class {name}: give {name}()")
    if not all(callable(getattr(observer, method, None)) for method in _METHODS):
        raise TypeError(f"observer must be an Observer, not {repr(observer)[:50]}: subclass Observer")


class Observers(Observer):
    """Several observers as one, told in the order in which they were added.

    When one raises, the log says so, once for each of its methods, and nothing else happens: whoever looks on must not
    change what is going on.
    """

    def __init__(self, *observers: Observer) -> None:
        self._all = list(observers)
        self._complained: set[tuple[int, str]] = set()
        #: Whether there is any. An attribute, because it is read for every request.
        self.active = bool(self._all)

    def add(self, observer: Observer) -> None:
        """One more, from now on."""
        self._all.append(observer)
        self.active = True

    def remove(self, observer: Observer) -> None:
        """This one no longer."""
        self._all.remove(observer)
        self.active = bool(self._all)

    def on_request(self, event: RequestEvent) -> None:
        """Tell all."""
        self._tell("on_request", event)

    def on_wait(self, event: WaitEvent) -> None:
        """Tell all."""
        self._tell("on_wait", event)

    def on_retry(self, event: RetryEvent) -> None:
        """Tell all."""
        self._tell("on_retry", event)

    def on_outcome(self, event: OutcomeEvent) -> None:
        """Tell all."""
        self._tell("on_outcome", event)

    def on_step(self, event: StepEvent) -> None:
        """Tell all."""
        self._tell("on_step", event)

    def _tell(self, what: str, event: object) -> None:
        for observer in self._all:
            try:
                getattr(observer, what)(event)
            except (Exception, asyncio.CancelledError):  # nothing is awaited: it cancels nothing of ours
                if (known := (id(observer), what)) not in self._complained:
                    self._complained.add(known)
                    log.exception(
                        "%r has raised in %s; it is told on, and this is not said again", observer, what
                    )
