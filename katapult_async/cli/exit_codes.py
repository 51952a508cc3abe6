"""The exit codes of all commands, and the message of a command that did nothing."""

from __future__ import annotations

import sys
from typing import NoReturn

from katapult_async.cli.safe import shown

OK, SOME_NOT, BAD_INPUT, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

#: Part of the help.
EXPLAINED = """\
Exit codes:
    0  everything is done
    1  some lines are not done, you answered no, or a pipe was closed
    2  wrong input, or another process executes the run; nothing was changed
    3  the run was refused (token, network, scope, budget), or nobody answered
  130  interrupted; resume the run with the command that is shown"""


def bad_input(reason: str) -> int:
    """Write the message of a command that ends early.

    Returns:
        The exit code for wrong usage or input. Commands with another reason return their own code.
    """
    print(f"katapult-async: {shown(reason)}", file=sys.stderr)
    return BAD_INPUT


def refuse(reason: str) -> NoReturn:
    """Write why the command did nothing, and exit with 2."""
    raise SystemExit(bad_input(reason))
