"""The exit codes of all commands, and the one sentence of a command that did nothing."""

from __future__ import annotations

import sys
from typing import NoReturn

from katapult_async.cli.safe import shown

OK, SOME_NOT, BAD_INPUT, REFUSED, INTERRUPTED = 0, 1, 2, 3, 130

#: For the help.
EXPLAINED = """\
Exit codes:
    0  everything is done
    1  some lines are not done, or you answered no
    2  wrong usage or input; nothing was sent
    3  the API refused the run (token, network, scope), or nobody answered
  130  interrupted; resume the run with the command that is shown"""


def bad_input(reason: str) -> int:
    """Write the one sentence of a command that ends early.

    Returns:
        The exit code for wrong usage or input. Commands that end for another reason return their own.
    """
    print(f"katapult-async: {shown(reason)}", file=sys.stderr)
    return BAD_INPUT


def refuse(reason: str) -> NoReturn:
    """Say why nothing was done, and exit."""
    raise SystemExit(bad_input(reason))
