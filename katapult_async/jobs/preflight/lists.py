"""Reads the organization's lists only as far as that costs less than single reads.

A manifest of one line must not cost a list of 100,000 disks. Decides by the number of pages that
the first page names. What is kept of a page is the business of `snapshot`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from katapult_async.models import Pagination
from katapult_async.resources.pages import Page


def is_rest_dearer(missing: int, *, read: int, total: int | None) -> bool:
    """Return whether the rest of a list costs more requests than, or as many as, single reads.

    Args:
        missing: Wanted things that the pages so far have not shown.
        read: Pages so far.
        total: Pages of the list. None for a large set, whose pages the API does not count.
    """
    # What is read singly shows more than a list. Of a list of unknown length, so much more is
    # expected as was read.
    return missing <= (read if total is None else total - read)


async def read_while_cheap(
    pages: AsyncIterator[Page],
    keep: Callable[[Page], Awaitable[None]],
    missing: Callable[[], Awaitable[int]],
) -> bool:
    """Read the pages of a list.

    Args:
        pages: The list.
        keep: Keeps what a page shows.
        missing: Counts the wanted things that no page has shown.

    Returns:
        Whether the list was read to its end. If not, the rest is cheaper to read singly.
    """
    number = 0
    async for page in pages:
        number += 1
        await keep(page)
        total = _total_pages(page.pagination)
        # Counting reads all lines: after the first page, the second, the fourth and so on.
        if number & (number - 1) or number == total:
            continue
        if is_rest_dearer(await missing(), read=number, total=total):
            return False
    return True


def _total_pages(pagination: Pagination) -> int | None:
    total = pagination.total_pages
    return total if isinstance(total, int) else None
