"""Reading an item several times, for changes that a task makes: right after the request they do not show yet."""

from __future__ import annotations

import asyncio

from katapult_async.bulk import ItemT, Read, ReadBack, ResultT
from katapult_async.transport import Meter, Session

#: Seconds between the reads.
READ_PAUSES = (0.5, 1.0, 2.0, 4.0)


def read_again(read_once: Read[ItemT, ResultT]) -> Read[ItemT, ResultT]:
    """Return a read that waits a moment for a change that may be under way.

    Args:
        read_once: Reads the item, and says UNCLEAR if the change does not show.
    """

    async def read(session: Session, item: ItemT, meter: Meter) -> tuple[ResultT | None, ReadBack]:
        for pause in READ_PAUSES:
            result, found = await read_once(session, item, meter)
            if found is not ReadBack.UNCLEAR or meter.stopping:
                return result, found
            await asyncio.sleep(pause)
        return await read_once(session, item, meter)

    return read
