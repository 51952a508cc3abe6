"""A load test from its preparation to its result: prepare, wait for the start, run, restore."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack

from msgspec.structs import replace

from katapult_async import __version__
from katapult_async.budget import Budget
from katapult_async.client import Client, ClientSettings
from katapult_async.errors import KatapultError
from katapult_async.jobs.report.documents import iso
from katapult_async.models import Secret
from katapult_async.observer import Observer
from katapult_async.transport import DEFAULT_BASE_URL, RetryPolicy, Timeout
from katapult_async.words import milliseconds

from .actions import LoadAction
from .call import clock
from .errors import LoadError
from .histogram import need_hdrhistogram
from .hosts import check_host
from .pool import LoadPool
from .result import LoadPart, LoadResult, result_of
from .runner import Runner
from .schedule import Plan
from .validity import notes_of, problems_of

#: A test that would begin later than this is a mistake in a date.
_LONGEST_WAIT = 86_400.0
#: Seconds after the start time that need no remark.
_PUNCTUAL = 0.05


class LoadTest:
    """A load test of one process.

        plan = Plan(schedule=OpenLoop(arrivals=FixedRate(500)), duration=60)
        test = LoadTest(ReadDisk(disks), plan)
        result = await test.run("token", base_url=url)

    It may be run once.

    Args:
        action: What each call does.
        plan: When calls are due.
        ignore_limit: Whether to send without permits of the rate limit. A 429 is then an outcome.
        owned_hosts: Hosts, besides loopback, that you may load.

    Attributes:
        runner: The test in progress; None before its first call.
        left_behind: Changes that could not be undone, in words. Complete after `run`.
    """

    def __init__(
        self,
        action: LoadAction,
        plan: Plan,
        *,
        ignore_limit: bool = False,
        owned_hosts: Collection[str] = (),
    ) -> None:
        self._action = action
        self._plan = plan
        self._ignore_limit = ignore_limit
        self._owned_hosts = owned_hosts
        self._stopped = False
        self._begun = False
        self._late = 0.0
        self.runner: Runner | None = None
        self.left_behind: list[str] = []

    def stop(self) -> None:
        """Start no further call. `run` then restores, and returns what was measured so far."""
        self._stopped = True
        if self.runner is not None:
            self.runner.stop()

    async def run(
        self,
        api_token: str | Secret,
        *,
        base_url: str = DEFAULT_BASE_URL,
        timeout: Timeout | None = None,
        total_permitted: int | None = None,
        max_per_second: float | None = None,
        rate_window: float = 60.0,
        allow_http: bool = False,
        budget: Budget | str | None = None,
        start_at: float | None = None,
        progress: Callable[[], None] | None = None,
        observer: Observer | None = None,
    ) -> LoadResult:
        """Prepare the action, carry out the test, and restore what it changed.

        What was changed is restored before the result is returned, and also before an error or a
        cancellation leaves this method.

        Args:
            api_token: As for Client, and so are the next seven.
            base_url: URL of the Core API.
            timeout: Seconds for one request. One that takes longer is an error.
            total_permitted: Requests per rate window, if you know the number.
            max_per_second: Your own limit of requests per second.
            rate_window: Length of the rate window in seconds.
            allow_http: Whether to send the token in clear text to other hosts.
            budget: Shares the rate limit with other processes.
            start_at: When the warm-up starts, Unix time in seconds. None for at once.
            progress: Called about 20 times a second while calls are sent.
            observer: Gets the waits for the rate limit, and the requests of preparing and
                restoring.

        Returns:
            What was measured.

        Raises:
            HostNotOwned: If the host is not loopback and not one of `owned_hosts`.
            MissingExtra: If the package hdrhistogram is not installed.
            LoadError: If the test cannot start.
            KatapultError: If the preparation failed. Errors of calls are outcomes.
            RuntimeError: If the test was run before.
        """
        if self._begun:
            raise RuntimeError("this LoadTest was run already: make another one")
        need_hdrhistogram()
        check_host(base_url, self._owned_hosts)
        if start_at is not None and not -1.0 < start_at - time.time() < _LONGEST_WAIT:
            raise LoadError("the start time must be in the future, and at most one day away")
        self._begun = True
        settings: ClientSettings = {
            "base_url": base_url,
            "total_permitted": total_permitted,
            "max_per_second": max_per_second,
            "rate_window": rate_window,
            "allow_http": allow_http,
        }
        if timeout is not None:
            settings["timeout"] = timeout
        async with AsyncExitStack() as stack:
            pool = await stack.enter_async_context(
                LoadPool(ignore_limit=self._ignore_limit, allow_http=allow_http, budget=budget)
            )
            measured: ClientSettings = {**settings, "pool": pool, "retry": RetryPolicy(attempts=1)}
            # The careful client repeats what fails, and never ignores the rate limit. Otherwise it
            # shares the rate window, so that the first call need not find out about the limit.
            shared: ClientSettings = {**settings, "pool": pool}
            alone: ClientSettings = {**settings, "budget": budget}
            one = Client(api_token, **alone) if self._ignore_limit else Client(api_token, **shared)
            careful = await stack.enter_async_context(one)
            if observer is not None:
                stack.enter_context(careful.session.watching(observer))
            client = await stack.enter_async_context(Client(api_token, **measured))
            return await self._run(careful, client, start_at, progress)

    async def _run(
        self,
        careful: Client,
        client: Client,
        start_at: float | None,
        progress: Callable[[], None] | None,
    ) -> LoadResult:
        await self._action.prepare(careful, self._plan.part)
        try:
            wait = 0.0
            if start_at is not None:
                wait = max(start_at - time.time(), 0.0)
                self._late = max(time.time() - start_at, 0.0)
            runner = self.runner = Runner(self._action, self._plan, client, begin=clock() + wait)
            started = time.time() + wait + self._plan.warm_up
            if self._stopped:
                runner.stop()
            # A collection of all objects would delay the calls that are due meanwhile.
            gc.collect()
            gc.freeze()
            try:
                await runner.run(progress=progress)
            finally:
                gc.unfreeze()
        finally:
            self.left_behind = await self._restore(careful)
        return self._result(runner, client.base_url, started)

    async def _restore(self, careful: Client) -> list[str]:
        """Undo the changes, also while this task is being cancelled."""
        restoring = asyncio.ensure_future(self._action.restore(careful))
        cancelled: asyncio.CancelledError | None = None
        while not restoring.done():
            try:
                await asyncio.wait([restoring])
            except asyncio.CancelledError as error:  # noqa: PERF203 - it comes once or twice
                if cancelled is not None:
                    restoring.cancel()
                cancelled = error
        if cancelled is not None:
            if not restoring.cancelled():
                self.left_behind = _left(restoring)
            raise cancelled
        return _left(restoring)

    def _result(self, runner: Runner, base_url: str, started: float) -> LoadResult:
        plan, recording = self._plan, runner.recording
        elapsed = max(min(runner.elapsed, plan.duration), 0.001)
        part = LoadPart(
            host=socket.gethostname(),
            process=os.getpid(),
            version=__version__,
            base_url=base_url,
            action=str(self._action),
            schedule=plan.schedule,
            part=str(plan.part),
            warm_up=plan.warm_up,
            max_lag=plan.max_lag,
            started_at=iso(started) or "",
            duration=round(elapsed, 3),
            ignores_limit=self._ignore_limit,
            interrupted=self._stopped or runner.stopped_by is not None,
            stopped_by=str(runner.stopped_by) if runner.stopped_by is not None else None,
            problems=[],
            notes=[],
            left_behind=self.left_behind,
        )
        problems, notes = problems_of(recording, part), [*self._action.notes(), *notes_of(recording, part)]
        if self._late > _PUNCTUAL:
            notes.append(f"The test began {milliseconds(self._late)} after its start time: it was not ready.")
        return result_of(
            recording,
            parts=[replace(part, problems=problems, notes=notes)],
            started_at=part.started_at,
            duration=elapsed,
            problems=problems,
            notes=notes,
        )


def _left(restoring: asyncio.Future[list[str]]) -> list[str]:
    try:
        return restoring.result()
    except KatapultError as error:
        return [f"the disks could not be restored: {error}"]
