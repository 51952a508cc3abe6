"""Questions to the user before anything is changed.

A question goes to the terminal of standard input or to the controlling terminal, even if output is
piped. Without a terminal, the command does nothing.
"""

from __future__ import annotations

import contextlib
import os
import sys
from urllib.parse import urlsplit

from katapult_async.cli.exit_codes import BAD_INPUT, INTERRUPTED, SOME_NOT, bad_input
from katapult_async.cli.terminal import discard_typed, open_terminal

NOBODY = "cannot ask for confirmation, because there is no terminal. Nothing was sent. To confirm, add --yes"


def nobody_to_ask() -> int | None:
    """Return None if the user can be asked, else the exit code, after a message."""
    terminal = open_terminal()
    if terminal is None:
        return bad_input(NOBODY)
    os.close(terminal)
    return None


def confirmed(question: str, *, nothing_sent: bool = True) -> int | None:
    """Ask a question with the default answer no.

    Args:
        question: The question, without the choices.
        nothing_sent: Whether to write after a no that nothing was sent.

    Returns:
        None for yes, else the exit code.
    """
    terminal = open_terminal()
    if terminal is None:
        return bad_input(NOBODY) if nothing_sent else BAD_INPUT
    try:
        answer = _ask(terminal, f"{question} [y/N] ")
    except KeyboardInterrupt:
        answer = None
    finally:
        os.close(terminal)
    if answer is not None and answer.strip().lower() in ("y", "yes"):
        return None
    if nothing_sent:
        print("nothing was sent", file=sys.stderr)
    return INTERRUPTED if answer is None else SOME_NOT


def target(organization: str | None, base_url: str) -> str:
    """Return the target of changes for a question: `in acme at api.katapult.io`."""
    at = f"at {host(base_url)}"
    return f"in {organization} {at}" if organization else at


def host(base_url: str) -> str:
    """Return the host of a base URL, with its port if it has one."""
    return urlsplit(base_url).netloc


def _ask(terminal: int, question: str) -> str | None:
    """Return the answer. None after Ctrl-C or at the end of input."""
    # Keys that were typed before the question must not answer it.
    discard_typed(terminal)
    try:
        os.write(terminal, question.encode())
        answer = b""
        while not answer.endswith(b"\n"):
            if not (more := os.read(terminal, 1024)):
                break
            answer += more
    except (KeyboardInterrupt, OSError):
        with contextlib.suppress(OSError):
            os.write(terminal, b"\n")
        return None
    if not answer:
        os.write(terminal, b"\n")
        return None
    return answer.decode(errors="replace")
