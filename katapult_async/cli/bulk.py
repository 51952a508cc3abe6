"""One durable run before the eyes of a person or a program: shown, interruptible, and summed up in an exit code.

All commands that execute runs share it. It decides nothing about the run itself.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from functools import partial
from typing import Any, TypeVar

from rich.console import Console

from katapult_async import Client, KatapultError
from katapult_async.cli.closing import closing
from katapult_async.cli.progress import Progress
from katapult_async.cli.terminal import is_plain
from katapult_async.client import Settings
from katapult_async.jobs import JournalError, Preflight, Run
from katapult_async.jobs.report import json_lines

T = TypeVar("T")

OK, SOME_NOT, BAD_INPUT, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130


def bad_input(reason: str) -> int:
    """Say why nothing was done; the exit code for it."""
    print(f"katapult-async: {reason}", file=sys.stderr)
    return BAD_INPUT


def console_for(*, as_json: bool) -> Console:
    """Where to show things: standard error when standard output is for a program."""
    out = sys.stderr if as_json else sys.stdout
    # JSON and a live line on the same terminal would write over each other.
    plain = is_plain(out) or (as_json and sys.stdout.isatty())
    return Console(file=out, force_terminal=not plain)


async def carry_out(run: Run, token: str, settings: Settings, *, as_json: bool, task_timeout: float) -> int:
    """Execute a run; the exit code. Raises nothing that can be expected to go wrong."""
    console = console_for(as_json=as_json)
    progress = Progress(console, total=run.info.lines)
    interrupted = False
    broken: JournalError | None = None
    watched: Settings = {**settings, "observer": progress}
    client = Client(token, **watched)
    progress.in_flight = lambda: client.session.gate.window.in_flight
    async with client:
        with progress, ExitStack() as stack:
            _stop_on_signals(stack, run, progress)
            stack.callback(asyncio.create_task(progress.beat()).cancel)
            try:
                await run.execute(client, task_timeout=task_timeout)
            except asyncio.CancelledError:
                interrupted = (
                    True  # the second signal: what was in flight is read back when the run is resumed
                )
            except JournalError as exc:
                broken = exc
        interrupted = interrupted or progress.stopping
    if broken is not None:
        print(f"katapult-async: {broken}: katapult-async resume {run.journal.name}", file=sys.stderr)
        return SOME_NOT
    if as_json:
        for line in json_lines(run.journal):
            print(line)
        sys.stdout.flush()
    closing(
        console,
        run.journal,
        interrupted=interrupted,
        refused_by=run.refused_by,
        period=client.session.gate.window.period,
    )
    if interrupted:
        return INTERRUPTED
    if run.refused_by is not None:
        return REFUSED
    return OK if run.summary().ok else SOME_NOT


async def look(
    look_with: Callable[[Client], Coroutine[Any, Any, Preflight]],
    token: str,
    settings: Settings,
    *,
    as_json: bool,
) -> Preflight | int:
    """A preflight, shown while it goes on; an exit code if it could not be made."""
    progress = Progress(console_for(as_json=as_json), step="look")
    watched: Settings = {**settings, "observer": progress}
    try:
        async with Client(token, **watched) as client:
            with progress, ExitStack() as stack:
                task = asyncio.current_task()
                if task is not None:
                    on_signals(stack, partial(_cancel, task))
                return await look_with(client)
    except JournalError as error:
        return bad_input(
            f"the preflight was not possible, and nothing was sent that changes anything: {error}"
        )
    except KatapultError as error:
        print(f"katapult-async: the preflight was not possible: {error}", file=sys.stderr)
        return REFUSED
    except asyncio.CancelledError:
        print("katapult-async: interrupted; nothing was sent that changes anything", file=sys.stderr)
        return INTERRUPTED


def _stop_on_signals(stack: ExitStack, run: Run, progress: Progress) -> None:
    """The first Ctrl-C or SIGTERM ends the run gently, the second one at once."""
    task = asyncio.current_task()

    def handle() -> None:
        if progress.stopping and task is not None:
            task.cancel()
            return
        progress.stopping = True
        run.stop()
        progress.note(stopping(progress.in_flight()))

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
        before = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # pragma: no cover - Windows: Ctrl-C ends it at once
            continue
        stack.callback(_hand_back, loop, number, before)


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()


def _hand_back(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Any) -> None:
    loop.remove_signal_handler(number)  # which sets the default, whatever was there
    signal.signal(number, handler)


def run_loop(main: Coroutine[Any, Any, T]) -> T | int:
    """Run it to its end, on uvloop where that is installed; what it returns, or the exit code of an interruption."""
    try:
        import uvloop
    except ModuleNotFoundError:
        runner: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run
    else:  # pragma: no cover - the same with the extra `speed`
        runner = uvloop.run
    try:
        return runner(main)
    except (KeyboardInterrupt, asyncio.CancelledError):
        # A signal before the handlers were set, or a third one.
        return INTERRUPTED
