"""The client: puts the packages together. One token, one rate window, the endpoints as attributes."""

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
    """The keyword arguments of Client, for functions that pass them on."""

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
    """The Katapult Core API for one token: an asynchronous context manager.

        async with Client.from_env() as client:
            disk = await client.disks.assign("disk_…", "vm_…")
            report = await client.disks.assign_many(pairs)

    A client can be opened again after it was closed. Clients of one pool open and close in the same way.
    A 429 is never an error: the request waits for its turn. RetryPolicy says what else is sent again.

    Clients of one pool with the same token share its rate window. Their total_permitted and rate_window
    must agree. Their concurrency and max_per_second are their own.

    Only the token has to be given. The defaults suit Katapult's own installation; the last words of a
    line say who changes them.

    Args:
        api_token: The API token, as text or as a Secret. It is never shown.
        base_url: URL of the Core API. Default: https://api.katapult.io/core/v1. For users of another
            installation.
        concurrency: Requests in flight at most in a bulk run. Default: 32. For programs that must use
            fewer connections, or have long round trips.
        per_virtual_machine: Requests in flight at most for one virtual machine in a bulk run. Default: 1,
            because Katapult works on one disk of a machine at a time. Hardly anybody changes it.
        total_permitted: Requests per rate window that the API permits. Default: None, which learns it from
            responses. For users of an API that sends no rate limit headers.
        max_per_second: This client's own limit of requests per second. Default: None, no limit. For programs
            that must leave some of the rate limit to others.
        timeout: Seconds for connecting and for a whole request. Default: Timeout(). For slow networks.
        retry: How often, and for how long, failed requests are sent again. Default: RetryPolicy().
        pool: The SessionPool whose connections and rate windows the client uses. It must be open, and the
            client does not close it. Default: None, a pool of its own. For programs with several clients.
        rate_window: Length of the API's rate window in seconds. Default: 60. For users of another
            installation.
        patience: Seconds that a bulk run waits for an API that does not respond. Default: 300.
        allow_http: Whether the token may be sent in clear text (`http://`) to other hosts than loopback.
            Default: False. For tests in a closed network.
        observer: Gets the events of this client. Default: None. For progress displays and metrics.
        budget: Shares the rate limit with other processes: "file" (processes of this user on this machine),
            the URL of a Redis server, or a Budget. Default: None, nothing is shared. A client of a pool has
            the budget of the pool.

    Raises:
        TypeError: If a setting has the wrong type.
        ValueError: If the token, the base URL or a number cannot be used. When the client is opened: if
            total_permitted or rate_window contradicts another client of the pool.
        BudgetError: If the budget cannot be used.
        RuntimeError: When the client is opened: if its pool is not open, or the client is open already.
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
        self._owns_pool = pool is None
        self._pool = pool or SessionPool(allow_http=allow_http, budget=budget)
        self._session: Session | None = None
        self._runs: Runs | None = None
        self._entered = False

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Client:
        """Make a client with the settings of the environment.

        - KATAPULT_API_KEY: the token. The official Terraform provider reads the same variable.
        - KATAPULT_BASE_URL: `base_url`, unless it is given.
        - KATAPULT_BUDGET: `budget` ("file", "none" or the URL of a Redis server), unless it or `pool` is given.

        Args:
            settings: Keyword arguments of Client. They take precedence over the environment.

        Returns:
            The client. It must still be opened with `async with`.

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
        if self._owns_pool:
            await self._pool.__aenter__()
        try:
            self._open()
        except BaseException:
            if self._owns_pool:
                await self._pool.__aexit__(None, None, None)
            raise
        self._entered = True
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._entered = False
        if self._owns_pool:
            await self._pool.__aexit__(exc_type, exc, traceback)
        elif self._session is not None:
            await self._pool.close_session(self._session)

    @property
    def base_url(self) -> str:
        """URL of the Core API, in its normal form."""
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
        """The session that sends the requests.

        Raises:
            RuntimeError: If the client was never opened.
        """
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

        Returns:
            The body of the response, decoded into the type of the operation.

        Raises:
            KatapultError: If it failed.
            RuntimeError: If the client was never opened.
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

        Returns:
            The run. It starts when it is entered with `async with`.

        Raises:
            RuntimeError: If the client was never opened.
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
        """Carry out an action on many items and sum up.

        Args:
            action: As in bulk_each.
            items: As in bulk_each.
            wait: As in bulk_each.
            task_timeout: As in bulk_each.

        Returns:
            The report of the run.

        Raises:
            RuntimeError: If the client was never opened.
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
