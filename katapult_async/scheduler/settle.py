"""One item from its first request to its outcome: try, judge, read back, try again.

Decides nothing about meanings (verdict) and nothing about time (retry policy): it carries them out for one item.
"""

from __future__ import annotations

import asyncio
import random
import time

from katapult_async.errors import (
    AssignmentConflict,
    Execution,
    KatapultError,
    NotFound,
    ObjectInTrash,
    TransportError,
)
from katapult_async.models import Disk, Task
from katapult_async.transport import Session

from .action import Action
from .outcome import Assignment, Outcome, OutcomeStatus
from .verdict import Found, Start, Step, judge


class Settling:
    """The work on one item, and what is known of it at every moment. Counts its requests (Meter)."""

    __slots__ = (
        "_action",
        "_attempts",
        "_error",
        "_ever_unclear",
        "_heard",
        "_item",
        "_looking",
        "_rng",
        "_session",
        "_start",
        "_started_at",
        "_unclear",
        "rate_limited",
        "request_id",
        "requests",
        "stopping",
    )

    def __init__(
        self,
        action: Action,
        session: Session,
        item: Assignment,
        rng: random.Random,
        start: Start = Start.SEND,
    ) -> None:
        self._action = action
        self._session = session
        self._item = item
        self._rng = rng
        self._attempts = 0
        self._heard = 0
        self._error: KatapultError | None = None
        # A try that may have been executed and has not been cleared up yet; and whether there ever was one.
        self._unclear = self._ever_unclear = start is Start.READ_BACK
        self._start = start
        # Only looked at so far.
        self._looking = start is Start.LOOK
        self._started_at: float | None = None
        self.requests = 0
        self.rate_limited = 0
        self.request_id: str | None = None
        #: Set from outside: send nothing more for this item.
        self.stopping = False

    @property
    def on_the_wire(self) -> bool:
        """Whether a request of this item is under way at this moment."""
        return self.requests > self._heard + self.rate_limited

    async def run(self) -> Outcome:
        """Work on the item until its outcome is known. Never raises KatapultError."""
        spent = 0.0
        clock = asyncio.get_running_loop().time
        self._started_at = time.time()
        if self._start is not Start.SEND:
            outcome = await self._begin_by_reading()
            if outcome is not None:
                return outcome
        while True:
            began = clock()
            self._attempts += 1
            try:
                disk, task = await self._action.send(self._session, self._item, self)
            except KatapultError as error:
                self._heard = self.requests - self.rate_limited
                outcome = await self._after(error)
            else:
                return self._outcome(self._action.done, disk=disk, task=task)
            if outcome is not None:
                return outcome
            spent += clock() - began
            assert self._error is not None  # noqa: S101 - no outcome means that there was an error
            delay = self._session.retry.delay(self._attempts, spent, self._rng)
            if delay is None or self.stopping:
                return self._outcome(OutcomeStatus.FAILED, error=self._error)
            self._session.tell_retry(f"{self._action.name} {self._item}", self._attempts, delay, self._error)
            await asyncio.sleep(delay)
            spent += delay

    async def _after(self, error: KatapultError) -> Outcome | None:
        """What a failed try means; None to try again."""
        self._error = error
        step = judge(error, unclear_before=self._ever_unclear)
        if error.execution is Execution.UNCLEAR:
            self._ever_unclear = True
        if step is Step.RETRY:
            return None
        if step in (Step.FAIL, Step.STOP):
            return self._outcome(OutcomeStatus.FAILED, error=error)
        self._unclear = True  # until the disk has been read
        if self.stopping:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)  # nothing more is to be sent
        return await self._read_back(error, step)

    async def _begin_by_reading(self) -> Outcome | None:
        """The outcome, if there is nothing to be sent; None to go on and send."""
        if self._start is Start.READ_BACK:
            interrupted = TransportError(
                "it was sent before the run was interrupted, and could not be read back"
            )
            interrupted.operation = f"{self._action.name} {self._item}"
            outcome = await self._read_back(interrupted, Step.READ_BACK)
        else:
            outcome = await self._look()
            self._looking = False
        if outcome is None and self.stopping:
            return self._outcome(OutcomeStatus.NOT_ATTEMPTED)
        return outcome

    async def _look(self) -> Outcome | None:
        try:
            disk = await self._action.read(self._session, self._item, self)
        except KatapultError as error:
            # Nothing was sent. Only what the API says of the disk itself is the end of it.
            refused = error.execution is Execution.REFUSED and not error.stops_run
            return self._outcome(
                OutcomeStatus.FAILED if refused else OutcomeStatus.NOT_ATTEMPTED, error=error
            )
        finally:
            self._heard = self.requests - self.rate_limited
        found = self._action.found(disk, self._item)
        if found is Found.NOT_DONE:
            return None
        if found is Found.DONE:
            return self._outcome(self._action.already, disk=disk)
        return self._outcome(OutcomeStatus.FAILED, disk=disk, error=_refused(found, disk, self._item))

    async def _read_back(self, error: KatapultError, step: Step) -> Outcome | None:
        try:
            disk = await self._action.read(self._session, self._item, self)
        except (NotFound, ObjectInTrash) as gone:
            self._heard = self.requests - self.rate_limited
            return self._outcome(OutcomeStatus.FAILED, error=gone)
        except KatapultError as unread:
            self._heard = self.requests - self.rate_limited
            self._error = unread if unread.stops_run else error
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        self._heard = self.requests - self.rate_limited
        found = self._action.found(disk, self._item)
        if found is Found.DONE:
            # Refused because it is so already: by an earlier try of ours whose answer never came, if there was one.
            ours = step is Step.READ_BACK or self._ever_unclear
            status = self._action.done if ours else self._action.already
            return self._outcome(status, disk=disk, request_id=error.request_id)
        if step is Step.CHECK:
            return self._outcome(OutcomeStatus.FAILED, disk=disk, error=error)
        if found is not Found.NOT_DONE:
            return self._outcome(OutcomeStatus.FAILED, disk=disk, error=_refused(found, disk, self._item))
        self._unclear = False  # reading has made it clear: nothing was done
        return None

    def _outcome(
        self,
        status: OutcomeStatus,
        *,
        disk: Disk | None = None,
        task: Task | None = None,
        error: KatapultError | None = None,
        request_id: str | None = None,
    ) -> Outcome:
        return Outcome(
            assignment=self._item,
            status=status,
            disk=disk,
            task=task,
            error=error,
            attempts=self._attempts,
            request_id=(error.request_id if error is not None else request_id) or self.request_id,
            started_at=self._started_at if self.requests else None,
            finished_at=time.time(),
        )

    def interrupted(self) -> Outcome:
        """The outcome of an item whose work is cut short now: unknown if it may have been executed."""
        if (self.on_the_wire and not self._looking) or self._unclear:
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        return self._outcome(OutcomeStatus.NOT_ATTEMPTED, error=self._error)


def not_attempted(item: Assignment) -> Outcome:
    """The outcome of an item that was never started."""
    return Outcome(assignment=item, status=OutcomeStatus.NOT_ATTEMPTED, finished_at=time.time())


def _refused(found: Found, disk: Disk, item: Assignment) -> AssignmentConflict:
    bond = disk.virtual_machine_disk
    machine = bond.virtual_machine.id if bond else None
    if found is Found.BOOT_DISK:
        return AssignmentConflict(
            f"{item.disk} is the boot disk of {machine}, and stays there", virtual_machine=machine
        )
    where = f"is on {machine}" if machine is not None else "is on no machine"
    wanted = f", not on {item.virtual_machine}" if item.virtual_machine is not None else ""
    return AssignmentConflict(
        f"{item.disk} {where}{wanted}; somebody else has moved it", virtual_machine=machine
    )
