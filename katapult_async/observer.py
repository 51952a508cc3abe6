"""What happens, reported while it happens: the interface through which callers watch.

The progress display, metrics and the timeline of a journal use it. Observers only listen. They
cannot change what happens, and they must not block, because they run on the event loop. An
exception in an observer is logged. A `Recorder` of a bulk run, in contrast, is awaited before the
run continues.
"""

from __future__ import annotations

import asyncio

import msgspec

from .logs import package_logger

log = package_logger("observer")


class RequestEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request has ended, with or without a response.

    Args:
        operation: Method and path below the base URL, for example "POST /disks/disk/assign".
        sent_at: When it was sent, Unix time in seconds.
        ended_at: When it ended, Unix time in seconds.
        status: The HTTP status; None if no response arrived.
        code: The API's error code; None if there is none.
        failure: The class of the transport error; None if a response arrived.
        request_id: The API's ID of the request.
        permitted: The value of `X-Ratelimit-Permitted`, if present.
        remaining: The value of `X-Ratelimit-Remaining`, if present.
        base_url: Without a final slash. It contains no user name and no query.
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
        """Whether the response is a 429."""
        return self.status == 429


class WaitEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Requests start to wait for a permit.

    Args:
        since: When the wait started, Unix time in seconds.
        until: When it will end, Unix time in seconds; None if it ends with a response.
        reason: What they wait for, as text.
    """

    since: float
    until: float | None
    reason: str


class RetryEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request will be sent again. 429s are not reported: such a request only waits for a permit.

    Args:
        operation: As in RequestEvent. In a bulk run, the action and its item.
        attempt: The number of the attempt that failed, from 1.
        delay: Seconds until the next attempt.
        reason: The message of the error.
        code: The API's error code, or the class of the error.
    """

    operation: str
    attempt: int
    delay: float
    reason: str
    code: str | None = None


class OutcomeEvent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An item of a bulk run has its outcome.

    Args:
        action: The name of the action, for example assign.
        disk: The ID of the item's disk; empty if it has none.
        virtual_machine: The machine.
        status: The action's word, for example assigned; or failed, unknown, not_attempted.
        ok: Whether the item is done.
        code: The API's error code, or the class of the error; None if the item is done.
        attempts: Number of attempts.
        request_id: The API's ID of the last request.
        started_at: When the item was first sent, Unix time in seconds; None if it never was.
        finished_at: When its outcome was known, Unix time in seconds.
        item: The item in words.
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
    """A durable run starts a step.

    Args:
        step: assign, attach, detach, unassign, or wait (for tasks).
        lines: Number of lines of the manifest that the step concerns.
    """

    step: str
    lines: int


class BudgetProcess(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Another process that shares the rate limit.

    Args:
        name: For people: `process 4711 on host`, or `load test 4711 on host`.
        run: The durable run that it executes; None if it executes none.
    """

    name: str
    run: str | None = None


class BudgetEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The use of a shared rate limit by all its processes, as this process knows it.

    Observers get one at most once a second while requests are sent. They also get one when a
    process joins or leaves, and when the budget becomes unavailable or available again.

    Args:
        place: Where the budget is kept: a path, or the URL of a Redis server without its password.
        reachable: Whether the budget is available. If not, this process continues without it, and
            the other fields are the last known values.
        limit: Requests permitted per window; None if it is not known.
        remaining: Requests that are certainly left in the window; None if it is not known.
        used: Requests that the server may have counted in the window, from any client of the token.
        in_flight: Requests in flight, of all processes.
        waiting: Requests that wait for a permit, of all processes.
        others: The other processes.
    """

    place: str
    reachable: bool
    limit: int | None
    remaining: int | None
    used: int
    in_flight: int
    waiting: int
    others: tuple[BudgetProcess, ...]


class Observer:
    """Base class for observers: override the methods of interest. The others do nothing.

    The methods run on the event loop, so they must not block. If one raises, the log says so once,
    and the run goes on.
    """

    def on_request(self, event: RequestEvent) -> None:
        """A request has ended."""

    def on_wait(self, event: WaitEvent) -> None:
        """Requests start to wait for the rate limit."""

    def on_retry(self, event: RetryEvent) -> None:
        """A request will be sent again."""

    def on_outcome(self, event: OutcomeEvent) -> None:
        """An item has its outcome."""

    def on_step(self, event: StepEvent) -> None:
        """A durable run starts a step."""

    def on_budget(self, event: BudgetEvent) -> None:
        """The use of a shared rate limit has changed."""


def check_observer(observer: object) -> None:
    """Raise TypeError unless `observer` is an Observer."""
    if isinstance(observer, type):
        name = observer.__name__
        raise TypeError(f"observer must be an Observer, not the class {name}: pass {name}()")
    if not isinstance(observer, Observer):
        raise TypeError(f"observer must be an Observer, not {repr(observer)[:50]}: subclass Observer")


class Observers(Observer):
    """Several observers as one. They are called in the order in which they were added.

    If an observer raises, the log says so, once for each of its methods, and nothing else happens:
    an observer must not change what it observes.

    Args:
        observers: The first observers.
    """

    def __init__(self, *observers: Observer) -> None:
        self._all = list(observers)
        self._logged: set[tuple[int, str]] = set()
        #: Whether an observer overrides `on_request`. An attribute, because it is read for every
        #: request.
        self.hears_requests = False
        #: The same of `on_outcome`, read for every item.
        self.hears_outcomes = False
        self._ask_all()

    def add(self, observer: Observer) -> None:
        """Add an observer."""
        self._all.append(observer)
        self._ask_all()

    def remove(self, observer: Observer) -> None:
        """Remove an observer."""
        self._all.remove(observer)
        self._ask_all()

    def _ask_all(self) -> None:
        self.hears_requests = any(_overrides(observer, "on_request") for observer in self._all)
        self.hears_outcomes = any(_overrides(observer, "on_outcome") for observer in self._all)

    def on_request(self, event: RequestEvent) -> None:
        """Notify all observers."""
        self._notify("on_request", event)

    def on_wait(self, event: WaitEvent) -> None:
        """Notify all observers."""
        self._notify("on_wait", event)

    def on_retry(self, event: RetryEvent) -> None:
        """Notify all observers."""
        self._notify("on_retry", event)

    def on_outcome(self, event: OutcomeEvent) -> None:
        """Notify all observers."""
        self._notify("on_outcome", event)

    def on_step(self, event: StepEvent) -> None:
        """Notify all observers."""
        self._notify("on_step", event)

    def on_budget(self, event: BudgetEvent) -> None:
        """Notify all observers."""
        self._notify("on_budget", event)

    def _notify(self, method: str, event: object) -> None:
        for observer in self._all:
            try:
                getattr(observer, method)(event)
            except (Exception, asyncio.CancelledError):  # nothing is awaited, so this cancels nothing of ours
                if (key := (id(observer), method)) not in self._logged:
                    self._logged.add(key)
                    log.exception(
                        "%r raised in %s; it stays subscribed, and further errors in this method are not logged",
                        observer,
                        method,
                    )


def _overrides(observer: Observer, method: str) -> bool:
    return getattr(getattr(observer, method), "__func__", None) is not getattr(Observer, method)
