"""Read a list of the organization only as long as that costs fewer requests than single reads.

A manifest of one line must not cost a list of 100,000 disks. The first page has the number of
pages, which decides.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from katapult_async.models import Pagination
from katapult_async.resources.pages import Page


def is_rest_dearer(missing: int, *, read: int, total: int | None) -> bool:
    """Return whether the rest of a list costs at least as many requests as single reads.

    Args:
        missing: Wanted disks or machines that no page so far has shown.
        read: Pages read so far.
        total: Pages of the list. None for a large set, whose pages the API does not count.
    """
    # If both cost the same, single reads win, because they show more fields. If the length of the
    # list is not known, assume that as many pages follow as were read.
    return missing <= (read if total is None else total - read)


async def read_while_cheap(
    pages: AsyncIterator[Page],
    keep: Callable[[Page], Awaitable[None]],
    missing: Callable[[], Awaitable[int]],
) -> bool:
    """Read the pages of a list until single reads are cheaper.

    Args:
        pages: The list.
        keep: Stores the objects of a page.
        missing: Counts the wanted objects that no page has shown.

    Returns:
        Whether the list was read to its end.
    """
    number = 0
    async for page in pages:
        number += 1
        await keep(page)
        total = _total_pages(page.pagination)
        # Counting reads all lines, so count only after pages 1, 2, 4, 8 and so on.
        if number & (number - 1) or number == total:
            continue
        if is_rest_dearer(await missing(), read=number, total=total):
            return False
    return True


def _total_pages(pagination: Pagination) -> int | None:
    total = pagination.total_pages
    return total if isinstance(total, int) else None
