"""The client: puts the rooms together. One token, one rate window, the endpoints as attributes."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, TypedDict, TypeVar

import msgspec

from .budget import Budget, as_budget
from .bulk import Action, BulkReport, ItemT, Outcomes, Recorder, ResultT
from .models import Secret
from .observer import Observer, check_observer
from .ratelimit import check_max_per_second
from .ratelimit.breaker import DEFAULT_PATIENCE, check_patience
from .resources import Disks, IOProfiles, Runs, Tasks, VirtualMachines
from .resources.runs import TASK_TIMEOUT
from .transport import DEFAULT_BASE_URL, Operation, Query, RetryPolicy, Session, SessionPool, Timeout
from .transport.address import (
    check_base_url,
    check_count,
    check_instance,
    check_seconds,
    hide_token,
)
from .transport.retry import check_retry
from .transport.wire import check_timeout

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on


AnswerT = TypeVar("AnswerT")

_NOT_OPEN = "the Client is not open: use it inside 'async with'"


class ClientSettings(TypedDict, total=False):
    """The keyword arguments of Client."""

    base_url: str
    concurrency: int
    per_virtual_machine: int
    total_permitted: int | None
    max_per_second: float | None
    timeout: Timeout | None
    retry: RetryPolicy | None
    pool: SessionPool | None
    rate_window: float
    patience: float
    allow_http: bool
    observer: Observer | None
    budget: Budget | str | None


class Client:
    """The Katapult Core API for one token.

        async with Client.from_env() as client:
            disk = await client.disks.assign("disk_…", "vm_…")
            report = await client.disks.assign_many(pairs)

    api_token: of the API; it is never shown. base_url: of the Core API; `http://` is refused for other hosts than
    loopback unless allow_http is set. concurrency: requests in flight at most in a bulk run. per_virtual_machine: of
    these, on one machine at most. total_permitted: requests per minute permitted, if you know it (else it is learnt).
    max_per_second: this client's own limit of requests per second; None for none. timeout, retry:
    see Timeout and RetryPolicy.
    pool: a SessionPool shared with other clients; the client then closes what is its own, not the pool. rate_window: length of the
    server's rate window in seconds; 60 unless your installation says otherwise. patience: seconds that
    a bulk run waits for an API that does not answer, before it gives up. observer: is told what happens. budget: shares the rate limit with other
    processes: "file" (of this user on this machine), the URL of a Redis server, or a Budget; None shares nothing.

    Clients of one pool with the same token share its rate window. Their total_permitted and
    rate_window must agree. Their concurrency and max_per_second are their own.

    What is tried again, and when, stands in RetryPolicy. A 429 is never an error: the request waits for its turn.

    Raises:
        TypeError: If a setting is of the wrong type.
        ValueError: If the token, the base URL or a number must not be used, or contradicts another
            client of the pool.
        RuntimeError: If the pool is not open.
    """

    disks: Disks
    virtual_machines: VirtualMachines
    tasks: Tasks
    io_profiles: IOProfiles

    def __init__(
        self,
        api_token: str | Secret,
        *,
        base_url: str = DEFAULT_BASE_URL,
        concurrency: int = 32,
        per_virtual_machine: int = 1,
        total_permitted: int | None = None,
        max_per_second: float | None = None,
        timeout: Timeout | None = None,
        retry: RetryPolicy | None = None,
        pool: SessionPool | None = None,
        rate_window: float = 60.0,
        patience: float = DEFAULT_PATIENCE,
        allow_http: bool = False,
        observer: Observer | None = None,
        budget: Budget | str | None = None,
    ) -> None:
        token, problem = hide_token(api_token)
        del api_token  # a traceback with local variables must not show it
        if problem is not None:
            raise problem
        check_count("concurrency", concurrency)
        check_count("per_virtual_machine", per_virtual_machine)
        if total_permitted is not None:
            check_count("total_permitted", total_permitted)
        if max_per_second is not None:
            check_max_per_second(max_per_second)
        check_seconds("rate_window", rate_window)
        check_patience(patience)
        if timeout is not None:
            check_timeout(timeout)
        if retry is not None:
            check_retry(retry)
        if pool is not None:
            check_instance("pool", pool, SessionPool, "give an open SessionPool")
        if observer is not None:
            check_observer(observer)
        self._token = token
        self._base_url = check_base_url(base_url, allow_http=allow_http)
        self._concurrency = concurrency
        self._per_virtual_machine = per_virtual_machine
        self._total_permitted = total_permitted
        self._max_per_second = max_per_second
        self._timeout = timeout or Timeout()
        self._retry = retry or RetryPolicy()
        self._rate_window = rate_window
        self._patience = patience
        self._observer = observer
        if pool is not None and budget is not None:
            raise ValueError("a client of a pool has the pool's budget: give it to the SessionPool")
        self._shared = pool is not None
        self._pool = pool or SessionPool(allow_http=allow_http, budget=budget)
        self._session: Session | None = None
        self._runs: Runs | None = None
        self._entered = False
        if self._shared:
            self._open()

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Client:
        """Make a client with the settings of the environment.

        The token is the one of KATAPULT_API_KEY, as the official Terraform provider uses it. KATAPULT_BASE_URL and
        KATAPULT_BUDGET apply where `base_url` and `budget` are not given. With a `pool`, the pool's budget applies.

        Args:
            settings: Keyword arguments of Client. They win over the environment.

        Raises:
            ValueError: If KATAPULT_API_KEY is not set, or a variable is empty or cannot be used.
            BudgetError: If KATAPULT_BUDGET names a Redis server that cannot be used.
        """
        if "KATAPULT_API_KEY" not in os.environ:
            raise ValueError("the environment variable KATAPULT_API_KEY is not set: put the API token there")
        token = Secret(_variable("KATAPULT_API_KEY") or "")
        base_url, budget = _variable("KATAPULT_BASE_URL"), _variable("KATAPULT_BUDGET")
        if base_url is not None and "base_url" not in settings:
            settings["base_url"] = base_url
        if budget is not None and "budget" not in settings and settings.get("pool") is None:
            try:
                settings["budget"] = as_budget(budget)
            except ValueError:  # its message shows the value, which may hold a password
                raise ValueError(
                    "the environment variable KATAPULT_BUDGET must be file, none, or redis://…"
                ) from None
        return cls(token, **settings)

    def __repr__(self) -> str:
        # Tracebacks with local variables show clients that are not made to the end.
        state = vars(self)
        return f"<Client {state.get('_base_url', DEFAULT_BASE_URL)} {state.get('_session')!r}>"

    if not TYPE_CHECKING:  # type checkers would take every misspelt attribute for an endpoint

        def __getattr__(self, name: str) -> NoReturn:
            # Called for missing attributes only: an endpoint while it is not open, or a wrong name.
            if name in Client.__annotations__:
                raise RuntimeError(_NOT_OPEN)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )

    async def __aenter__(self) -> Client:
        if self._entered:
            raise RuntimeError("this Client is already open: enter it once, and share it between tasks")
        if not self._shared:
            await self._pool.__aenter__()
            try:
                self._open()
            except BaseException:
                await self._pool.__aexit__(None, None, None)
                raise
        elif self.session.closed:
            self._open()
        self._entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        if not self._shared:
            await self._pool.__aexit__(exc_type, exc, traceback)
        elif self._session is not None:
            await self._pool.close_session(self._session)

    @property
    def base_url(self) -> str:
        """Of the installation that it talks to."""
        return self._base_url

    @property
    def concurrency(self) -> int:
        """Requests in flight at most in a bulk run."""
        return self._concurrency

    @property
    def max_per_second(self) -> float | None:
        """This client's own limit of requests per second; None for none."""
        return self._max_per_second

    @property
    def patience(self) -> float:
        """Seconds that a bulk run waits for an API that does not answer."""
        return self._patience

    @property
    def session(self) -> Session:
        """The session underneath. For calls this SDK has no method for, see `request`."""
        if self._session is None:
            raise RuntimeError(_NOT_OPEN)
        return self._session

    async def request(
        self,
        operation: Operation[AnswerT],
        *,
        body: msgspec.Struct | None = None,
        query: Query = (),
    ) -> AnswerT:
        """Send one request that this SDK has no method for, and return its decoded answer.

        It shares the rate limit, and it is retried as RetryPolicy says: a GET after each failure that
        may pass, another method only if it was not executed.

        Args:
            operation: The endpoint, and what its answer decodes into.
            body: The body, sent as JSON.
            query: Pairs of names and values, for example `[("disk[id]", "disk_…")]`.

        Raises:
            KatapultError: It failed.
        """
        return await self.session.request(operation, body=body, query=query)

    def bulk_each(
        self,
        action: Action[ItemT, ResultT],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
        recorder: Recorder[ItemT, ResultT] | None = None,
    ) -> Outcomes[ItemT, ResultT]:
        """Carry out an action on many items; their outcomes as they happen.

        There is exactly one outcome for each item, and nothing is raised for an item. See Outcomes.

        Args:
            action: What is done to each item.
            items: A sync or async iterable, read only as fast as it is worked on.
            wait: Whether an outcome waits until the task of its item has ended. A task that has failed
                is then the failure of its item.
            task_timeout: Seconds to wait for one task. Its item then comes out as unknown.
            recorder: Follows the run, and says how the work on each item begins.

        Raises:
            TypeError: If `items` is a single item or cannot be iterated.
        """
        return self._open_runs.each(action, items, recorder=recorder, wait=wait, task_timeout=task_timeout)

    async def bulk(
        self,
        action: Action[ItemT, ResultT],
        items: Iterable[ItemT] | AsyncIterable[ItemT],
        *,
        wait: bool = False,
        task_timeout: float = TASK_TIMEOUT,
    ) -> BulkReport[ItemT, ResultT]:
        """Carry out an action on many items and sum up. The parameters are those of bulk_each.

        Raises:
            BulkError: The input failed, or one of its items is malformed. The cause is the error of the
                input, and `report` says what was done before. When the call is cancelled, the report
                is logged, and the CancelledError carries it as `report`.
        """
        return await self._open_runs.many(action, items, wait=wait, task_timeout=task_timeout)

    @property
    def _open_runs(self) -> Runs:
        if self._runs is None:
            raise RuntimeError(_NOT_OPEN)
        return self._runs

    def _open(self) -> None:
        self._session = session = self._pool.session(
            self._token,
            base_url=self._base_url,
            timeout=self._timeout,
            retry=self._retry,
            period=self._rate_window,
            total_permitted=self._total_permitted,
            max_per_second=self._max_per_second,
            observer=self._observer,
        )
        self._runs = runs = Runs(
            session,
            concurrency=self._concurrency,
            per_virtual_machine=self._per_virtual_machine,
            patience=self._patience,
        )
        self.disks = Disks(session, runs)
        self.virtual_machines = VirtualMachines(session, runs)
        self.tasks = Tasks(session)
        self.io_profiles = IOProfiles(session)


def _variable(name: str) -> str | None:
    value = os.environ.get(name)
    if value is not None and not value.strip():
        raise ValueError(f"the environment variable {name} is empty: set it to a value, or unset it")
    return value
