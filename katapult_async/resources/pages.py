"""Read lists page by page, including large sets, for which the API returns no totals."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol, TypeVar

from msgspec import UnsetType

from katapult_async.models import Pagination
from katapult_async.ratelimit import Priority
from katapult_async.transport import Meter, Operation, Query, Session

#: The API's limit. A list of 20,000 costs 100 requests.
MOST_PER_PAGE = 200


class Page(Protocol):
    """A response with one page of a list."""

    @property
    def pagination(self) -> Pagination: ...

    @property
    def items(self) -> Sequence[Any]: ...


P = TypeVar("P", bound=Page)


async def pages(
    session: Session,
    operation: Operation[P],
    query: Query,
    per_page: int,
    *,
    priority: Priority = Priority.NORMAL,
    meter: Meter | None = None,
) -> AsyncIterator[P]:
    """Iterate over the pages of a list. Raises ValueError unless 1 <= per_page <= 200."""
    if not 1 <= per_page <= MOST_PER_PAGE:
        raise ValueError(f"per_page must be between 1 and {MOST_PER_PAGE}, not {per_page}")
    number = 1
    while True:
        position = [("page", str(number)), ("per_page", str(per_page))]
        page = await session.request(operation, query=[*query, *position], priority=priority, meter=meter)
        yield page
        if not page.items or _is_last(page, number, per_page):
            return
        number += 1


def _is_last(page: Page, number: int, per_page: int) -> bool:
    total_pages = page.pagination.total_pages
    if total_pages is not None and not isinstance(total_pages, UnsetType):
        return number >= total_pages
    # The server may lower per_page, and returns the value in use.
    actual = page.pagination.per_page
    return len(page.items) < (actual if isinstance(actual, int) and actual > 0 else per_page)
