"""Read an item several times, because the change that a task makes does not show at once."""

from __future__ import annotations

import asyncio

from katapult_async.bulk import ItemT, Read, ReadBack, ResultT
from katapult_async.transport import Meter, Session

#: Seconds between the reads.
READ_PAUSES = (0.5, 1.0, 2.0, 4.0)


def read_again(read_once: Read[ItemT, ResultT]) -> Read[ItemT, ResultT]:
    """Return a function that reads an item again while the change does not show.

    Args:
        read_once: Reads the item once. Returns UNCLEAR if the change does not show.

    Returns:
        The function, for `Action.read`.
    """

    async def read(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, ReadBack]:
        for pause in READ_PAUSES:
            result, found = await read_once(session, item, meter)
            if found is not ReadBack.UNCLEAR or meter.stopping:
                return result, found
            await asyncio.sleep(pause)
        return await read_once(session, item, meter)

    return read
