"""Working through a bulk run to its end, for those who want its sum only."""

from __future__ import annotations

import asyncio

from katapult_async.bulk import BulkError, BulkReport, Outcomes
from katapult_async.logs import package_logger

log = package_logger("resources")


async def drain(run: Outcomes) -> BulkReport:
    """Work through a run. Whatever ends it, its report is not lost."""
    failure: Exception | None = None
    try:
        async with run as outcomes:
            try:
                async for _ in outcomes:
                    pass
            except Exception as error:  # noqa: BLE001 - raised below, when the report is complete
                failure = error
    except asyncio.CancelledError as cancelled:
        log.warning("cancelled: %s", run.report)
        cancelled.report = run.report  # type: ignore[attr-defined]
        raise
    if failure is not None:
        items = "1 item" if run.pulled == 1 else f"{run.pulled} items"
        because = f"the input failed after {items}: {failure}"
        raise BulkError(run.report, because) from failure
    return run.report
