"""The command line: katapult-async. Presentation only; what it does is done by the rooms above.

Starting it loads neither an HTTP client nor an event loop: each command imports what it needs.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module
from typing import TextIO

__all__ = ["main"]


def main() -> None:
    """The entry point of `katapult-async`."""
    try:
        import_module("rich")  # typer runs without it, the commands do not
        from katapult_async.cli.app import app
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"typer", "rich", "click"}:
            raise
        print("the command line needs two more packages: pip install 'katapult-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        # Outside of the event loop, which has handlers of its own: ends like Ctrl-C, and leaves nothing behind.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    output: TextIO = sys.stdout
    if isinstance(output, io.TextIOWrapper):
        # What the API says may hold characters that an old locale has not: no reason to end in the middle of a run.
        output.reconfigure(errors="backslashreplace")
    try:
        app()
    except BrokenPipeError:
        # Somebody closed our output (`| head`): nothing is left to say, also not by the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        raise SystemExit(1) from None
