"""End a small run at every step and in every way, and compare its report with the ledger.

KATAPULT_HARNESS=full ends it at more steps.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from katapult_async import (
    Assignment,
    BulkReport,
    Client,
    Observer,
    Outcome,
    OutcomeEvent,
    Outcomes,
    OutcomeStatus,
    RequestEvent,
    RetryPolicy,
    SessionPool,
    Timeout,
    WaitEvent,
)
from katapult_async.testing import Answers, Counting, FaultKind, Faults, KatapultEmulator
from tests.e2e.test_bulk import pairs

FULL = os.environ.get("KATAPULT_HARNESS") == "full"
ITEMS = 12
#: Ways to end a run at a step.
ACTIONS = ["raise", "raise CancelledError", "stop", "cancel"]


class Ending:
    """Ends a run in one way at the k-th counted step."""

    def __init__(self, where: str, action: str, step: int) -> None:
        self.where = where
        self.action = action
        self.left = step
        self.fired = False
        self.outcomes: Outcomes | None = None
        self.consumer: asyncio.Task[object] | None = None

    def step(self, where: str) -> None:
        if where != self.where or self.fired:
            return
        self.left -= 1
        if self.left >= 0:
            return
        self.fired = True
        if self.action == "stop":
            if self.outcomes is not None:
                self.outcomes.stop()
        elif self.action == "cancel":
            assert self.consumer is not None
            self.consumer.cancel()
        elif self.action == "raise":
            raise LookupError(self.where)
        else:
            raise asyncio.CancelledError


class Watcher(Observer):
    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self.seen: list[object] = []

    def on_request(self, event: RequestEvent) -> None:
        self.seen.append(event)
        self._ending.step("observer")

    def on_wait(self, event: WaitEvent) -> None:
        self.seen.append(event)
        self._ending.step("observer")

    def on_outcome(self, event: OutcomeEvent) -> None:
        self.seen.append(event)
        self._ending.step("observer")


class Run:
    """One run and its results."""

    def __init__(self, emulator: KatapultEmulator, ending: Ending, *, sync: bool) -> None:
        self.emulator = emulator
        self.ending = ending
        self.sync = sync
        self.pulled: list[Assignment] = []
        self.closed = False
        self.got: list[Outcome] = []
        self.report: BulkReport | None = None

    def source(self) -> Iterator[Assignment]:
        for item in pairs(self.emulator):
            self.ending.step("source")
            self.pulled.append(item)
            yield item

    async def async_source(self) -> AsyncIterator[Assignment]:
        try:
            with anyio.fail_after(60):
                for item in pairs(self.emulator):
                    self.ending.step("source")
                    await asyncio.sleep(0)
                    self.pulled.append(item)
                    yield item
        finally:
            self.closed = True

    async def consume(self, client: Client) -> None:
        outcomes = client.disks.assign_each(self.source() if self.sync else self.async_source())
        self.ending.outcomes = outcomes
        self.report = outcomes.report
        async with outcomes:
            async for outcome in outcomes:
                self.got.append(outcome)
                self.ending.step("consumer")


async def ended_run(
    emulator: KatapultEmulator, pool: SessionPool, ending: Ending, *, sync: bool, period: float
) -> Run:
    run = Run(emulator, ending, sync=sync)
    before = asyncio.all_tasks()
    async with Client(
        "token",
        base_url=emulator.url,
        pool=pool,
        concurrency=3,
        retry=RetryPolicy(base=0.001, cap=0.01),
        timeout=Timeout(total=2),
        rate_window=period,
        observer=Watcher(ending),
    ) as client:
        ending.consumer = asyncio.create_task(run.consume(client))
        if ending.where == "event loop":
            for _ in range(ending.left + 1):
                await asyncio.sleep(0)
            ending.left = 0
            ending.step("event loop")
        with anyio.fail_after(20):
            await asyncio.wait([ending.consumer])
        left = {
            task for task in asyncio.all_tasks() - before if "RequestHandler" not in repr(task.get_coro())
        }
        assert not left
        assert client.session.gate.window.in_flight == 0
        assert client.session.gate.waiting == 0
    while emulator.ledger.in_flight:
        await asyncio.sleep(0.001)
    return run


def check(run: Run, ending: Ending) -> None:
    emulator, report = run.emulator, run.report
    assert report is not None
    assert ending.consumer is not None
    error = None if ending.consumer.cancelled() else ending.consumer.exception()
    if not ending.fired or (ending.where == "observer" and ending.action.startswith("raise")):
        assert error is None
        assert report.complete
        assert report.total == ITEMS
    elif ending.action == "raise" and error is not None:
        assert isinstance(error, LookupError)
    elif ending.where == "source" and ending.action == "raise CancelledError":
        assert isinstance(error, RuntimeError)
        assert "the input was cancelled after" in str(error)
    else:
        assert error is None
    if ending.fired and ending.where == "source" and ending.action != "cancel":
        assert not report.complete
        assert not report.ok
    # Exactly one outcome per item, and each outcome is true.
    assert report.total == len(run.pulled)
    assert run.sync or run.closed or not run.pulled
    applied = {change.disk for change in emulator.ledger.applied}
    counts = Counter(outcome.status for outcome in run.got)
    assert not counts - Counter(report.counts)
    for outcome in run.got:
        if outcome.status is OutcomeStatus.ASSIGNED:
            assert outcome.assignment.disk in applied
        elif outcome.status is OutcomeStatus.NOT_ATTEMPTED:
            assert outcome.assignment.disk not in applied
    known = report.counts.get(OutcomeStatus.ASSIGNED, 0)
    unknown = report.counts.get(OutcomeStatus.UNKNOWN, 0)
    assert known <= len(applied) <= known + unknown
    assert emulator.ledger.applied_more_than_once() == []
    # A request that was cancelled before it was written did not arrive.
    cut = 3 if ending.consumer.cancelled() or error is not None else 0
    assert report.requests - cut <= emulator.ledger.total <= report.requests


def steps(where: str, *, limited: bool) -> list[int]:
    if where == "event loop":
        return list(range(0, 400, 1 if FULL else 80 if limited else 16))
    most = ITEMS * 2 if where == "observer" else ITEMS
    return list(range(0, most + 1, 1 if FULL else 8 if limited else 3))


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("faults", [False, True])
@pytest.mark.parametrize("where", ["source", "observer", "consumer", "event loop"])
async def test_a_run_may_end_at_any_step(where: str, fast: bool, faults: bool) -> None:
    await run_all(where, fast=fast, faults=faults, limited=False)


@pytest.mark.parametrize("where", ["source", "observer", "consumer", "event loop"])
async def test_a_run_under_a_rate_limit_may_end_at_any_step(where: str) -> None:
    await run_all(where, fast=True, faults=False, limited=True)


def quick_faults(seed: int) -> Faults:
    """Return faults on a fifth of the requests, without those that need a time-out."""
    faults = Faults(seed=seed)
    kinds = [kind for kind in FaultKind if "timeout" not in kind.value]
    faults.rates = dict.fromkeys(kinds, 0.2 / len(kinds))
    return faults


async def run_all(where: str, *, fast: bool, faults: bool, limited: bool) -> None:
    actions = ["cancel", "stop"] if where == "event loop" or (limited and not FULL) else ACTIONS
    for number, (action, step) in enumerate((a, s) for a in actions for s in steps(where, limited=limited)):
        ending = Ending(where, action, step)
        period = 0.3 if limited else 60.0
        async with KatapultEmulator(
            disks=ITEMS,
            virtual_machines=5,
            counting=Counting(limit=7 if limited else 100_000, period=period),
            answers=Answers(headers=number % 2 == 0),
            faults=quick_faults(number) if faults else None,
        ) as emulator:
            async with SessionPool(fast_path=fast) as pool:
                run = await ended_run(emulator, pool, ending, sync=number % 3 == 0, period=period)
            try:
                check(run, ending)
            except AssertionError as failed:
                raise AssertionError(f"{action} at step {step} of the {where}: {run.report}") from failed
