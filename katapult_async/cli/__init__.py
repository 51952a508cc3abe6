"""The command line `katapult-async`. It only reads options and shows results.

Each command imports what it needs, so the start loads neither an HTTP client nor an event loop.
"""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run `katapult-async` with the arguments of the process."""
    from katapult_async.cli.exit_codes import INTERRUPTED, SOME_NOT, bad_input
    from katapult_async.cli.streams import OutputError, give_up_output, guard

    try:
        guard()
        try:
            _run()
        finally:
            sys.stdout.flush()
    except OutputError as exc:
        code = bad_input(f"cannot write to standard output: {exc.strerror}")
    except BrokenPipeError:
        code = SOME_NOT  # the reader has closed the pipe (`| head`), so no message can arrive
    except KeyboardInterrupt:
        code = INTERRUPTED  # before a command began, or in the last flush
    else:
        return
    give_up_output()
    raise SystemExit(code)


def _run() -> None:
    try:
        from katapult_async.cli.app import app
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] not in {"typer", "click"}:
            raise
        print("the command line needs one more package: pip install 'katapult-async[cli]'", file=sys.stderr)
        raise SystemExit(2) from None
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", None)):
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            # Outside the event loop, which has its own handlers, a signal acts like Ctrl-C.
            signal.signal(number, signal.default_int_handler)
    app(prog_name="katapult-async")
