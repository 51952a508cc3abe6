"""A web application that assigns many disks in the background, and continues after a restart.

KATAPULT_API_KEY=… uvicorn background_assignments:app --workers 4
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request

from katapult_async import Client
from katapult_async.jobs import Journal, JournalError, JournalLocked, Manifest, ManifestError, Run

RUNS = Path("runs")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open one client for each worker, and continue runs that are not finished."""
    RUNS.mkdir(exist_ok=True)
    runs: dict[asyncio.Task[None], Run] = {}
    async with Client.from_env(budget="file") as client:
        app.state.katapult, app.state.runs = client, runs
        resuming = asyncio.create_task(resume(app))
        yield
        resuming.cancel()
        for run in runs.values():  # before the client closes: requests in flight end
            run.stop()
        await asyncio.gather(resuming, *runs, return_exceptions=True)


app = FastAPI(lifespan=lifespan)


def begin(app: FastAPI, run: Run) -> None:
    """Execute a run in the background."""

    async def execute() -> None:
        with run:
            await run.execute(app.state.katapult)

    task = asyncio.create_task(execute())
    app.state.runs[task] = run  # keeps the task alive
    task.add_done_callback(lambda task: app.state.runs.pop(task, None))


async def resume(app: FastAPI) -> None:
    """Continue runs: those of a stopped worker, and those that began during an outage."""
    while True:
        for run in unfinished():
            begin(app, run)
        await asyncio.sleep(60)


def unfinished() -> list[Run]:
    """Open the runs that are not finished and that no other worker executes."""
    return [run for path in RUNS.glob("*.run") if (run := open_unfinished(path)) is not None]


def open_unfinished(path: Path) -> Run | None:
    """Open a run, unless there is nothing to continue."""
    try:
        with Journal.read(path) as journal:
            finished = journal.summary().finished
        return None if finished else Run.open(path)
    except JournalLocked:  # a worker executes it
        return None
    except JournalError as error:  # it is damaged
        logging.getLogger(__name__).warning("%s", error)
        return None


@app.post("/assignments", status_code=202)
async def start(request: Request, pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Start a run. Writing its journal blocks for some hundredths of a second."""
    key = uuid.uuid4().hex
    try:
        with Manifest.from_items(pairs, name="request") as manifest:
            run = Run.create(RUNS / f"{key}.run", manifest)
    except ManifestError as error:  # a malformed ID, or a disk that occurs twice
        raise HTTPException(422, detail=str(error)) from error
    begin(request.app, run)
    return {"run": key}


@app.get("/assignments/{key}")
def status(key: uuid.UUID) -> dict[str, object]:  # `def`: reading a journal blocks
    """Return the progress of a run."""
    try:
        with Journal.read(RUNS / f"{key.hex}.run") as journal:
            summary = journal.summary()
            lines = [(line.disk, line.status, line.code) for line in journal.lines()]
    except JournalError as error:
        raise HTTPException(404) from error
    return {"state": summary.state, "lines": lines}
