"""A web application that assigns disks: all its workers share one rate limit.

KATAPULT_API_KEY=… uvicorn web_application:app --workers 4
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException, Request

from katapult_async import AssignmentConflict, Client, KatapultError, NotFound, UnableToAssign


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open one client for each worker."""
    async with Client.from_env(budget="file") as client:
        app.state.katapult = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/machines/{machine}/disks/{disk}")
async def assign(request: Request, machine: str, disk: str) -> dict[str, str]:
    """Assign a disk. It waits for a permit if the rate limit is used up."""
    client: Client = request.app.state.katapult
    try:
        await client.disks.assign(disk, machine)
    except ValueError as error:  # empty, with spaces, or an ID of something else
        raise HTTPException(422, detail=str(error)) from error
    except NotFound as error:
        raise HTTPException(404, detail=error.message) from error
    except (UnableToAssign, AssignmentConflict) as error:  # for example: it is on another machine
        raise HTTPException(409, detail=error.message) from error
    except KatapultError as error:
        raise HTTPException(502, detail=error.message) from error
    return {"disk": disk, "machine": machine}
