"""Execute a durable run with progress, signals, a summary and an exit code.

Shared by all commands that execute runs. Decides nothing about the run itself.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any

from katapult_async import Client, KatapultError
from katapult_async.budget import BudgetError, SharedGate
from katapult_async.cli.access import command_for
from katapult_async.cli.exit_codes import INTERRUPTED, OK, REFUSED, SOME_NOT, bad_input
from katapult_async.cli.options import Screen
from katapult_async.cli.progress import Progress
from katapult_async.cli.signals import ignore_signals, on_signals
from katapult_async.cli.summary import Ending, in_words, show_summary
from katapult_async.cli.warnings_shown import warnings_shown
from katapult_async.cli.words import counted
from katapult_async.client import ClientSettings
from katapult_async.jobs import JournalError, LineStatus, Preflight, Run, RunSummary
from katapult_async.jobs.report import json_lines


async def carry_out(
    run: Run,
    token: str,
    settings: ClientSettings,
    *,
    screen: Screen,
    task_timeout: float,
    limit_lines: int | None = None,
    max_failures: int | None = None,
    kept: bool = True,
) -> int:
    """Execute a run and show its summary. Expected errors become messages and exit codes.

    Args:
        run: The run, which stays open.
        token: The API token.
        settings: The settings of the client.
        screen: What to show.
        task_timeout: Longest time to wait for one task in seconds.
        limit_lines: How many lines to execute. None for all.
        max_failures: Stop when more lines than this have failed. None for no limit.
        kept: Whether the journal stays. If not, the summary shows no command that needs it.

    Returns:
        The exit code.
    """
    progress = _progress(screen, total=run.info.lines)
    watched: ClientSettings = {**settings, "observer": progress}
    client = Client(token, **watched)
    # The handlers stay until the summary is written, so that another Ctrl-C does not cut it off.
    with ExitStack() as signals:
        try:
            async with client:
                _connect(progress, client, run)
                executing = asyncio.ensure_future(
                    run.execute(
                        client, task_timeout=task_timeout, limit_lines=limit_lines, max_failures=max_failures
                    )
                )
                on_signals(signals, _stopper(run, progress, executing))
                interrupted = await _shown(executing, progress)
        except JournalError as exc:
            resume = command_for("resume", run.journal.name, run.info.base_url)
            bad_input(f"{exc}. When it can be written again: {resume}")
            return SOME_NOT
        except BudgetError as exc:
            resume = command_for("resume", run.journal.name, run.info.base_url)
            bad_input(f"{exc}. When it can be used again: {resume}")
            return SOME_NOT
        ending = Ending(interrupted or progress.stopping, run.refused_by, kept, limit_lines)
        code = _conclude(run, ending, screen)
    if code == INTERRUPTED:
        ignore_signals()
    return code


async def _shown(executing: asyncio.Future[RunSummary], progress: Progress) -> bool:
    """Show progress while a run is executed, and return whether a second signal has ended it."""
    with progress, warnings_shown(progress.note), ExitStack() as stack:
        stack.callback(asyncio.create_task(progress.beat()).cancel)
        try:
            await executing
        except asyncio.CancelledError:
            return True
    return False


def _conclude(run: Run, ending: Ending, screen: Screen) -> int:
    """Show the summary of a run, and return the exit code."""
    if screen.as_json and ending.canary is None:
        print_json(run)
    show_summary(sys.stderr if screen.as_json else sys.stdout, run.journal, ending, quiet=screen.quiet)
    if ending.interrupted:
        return INTERRUPTED
    if run.refused_by is not None:
        return REFUSED
    return OK if run.summary().ok else SOME_NOT


def print_json(run: Run) -> None:
    """Write each line of a run, then its totals, to standard output."""
    for line in json_lines(run.journal):
        print(line)
    sys.stdout.flush()


async def make_preflight(
    preflight: Callable[[Client], Coroutine[Any, Any, Preflight]],
    token: str,
    settings: ClientSettings,
    *,
    screen: Screen,
) -> Preflight | int:
    """Make a preflight with progress.

    Args:
        preflight: Makes the preflight with a client.
        token: The API token.
        settings: The settings of the client.
        screen: What to show.

    Returns:
        The preflight, or the exit code if it failed.
    """
    progress = _progress(screen, step="look")
    watched: ClientSettings = {**settings, "observer": progress}
    try:
        async with Client(token, **watched) as client:
            _connect(progress, client, None)
            with progress, warnings_shown(progress.note), ExitStack() as stack:
                task = asyncio.ensure_future(preflight(client))
                on_signals(stack, partial(_cancel, task))
                stack.callback(asyncio.create_task(progress.beat()).cancel)
                return await task
    except JournalError as error:
        return bad_input(f"the preflight could not be made: {error}. Nothing was changed")
    except KatapultError as error:
        bad_input(f"the preflight could not be made: {in_words(error)}. Nothing was changed")
        return REFUSED
    except asyncio.CancelledError:
        bad_input("interrupted; nothing was changed")
        return INTERRUPTED


def _progress(screen: Screen, *, step: str = "assign", total: int = 0) -> Progress:
    shown = not (screen.no_progress or screen.quiet)
    return Progress(sys.stderr, step=step, total=total, shown=shown, verbose=screen.verbose)


def _connect(progress: Progress, client: Client, run: Run | None) -> None:
    """Give the display access to the values of the client and the run."""
    gate = client.session.gate
    # The window of a shared gate counts the requests of other processes, too.
    progress.in_flight = lambda: gate.in_flight if isinstance(gate, SharedGate) else gate.window.in_flight
    if run is not None:
        progress.patience_left = lambda: run.patience_left
        progress.attaches = run.info.attach
        progress.failed_before = run.summary().counts.get(LineStatus.FAILED, 0)
    meter = progress.meter
    meter.known_limit = lambda: gate.limit
    meter.period = gate.window.period
    meter.max_per_second = client.max_per_second


def _stopper(run: Run, progress: Progress, executing: asyncio.Future[RunSummary]) -> Callable[[], None]:
    """Return the signal handler: first stop gently, then at once, then ignore further signals."""
    cancelled = False

    def handle() -> None:
        nonlocal cancelled
        if executing.done() or cancelled:
            return
        if progress.stopping:
            cancelled = True
            executing.cancel()
            return
        progress.stopping = True
        run.stop()
        progress.note(stopping(progress.in_flight()))

    return handle


def stopping(in_flight: int) -> str:
    """Return the message for the first signal."""
    if not in_flight:
        return "stopping: no request is in flight"
    return f"stopping: waiting for {counted(in_flight, 'request')} in flight (Ctrl-C again stops at once)"


def _cancel(task: asyncio.Future[Any]) -> None:
    task.cancel()
