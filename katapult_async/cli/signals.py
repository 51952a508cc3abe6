"""Handlers of Ctrl-C, SIGTERM and SIGHUP while an event loop runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

from katapult_async.cli.exit_codes import INTERRUPTED

T = TypeVar("T")
#: The signals that end a run. A closed terminal sends SIGHUP, which Windows does not have.
ENDING = [
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if name in signal.Signals.__members__
]


def on_signals(stack: ExitStack, handle: Callable[[], None]) -> None:
    """Call `handle` on each ending signal until the stack closes. Ignored signals stay ignored."""
    loop = asyncio.get_running_loop()
    for number in ENDING:
        before = signal.getsignal(number)
        if before is signal.SIG_IGN:
            continue  # nohup
        try:
            loop.add_signal_handler(number, handle)
        except NotImplementedError:  # pragma: no cover - Windows, where Ctrl-C ends the run at once
            continue
        stack.callback(_hand_back, loop, number, before)


def ignore_signals() -> None:
    """Ignore all ending signals, after the end of a run and before its journal is closed."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _hand_back(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Any) -> None:
    loop.remove_signal_handler(number)  # sets the default handler
    signal.signal(number, handler)


def run_loop(main: Coroutine[Any, Any, T]) -> T | int:
    """Run a coroutine to its end, on uvloop if it is installed.

    Returns:
        The result of the coroutine, or the exit code of an interruption.
    """
    try:
        import uvloop
    except ModuleNotFoundError:
        runner: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run
    else:  # pragma: no cover - with the extra `speed`
        runner = uvloop.run
    try:
        return runner(main)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return INTERRUPTED  # a signal before the handlers were set, or a third one
