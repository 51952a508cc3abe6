"""One rate limit for several processes: a shared state in a store that all of them can reach.

`state` defines the shared state, and `exchange` decides how a process changes it. `file` and
`redis` store it. The requests of one process wait in `gate`. Processes share the rate limit only:
no queue of jobs and no results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import BudgetError, StoreUnavailable
from .exchange import exchange
from .file import FileBudget
from .gate import SharedGate
from .state import Look, Looked, State
from .store import Budget, Store, key_of

if TYPE_CHECKING:
    from .redis import RedisBudget

__all__ = [
    "Budget",
    "BudgetError",
    "FileBudget",
    "Look",
    "Looked",
    "RedisBudget",
    "SharedGate",
    "State",
    "Store",
    "StoreUnavailable",
    "as_budget",
    "exchange",
    "key_of",
]

_EXPECTED = "budget must be 'file', redis://…, a Budget or None"


def as_budget(budget: Budget | str | None) -> Budget | None:
    """Return the budget for a setting.

    Args:
        budget: A budget, `"file"`, the URL of a Redis server, or None (or `"none"`) for no budget.

    Returns:
        The budget. None for no budget.

    Raises:
        TypeError: If `budget` has another type.
        ValueError: If `budget` is another text.
        BudgetError: If the URL is wrong, redis-py is missing, or the user has no home folder.
    """
    if budget is None:
        return None
    if isinstance(budget, str):
        return _by_name(budget)
    if isinstance(budget, type) or not all(
        callable(getattr(budget, name, None)) for name in ("check", "store")
    ):
        raise TypeError(f"{_EXPECTED}, not {budget!r:.80}")
    return budget


def _by_name(budget: str) -> Budget | None:
    if budget == "none":
        return None
    if budget == "file":
        return FileBudget()
    scheme, separator, _ = budget.partition("://")
    if not separator:
        raise ValueError(f"{_EXPECTED}, not {budget[:50]!r}")
    if scheme.lower() not in ("redis", "rediss", "unix"):
        raise ValueError(f"{_EXPECTED}, not {scheme[:20]}://…")  # the rest may be a password
    try:
        from .redis import RedisBudget
    except ImportError:
        raise BudgetError("a budget in Redis needs redis-py: pip install 'katapult-async[redis]'") from None
    return RedisBudget(scheme.lower() + budget[len(scheme) :])


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        # Imported on demand: only RedisBudget needs redis-py.
        if name == "RedisBudget":
            from .redis import RedisBudget

            return RedisBudget
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
