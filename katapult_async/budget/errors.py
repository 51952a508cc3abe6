"""Errors of a shared budget: permanent ones, which end a run, and temporary ones."""

from __future__ import annotations

from katapult_async.errors import Execution, KatapultError


class BudgetError(KatapultError):
    """The shared budget cannot be used as configured, and waiting does not help.

    Examples: a wrong password, an unknown host, a folder of another user, or two processes that
    configure different rate windows for one token.
    """

    stops_run = True
    execution = Execution.NOT_EXECUTED


class StoreUnavailable(Exception):
    """The store cannot be read or written at the moment. The message gives the reason."""


class OtherVersion(StoreUnavailable):
    """Another version of this package uses the budget, with another format."""

    def __init__(self) -> None:
        super().__init__("another version of katapult-async has written it")
