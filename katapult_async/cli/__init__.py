"""The command line: katapult-async. Presentation only; what it does is done by the rooms above.

Starting it loads neither an HTTP client nor an event loop: each command imports what it needs.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point of `katapult-async`."""
    try:
        from katapult_async.cli.app import app
    except ModuleNotFoundError as exc:
        if exc.name not in {"typer", "rich", "click"}:
            raise
        print("the command line needs two more packages: pip install 'katapult-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    try:
        app()
    except BrokenPipeError:
        # Somebody closed our output (`| head`): nothing is left to say, also not by the interpreter's own flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
