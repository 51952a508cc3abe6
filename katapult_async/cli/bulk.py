"""One bulk run before the eyes of a person or a program: shown, interruptible, and summed up in an exit code.

`demo` and `assign` share it. It decides nothing about the run itself.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from katapult_async import Assignment, BulkReport, Client, Outcomes
from katapult_async.cli.closing import as_json_line, closing, report_json
from katapult_async.cli.progress import Progress
from katapult_async.cli.terminal import is_plain
from katapult_async.client import Settings
from katapult_async.jobs import ManifestError

OK, SOME_NOT, BAD_INPUT, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


def bad_input(reason: str) -> int:
    """Say why nothing was done; the exit code for it."""
    print(f"katapult-async: {reason}", file=sys.stderr)
    return BAD_INPUT


async def carry_out(
    token: str, items: Iterable[Assignment], total: int, *, as_json: bool, settings: Settings
) -> int:
    """Assign all items; the exit code. Raises nothing that can be expected to go wrong."""
    out = sys.stderr if as_json else sys.stdout
    # Outcomes in JSON and a live line on the same terminal would write over each other.
    plain = is_plain(out) or (as_json and sys.stdout.isatty())
    console = Console(file=out, force_terminal=not plain)
    progress = Progress(console, total=total)
    broken: ManifestError | None = None
    interrupted = False
    watched: Settings = {**settings, "observer": progress}
    client = Client(token, **watched)
    async with client:
        run = client.disks.assign_each(items)
        with progress, ExitStack() as stack:
            try:
                async with run as outcomes:
                    _stop_on_signals(stack, outcomes, progress, lambda: client.session.gate.window.in_flight)
                    async for outcome in outcomes:
                        progress.outcome(outcome)
                        if as_json:
                            print(as_json_line(outcome), flush=True)
            except asyncio.CancelledError:
                # The second signal: what was in flight is in the report as unknown.
                interrupted = True
            except ManifestError as exc:
                broken = exc
        interrupted = interrupted or progress.stopping
    missing = total - run.report.total
    if as_json:
        print(report_json(run.report, never_pulled=missing), flush=True)
    closing(
        console,
        run.report,
        never_pulled=missing,
        interrupted=interrupted,
        period=client.session.gate.window.period,
    )
    if broken is not None:
        print(f"katapult-async: the plan has changed since it was checked: {broken}", file=sys.stderr)
        return SOME_NOT
    return INTERRUPTED if interrupted else _exit_code(run.report)


def _exit_code(report: BulkReport) -> int:
    if report.stopped_by is not None:
        return REFUSED
    return OK if report.ok else SOME_NOT


def _stop_on_signals(
    stack: ExitStack, outcomes: Outcomes, progress: Progress, in_flight: Callable[[], int]
) -> None:
    """The first Ctrl-C or SIGTERM ends the run gently, the second one at once."""
    task = asyncio.current_task()

    def handle() -> None:
        if progress.stopping and task is not None:
            task.cancel()
            return
        progress.stopping = True
        outcomes.stop()
        progress.note(stopping(in_flight()))

    on_signals(stack, handle)


def stopping(in_flight: int) -> str:
    """What to say on the first signal."""
    if not in_flight:
        return "stopping: nothing is in flight"
    requests = "1 request" if in_flight == 1 else f"{in_flight} requests"
    return f"stopping: waiting for {requests} in flight (once more to stop at once)"


def on_signals(stack: ExitStack, handle: Callable[[], None]) -> None:
    """Call `handle` on Ctrl-C and SIGTERM until the stack is closed."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # pragma: no cover - Windows: Ctrl-C ends it at once
            continue
        stack.callback(loop.remove_signal_handler, number)


def run_loop(main: Coroutine[Any, Any, int]) -> int:
    """Run it to its end, on uvloop where that is installed; the exit code."""
    try:
        import uvloop
    except ModuleNotFoundError:
        runner: Callable[[Coroutine[Any, Any, int]], int] = asyncio.run
    else:  # pragma: no cover - the same with the extra `speed`
        runner = uvloop.run
    try:
        return runner(main)
    except (KeyboardInterrupt, asyncio.CancelledError):
        # A signal before the handlers were set, or a third one.
        return INTERRUPTED
