"""One rate limit shared by processes: the state machine of one process, in a store that all of them can reach.

`state` says what is shared and decides who gets the permits. `file` and `redis` keep it. `gate` is where the requests
of one process wait. Nothing else of a program is shared: no queue of jobs, no results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .file import FileBudget
from .gate import SharedGate
from .store import Budget, BudgetError, Store, StoreUnavailable, key_of

if TYPE_CHECKING:
    from .redis import RedisBudget

__all__ = [
    "Budget",
    "BudgetError",
    "FileBudget",
    "RedisBudget",
    "SharedGate",
    "Store",
    "StoreUnavailable",
    "as_budget",
    "key_of",
]


def as_budget(budget: Budget | str | None) -> Budget | None:
    """A budget from what a user has given: one, `"file"`, the URL of a Redis server, or None.

    Raises:
        TypeError: If it is nothing of these.
        ValueError: If it is another text.
        BudgetError: If the URL is wrong, or redis-py is not installed.
    """
    if budget is None or budget == "none":
        return None
    if budget == "file":
        return FileBudget()
    if isinstance(budget, str):
        if budget.partition("://")[0] not in ("redis", "rediss", "unix"):
            raise ValueError(f"budget must be 'file' or redis://…, not {budget[:50]!r}")
        return _redis(budget)
    if not all(callable(getattr(budget, name, None)) for name in ("check", "store")):
        raise TypeError(f"budget must be a Budget, 'file' or redis://…, not {budget!r}")
    return budget


def _redis(url: str) -> Budget:
    try:
        from .redis import RedisBudget
    except ImportError:
        raise BudgetError("a budget in Redis needs redis-py: pip install 'katapult-async[redis]'") from None
    return RedisBudget(url)


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Only who asks for it needs redis-py.
        if name == "RedisBudget":
            from .redis import RedisBudget

            return RedisBudget
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
