"""Executes a run until it is done, or until somebody kills this process. Not a test."""

from __future__ import annotations

import asyncio
import sys

from katapult_async import Client, RetryPolicy, Timeout
from katapult_async.jobs import Run


async def main(path: str, url: str, window: float) -> None:
    """Go on with the run at `path`."""
    timeout, retry = Timeout(total=0.5), RetryPolicy(base=0.02, cap=0.2)
    with Run.open(path) as run:
        async with Client("token", base_url=url, rate_window=window, timeout=timeout, retry=retry) as client:
            sys.stdout.write("executing\n")
            sys.stdout.flush()
            await run.execute(client)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
