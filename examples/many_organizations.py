"""Many organizations at once: each has a token, a rate limit and a manifest of its own.

    KATAPULT_TOKEN_ACME=… KATAPULT_TOKEN_GLOBEX=… python many_organizations.py plans/

The folder has `acme.csv` and `globex.csv`, with the columns `disk` and `virtual_machine`. An
organization whose token is refused does not stop the others.
"""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from katapult_async import BulkReport, Client, KatapultError, SessionPool

BASE_URL = os.environ.get("KATAPULT_BASE_URL", "https://api.katapult.io/core/v1")


def pairs_of(plan: Path) -> Iterator[tuple[str, str]]:
    """Yield the pairs of a plan. The file is read while the requests are sent."""
    with plan.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            yield row["disk"], row["virtual_machine"]


async def assign(plan: Path, pool: SessionPool) -> BulkReport | KatapultError:
    """Assign the disks of one organization. Return its report, or the error that ended the run."""
    token = os.environ[f"KATAPULT_TOKEN_{plan.stem.upper()}"]
    async with Client(token, base_url=BASE_URL, pool=pool) as client:
        report = await client.disks.assign_many(pairs_of(plan))
    return report if report.stopped_by is None else report.stopped_by


async def main(folder: Path) -> int:
    """Assign the disks of all plans. Return 0 if every disk is assigned, or else 1."""
    plans = sorted(folder.glob("*.csv"))
    async with SessionPool() as pool:
        results = await asyncio.gather(*(assign(plan, pool) for plan in plans))
    for plan, result in zip(plans, results, strict=True):
        print(f"{plan.stem}: {result}")
    return 0 if all(isinstance(result, BulkReport) and result.ok for result in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]))))
