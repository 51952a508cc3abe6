"""What can go wrong with a shared budget: errors that end a run, and troubles that pass."""

from __future__ import annotations

from katapult_async.errors import Execution, KatapultError


class BudgetError(KatapultError):
    """The shared budget cannot be used as configured, and waiting does not help.

    Examples are a wrong password, an unknown host, a folder of another user, and two processes that give different
    lengths of the rate window for one token.
    """

    stops_run = True
    execution = Execution.NOT_EXECUTED


class StoreUnavailable(Exception):
    """The store cannot be read or written now. The message says why."""


class OtherVersion(StoreUnavailable):
    """Another version of this package, with another format, uses the budget."""

    def __init__(self) -> None:
        super().__init__("another version of katapult-async has written it")
