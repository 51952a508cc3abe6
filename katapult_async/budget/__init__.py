"""One rate limit shared by processes: the state machine of one process, in a store that all of them can reach.

`state` is what is shared, `exchange` decides what a look at it does, `file` and `redis` keep it. `gate` is where the
requests of one process wait. Nothing else of a program is shared: no queue of jobs, no results.
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
    """Make a budget of what a user has given.

    Args:
        budget: A budget, `"file"`, the URL of a Redis server, or None (`"none"` in a configuration) for no budget.

    Raises:
        TypeError: If it is of another type.
        ValueError: If it is another text.
        BudgetError: If the URL is wrong, redis-py is not installed, or the user has no home folder.
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
        # Only who asks for it needs redis-py.
        if name == "RedisBudget":
            from .redis import RedisBudget

            return RedisBudget
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
