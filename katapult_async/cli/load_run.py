"""`load run`: show the plan of a load test, ask, carry it out, and show the result."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from katapult_async import Assignment, KatapultError
from katapult_async.cli.access import base_url_of, token_for
from katapult_async.cli.exit_codes import INTERRUPTED, OK, REFUSED, SOME_NOT, bad_input, refuse
from katapult_async.cli.load_files import Write, write
from katapult_async.cli.load_progress import LoadProgress
from katapult_async.cli.manifest import open_checked
from katapult_async.cli.questions import confirmed, host
from katapult_async.cli.safe import shown
from katapult_async.cli.settings import Sources
from katapult_async.cli.signals import ignore_signals, on_signals, run_loop
from katapult_async.cli.summary import in_words
from katapult_async.cli.warnings_shown import warnings_shown
from katapult_async.cli.words import count, counted, duration
from katapult_async.client import ClientSettings
from katapult_async.jobs import ManifestError
from katapult_async.load import (
    AssignUnassign,
    ListDisks,
    LoadAction,
    LoadError,
    LoadResult,
    LoadTest,
    Mix,
    OpenLoop,
    Plan,
    ReadDisk,
    Threshold,
    failures,
    result_table,
    to_json,
)
from katapult_async.load.histogram import need_hdrhistogram
from katapult_async.load.hosts import check_host
from katapult_async.transport import DEFAULT_BASE_URL, Timeout

ACTIONS = ("disk", "list", "assign")


class Wanted(NamedTuple):
    """The options of `load run` besides plan and connection."""

    action: str
    manifest: str | None
    organization: str | None
    seed: int
    ignore_limit: bool
    owned_hosts: Sequence[str]
    start_at: float | None
    thresholds: list[Threshold]
    files: list[tuple[Path, Write]]
    yes: bool
    as_json: bool
    quiet: bool
    no_progress: bool


def run_load(wanted: Wanted, plan: Plan, settings: ClientSettings, sources: Sources) -> int:
    """Carry out a load test.

    Returns:
        The exit code: 1 if the result is not valid, fails a threshold, or left a change behind.
    """
    base_url = base_url_of(sources, allow_http=settings.get("allow_http", False))
    try:
        need_hdrhistogram()
        check_host(base_url, wanted.owned_hosts)
        action, items = _action(wanted)
    except (LoadError, ManifestError, ValueError) as exc:
        refuse(str(exc))
    token = token_for(sources, settings)
    for line in described(action, items, plan, base_url, ignore_limit=wanted.ignore_limit):
        print(shown(line), file=sys.stderr)
    if not wanted.yes:
        code = confirmed(f"Start this load test of {host(base_url)}?")
        if code is not None:
            return code
    test = LoadTest(action, plan, ignore_limit=wanted.ignore_limit, owned_hosts=wanted.owned_hosts)
    found: LoadResult | int = run_loop(_carry_out(test, token, settings, wanted))
    if isinstance(found, int):
        return found
    return conclude(found, wanted)


def _action(wanted: Wanted) -> tuple[LoadAction, list[Assignment]]:
    """Return the action that the argument names, and the items of the manifest.

    Raises:
        ValueError: If there is no such action, or it needs another option.
        ManifestError: If the manifest cannot be read.
    """
    weights = _weights(wanted.action)
    items: list[Assignment] = []
    if wanted.manifest is not None:
        with open_checked(wanted.manifest) as manifest:
            items = [Assignment(line.disk, line.virtual_machine) for line in manifest]
    actions = {_one(name, wanted, items): weight for name, weight in weights.items()}
    return (next(iter(actions)) if len(actions) == 1 else Mix(actions, seed=wanted.seed)), items


def _weights(text: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, weight = part.strip().partition("=")
        try:
            found[name] = float(weight) if equals else 1.0
        except ValueError:
            raise ValueError(f"expected a weight, as in disk=8,list=1, found {part!r}") from None
        if name not in ACTIONS:
            raise ValueError(f"there is no load test {name!r}: give {', '.join(ACTIONS)}, or disk=8,assign=1")
        if not found[name] > 0:
            raise ValueError(f"a weight must be above 0, found {part!r}")
    return found


def _one(name: str, wanted: Wanted, items: list[Assignment]) -> LoadAction:
    if name == "disk":
        if not items and wanted.organization is None:
            raise ValueError("which disks are to be read? Add --manifest or --organization")
        return ReadDisk([item.disk for item in items], organization=wanted.organization)
    if name == "list":
        if wanted.organization is None:
            raise ValueError("whose disks are to be listed? Add --organization")
        return ListDisks(wanted.organization)
    if not items:
        raise ValueError("which disks are to be assigned? Add --manifest")
    return AssignUnassign(items)


def described(
    action: LoadAction, items: list[Assignment], plan: Plan, base_url: str, *, ignore_limit: bool
) -> list[str]:
    """Return what a load test will do, in sentences."""
    warm_up = f", after a warm-up of {duration(plan.warm_up)}" if plan.warm_up else ""
    lines = [f"Load test of {base_url}: {action}, {plan.schedule}, for {duration(plan.duration)}{warm_up}."]
    if isinstance(plan.schedule, OpenLoop):
        arrivals = plan.schedule.arrivals
        calls = arrivals.expected(plan.duration) + arrivals.first_rate * plan.warm_up
        share = f" Part {plan.part} is this process." if plan.part.of > 1 else ""
        lines.append(f"It sends about {counted(round(calls / plan.part.of), 'request')}.{share}")
    if ignore_limit:
        lines.append("It ignores the rate limit: all users of this token may get 429s.")
    else:
        lines.append("It keeps to the rate limit.")
    if action.writes:
        machines = len({item.virtual_machine for item in items})
        lines.append(
            f"It reads {counted(len(items), 'disk')} first, one request each, then assigns and unassigns them on"
            f" {counted(machines, 'machine')}. Disks that are on a machine now are left out. All others are on no"
            " machine afterwards."
        )
    return lines


async def _carry_out(
    test: LoadTest, token: str, settings: ClientSettings, wanted: Wanted
) -> LoadResult | int:
    timeout = settings.get("timeout") or Timeout()
    progress = LoadProgress(test, shown=not (wanted.no_progress or wanted.quiet), timeout=timeout.total)
    with ExitStack() as signals:
        running = asyncio.ensure_future(_run(test, token, settings, wanted, progress))
        on_signals(signals, _Stopper(test, running, progress))
        shows = asyncio.ensure_future(progress.beat())
        signals.callback(shows.cancel)
        try:
            with progress, warnings_shown(progress.note):
                return await running
        except LoadError as exc:
            return bad_input(str(exc))
        except KatapultError as error:
            bad_input(f"the load test could not be prepared: {in_words(error)}. Nothing was changed")
            return REFUSED
        except asyncio.CancelledError:
            ignore_signals()
            _show_left(test)
            bad_input("interrupted; there is no result")
            return INTERRUPTED


async def _run(
    test: LoadTest, token: str, settings: ClientSettings, wanted: Wanted, progress: LoadProgress
) -> LoadResult:
    return await test.run(
        token,
        base_url=settings.get("base_url", DEFAULT_BASE_URL),
        timeout=settings.get("timeout"),
        total_permitted=settings.get("total_permitted"),
        max_per_second=settings.get("max_per_second"),
        rate_window=settings.get("rate_window", 60.0),
        allow_http=settings.get("allow_http", False),
        budget=settings.get("budget"),
        start_at=wanted.start_at,
        observer=progress,
    )


class _Stopper:
    """The signal handler: first stop gently, then at once, then also without restoring."""

    def __init__(self, test: LoadTest, running: asyncio.Future[LoadResult], progress: LoadProgress) -> None:
        self._test = test
        self._running = running
        self._progress = progress
        self._signals = 0

    def __call__(self) -> None:
        if self._running.done():
            return
        self._signals += 1
        runner = self._test.runner
        if runner is None:
            self._running.cancel()  # nothing was changed yet
        elif self._signals == 1:
            self._test.stop()
            in_flight = counted(runner.in_flight, "request")
            self._progress.note(f"stopping: waiting for {in_flight} in flight (Ctrl-C again stops at once)")
        else:
            self._running.cancel()
            self._progress.note("stopping at once: restoring (Ctrl-C again leaves the disks as they are)")


def conclude(result: LoadResult, wanted: Wanted) -> int:
    """Write files, show the result, and return the exit code."""
    code = OK
    for path, writer in wanted.files:
        problem = write(path, result, writer)
        if problem is not None:
            bad_input(problem)
            code = SOME_NOT
    code = show(result, wanted.thresholds, as_json=wanted.as_json) or code
    if result.interrupted:
        stopped = [part.stopped_by for part in result.parts if part.stopped_by is not None]
        return REFUSED if stopped else INTERRUPTED
    return code


def show(result: LoadResult, thresholds: list[Threshold], *, as_json: bool) -> int:
    """Show a result and the thresholds that it fails.

    Returns:
        The exit code: 1 if the result is not valid, fails a threshold, or left a change behind.
    """
    print(to_json(result) if as_json else shown_lines(result_table(result)), flush=True)
    failed = failures(result, thresholds)
    for failure in failed:
        bad_input(f"failed: {failure}")
    if as_json:
        for problem in (*result.problems, *result.left_behind):
            bad_input(problem)
    return SOME_NOT if failed or not result.valid or result.left_behind else OK


def shown_lines(text: str) -> str:
    """Return safe text for several lines of a terminal."""
    return "\n".join(shown(line) for line in text.splitlines())


def _show_left(test: LoadTest) -> None:
    for left in test.left_behind:
        bad_input(f"not restored: {left}")
    if test.left_behind:
        bad_input(f"{count(len(test.left_behind))} not restored: katapult-async run unassign MANIFEST")
