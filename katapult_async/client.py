"""The client for one token: one rate window, and the endpoints as attributes."""

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
from .resources import BulkRuns, Disks, IOProfiles, Tasks, VirtualMachines
from .resources.bulk_runs import TASK_TIMEOUT
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

    A client can be opened again after it was closed, and so can each client of a pool. A 429 is
    never an error: the request waits for its turn. RetryPolicy decides about other errors.

    Clients of one pool with the same token share its rate window. They must have the same
    total_permitted and rate_window. Each has its own concurrency and max_per_second.

    Only the token is required. The defaults are right for Katapult's own installation.

    Args:
        api_token: The API token, as text or as a Secret. It is never shown.
        base_url: URL of the Core API. Default: https://api.katapult.io/core/v1.
        concurrency: The most requests in flight in a bulk run. Default: 32. Use less for fewer
            connections, and more for long round trips.
        per_virtual_machine: The most requests in flight for one virtual machine in a bulk run.
            Default: 1, because Katapult works on one disk of a machine at a time.
        total_permitted: Requests per rate window that the API permits. Default: None, which learns
            it from responses. Set it for an API without rate limit headers.
        max_per_second: This client's own limit of requests per second. Default: None, no limit. Set
            it to leave some of the rate limit to other programs.
        timeout: Seconds for connecting and for a whole request. Default: Timeout().
        retry: How often and for how long failed requests are retried. Default: RetryPolicy().
        pool: The SessionPool whose connections and rate windows the client uses. It must be open,
            and the client does not close it. Default: None, which creates a pool for this client.
        rate_window: Length of the API's rate window in seconds. Default: 60.
        patience: Seconds that a bulk run waits for an API that does not respond. Default: 300.
        allow_http: Whether to send the token in clear text (`http://`) to hosts other than
            loopback. Default: False.
        observer: Gets the events of this client. Default: None.
        budget: Shares the rate limit with other processes: "file" (processes of this user on this
            machine), the URL of a Redis server, or a Budget. Default: None, which shares nothing. A
            client of a pool has the budget of the pool.

    Raises:
        TypeError: If a setting has the wrong type.
        ValueError: If the token, the base URL or a number is not valid. On opening: if
            total_permitted or rate_window contradicts another client of the pool.
        BudgetError: If the budget cannot be used.
        RuntimeError: On opening: if the pool is not open, or the client is already open.
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
        self._runs: BulkRuns | None = None
        self._entered = False

    @classmethod
    def from_env(cls, **settings: Unpack[ClientSettings]) -> Client:
        """Create a client with settings from the environment.

        - KATAPULT_API_KEY: the token. The official Terraform provider reads the same variable.
        - KATAPULT_BASE_URL: `base_url`, unless it is given.
        - KATAPULT_BUDGET: `budget` ("file", "none" or a Redis URL), unless it or `pool` is given.

        Args:
            settings: Keyword arguments of Client. They take precedence over the environment.

        Returns:
            The client. Open it with `async with`.

        Raises:
            ValueError: If KATAPULT_API_KEY is not set, or a variable is empty or not valid.
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
        # A traceback with local variables may show a client whose constructor has not finished.
        state = vars(self)
        return f"<Client {state.get('_base_url', DEFAULT_BASE_URL)} {state.get('_session')!r}>"

    if not TYPE_CHECKING:  # type checkers would accept every misspelt attribute

        def __getattr__(self, name: str) -> NoReturn:
            # Called for missing attributes: an endpoint before the client is open, or a wrong name.
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
        """Normalized URL of the Core API."""
        return self._base_url

    @property
    def concurrency(self) -> int:
        """The most requests in flight in a bulk run."""
        return self._concurrency

    @property
    def max_per_second(self) -> float | None:
        """This client's own limit of requests per second. None for no limit."""
        return self._max_per_second

    @property
    def patience(self) -> float:
        """Seconds that a bulk run waits for an API that does not respond."""
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
        """Send one request for which this SDK has no method, and return its decoded response.

        The request uses the same rate limit as all others. RetryPolicy applies: a GET is retried
        after every temporary failure, another method only if it was not executed.

        Args:
            operation: The endpoint, and the type of its response.
            body: The body, sent as JSON.
            query: Pairs of names and values, for example `[("disk[id]", "disk_…")]`.

        Returns:
            The body of the response, decoded into the type of the operation.

        Raises:
            KatapultError: If the request failed.
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
        """Carry out an action on many items and stream their outcomes.

        The run delivers exactly one outcome per item, and raises no error of an item. See Outcomes.

        Args:
            action: The action for each item.
            items: A sync or async iterable. The run reads it only as fast as it works.
            wait: Whether to deliver an outcome only after the task of its item has ended. An item
                whose task failed is failed.
            task_timeout: Seconds to wait for one task. After that, its item is unknown.
            recorder: Decides how the work on each item starts, and records outcomes.

        Returns:
            The run. It starts in `async with`.

        Raises:
            RuntimeError: If the client was never opened.
            TypeError: If `items` is a single item or not iterable.
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
        """Carry out an action on many items and return the report.

        If the call is cancelled, it logs the report, and the CancelledError has it as `report`.

        Args:
            action: As in bulk_each.
            items: As in bulk_each.
            wait: As in bulk_each.
            task_timeout: As in bulk_each.

        Returns:
            The report of the run.

        Raises:
            RuntimeError: If the client was never opened.
            BulkError: If the input failed, or one of its items is malformed. Its `report` covers
                the items before, and its cause is the error of the input.
        """
        return await self._open_runs.many(action, items, wait=wait, task_timeout=task_timeout)

    @property
    def _open_runs(self) -> BulkRuns:
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
        self._runs = runs = BulkRuns(
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
