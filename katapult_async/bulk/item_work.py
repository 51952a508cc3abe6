"""One item from its first request to its outcome: try, judge, read back, try again.

Decides nothing about meanings (verdict) and nothing about time (retry policy): it carries them out for one item.
"""

from __future__ import annotations

import asyncio
import time

from msgspec import UNSET

from katapult_async.errors import (
    AssignmentConflict,
    Execution,
    KatapultError,
    NotFound,
    ObjectInTrash,
    TransportError,
)
from katapult_async.models import Disk, Task
from katapult_async.ratelimit import BreakerGate, Charges
from katapult_async.transport import RunStopped, Session

from .action import Action
from .outcome import Assignment, Outcome, OutcomeStatus
from .verdict import ReadBack, Start, Verdict, judge


class ItemWork:
    """The work on one item, and what is known of it at every moment. Counts its requests (Meter)."""

    __slots__ = (
        "_action",
        "_attempts",
        "_before_attempt",
        "_error",
        "_ever_unclear",
        "_item",
        "_looking",
        "_seen_before",
        "_session",
        "_start",
        "_started_at",
        "_unclear",
        "_unjudged_after",
        "breaker",
        "elapsed",
        "on_the_wire",
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
        start: Start = Start.SEND,
        breaker: BreakerGate | None = None,
    ) -> None:
        self._action = action
        self._session = session
        self._item = item
        self._attempts = 0
        self._error: KatapultError | None = None
        # Whether there ever was a try that may have been executed, and the error of the last one in this run.
        self._ever_unclear = start is Start.READ_BACK
        self._unclear: KatapultError | None = None
        self._start = start
        # Only looked at so far.
        self._looking = start is Start.READ_FIRST
        # Whether reading has shown, before a try of ours, that it was not done.
        self._seen_before = False
        self._started_at: float | None = None
        # Requests without 429s when the latest attempt began. Until there are more, it has not counted as one.
        self._before_attempt = -1
        # During a try: how many requests had been sent, without 429s, when it began. If there are more
        # now, the server may have executed one. None once the response has been judged.
        self._unjudged_after: int | None = None
        self.breaker = breaker
        self.requests = 0
        self.rate_limited = 0
        self.elapsed = 0.0
        self.request_id: str | None = None
        #: Whether a request of this item is under way at this moment.
        self.on_the_wire = False
        #: Set from outside: send nothing more for this item.
        self.stopping = False

    async def run(self) -> Outcome:
        """Work on the item until its outcome is known. Never raises KatapultError."""
        charges: Charges | None = None
        breaker = self.breaker
        self._started_at = time.time()
        while True:
            elapsed = self.elapsed
            sent_after = breaker.number if breaker is not None else 0
            # What must be looked at first is looked at again before each try: the pause may have been a long one.
            if self._start is Start.READ_FIRST or (self._start is Start.READ_BACK and not self._attempts):
                outcome = await self._begin_by_reading()
                if outcome is not None:
                    return outcome
            self._attempts += 1
            self._before_attempt = self._unjudged_after = self.requests - self.rate_limited
            try:
                disk, task = await self._action.send(self._session, self._item, self)
            except RunStopped:
                return self.interrupted()
            except KatapultError as error:
                self._unjudged_after = None
                outcome = await self._after(error)
            else:
                certain = self._action.success_proves_change or self._seen_before
                return self._outcome(self._action.done, disk=disk, task=task, certain=certain)
            if outcome is not None:
                return outcome
            charges = charges or Charges(breaker)
            charges.failed(self.elapsed - elapsed, sent_after)
            assert self._error is not None  # noqa: S101 - no outcome means that there was an error
            if self.stopping:
                return self.interrupted()
            delay = await self._session.delay_before_retry(charges)
            if delay is None:
                # A try that may have been executed says more than one that was not.
                return self._outcome(OutcomeStatus.FAILED, error=self._unclear or self._error)
            self._session.notify_retry(
                f"{self._action.name} {self._item}", self._attempts, delay, self._error
            )
            await asyncio.sleep(delay)
            charges.paused(delay)

    async def _after(self, error: KatapultError) -> Outcome | None:
        """What a failed try means; None to try again."""
        self._error = error
        step = judge(error, unclear_before=self._ever_unclear)
        if error.execution is Execution.UNCLEAR:
            self._ever_unclear, self._unclear = True, error
        if step is Verdict.RETRY:
            return None
        if step is Verdict.STOP and self._ever_unclear:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)
        if step is Verdict.STOP and error.execution is Execution.NOT_EXECUTED:
            return self._outcome(OutcomeStatus.NOT_ATTEMPTED, error=error)  # the client was closed first
        if step in (Verdict.FAIL, Verdict.STOP):
            return self._outcome(OutcomeStatus.FAILED, error=error)
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
            outcome = await self._read_back(interrupted, Verdict.READ_BACK)
        else:
            self._looking = True
            outcome = await self._look()
            self._looking = False
        if outcome is None and self.stopping:
            return self.interrupted()
        return outcome

    async def _look(self) -> Outcome | None:
        try:
            disk = await self._action.read(self._session, self._item, self)
        except KatapultError as error:
            if isinstance(error, RunStopped):
                return self.interrupted()
            # Only what the API says of the disk itself is the end of it.
            refused = error.execution is Execution.REFUSED and not error.stops_run
            if not refused and self._ever_unclear:
                return self._outcome(OutcomeStatus.UNKNOWN, error=error)
            return self._outcome(
                OutcomeStatus.FAILED if refused else OutcomeStatus.NOT_ATTEMPTED, error=error
            )
        found = self._action.found(disk, self._item)
        if found is ReadBack.NOT_DONE:
            self._seen_before = True
            return None
        if found is ReadBack.DONE:
            status = self._action.done if self._ever_unclear else self._action.already
            return self._outcome(status, disk=disk, certain=self._seen_before)
        return self._outcome(OutcomeStatus.FAILED, disk=disk, error=await self._conflict(found, disk))

    async def _read_back(self, error: KatapultError, step: Verdict) -> Outcome | None:
        try:
            disk = await self._action.read(self._session, self._item, self)
        except (NotFound, ObjectInTrash) as gone:
            return self._outcome(OutcomeStatus.FAILED, error=gone)
        except RunStopped:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)
        except KatapultError as unread:
            self._error = unread if unread.stops_run else error
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        found = self._action.found(disk, self._item)
        if found is ReadBack.DONE:
            # Refused because it is so already: by an earlier try of ours whose answer never came, if there was one.
            ours = step is Verdict.READ_BACK or self._ever_unclear
            status = self._action.done if ours else self._action.already
            certain = self._seen_before or not ours
            return self._outcome(status, disk=disk, request_id=error.request_id, certain=certain)
        if step is Verdict.CHECK:
            return self._outcome(OutcomeStatus.FAILED, disk=disk, error=error)
        if found is not ReadBack.NOT_DONE:
            return self._outcome(OutcomeStatus.FAILED, disk=disk, error=await self._conflict(found, disk))
        self._seen_before = True
        return None

    async def _conflict(self, found: ReadBack, disk: Disk) -> KatapultError:
        """Why an item cannot be done whose disk is elsewhere: the machine that is wanted may not even be there."""
        if found is ReadBack.CONFLICT and self._action.find_wanted is not None:
            try:
                await self._action.find_wanted(self._session, self._item, self)
            except (NotFound, ObjectInTrash) as gone:
                return gone
            except KatapultError:
                pass  # where the disk is, is known all the same
        return _refused(found, disk, self._item)

    def _outcome(
        self,
        status: OutcomeStatus,
        *,
        disk: Disk | None = None,
        task: Task | None = None,
        error: KatapultError | None = None,
        request_id: str | None = None,
        certain: bool = True,
    ) -> Outcome:
        if status is OutcomeStatus.UNKNOWN:
            certain = self._seen_before
        let_go_of_frames(error)
        return Outcome(
            assignment=self._item,
            status=status,
            disk=disk,
            task=task,
            error=error,
            certain=certain,
            attempts=self._attempts - (self.requests - self.rate_limited == self._before_attempt),
            request_id=(error.request_id if error is not None else request_id) or self.request_id,
            started_at=self._started_at if self.requests else None,
            finished_at=time.time(),
        )

    def interrupted(self) -> Outcome:
        """The outcome of an item whose work is cut short now: unknown if it may have been executed.

        Also where reading back has shown that it was not: a server that is slow may still come to it.
        """
        unjudged = (
            self._unjudged_after is not None and self.requests - self.rate_limited > self._unjudged_after
        )
        if unjudged or (self.on_the_wire and not self._looking) or self._ever_unclear:
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        return self._outcome(OutcomeStatus.NOT_ATTEMPTED, error=self._error)


def let_go_of_frames(error: BaseException | None) -> None:
    """Errors are kept in reports, by the thousand: without the frames, and all their variables, that raised them."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def not_attempted(item: Assignment) -> Outcome:
    """The outcome of an item that was never started."""
    return Outcome(assignment=item, status=OutcomeStatus.NOT_ATTEMPTED, finished_at=time.time())


def _refused(found: ReadBack, disk: Disk, item: Assignment) -> AssignmentConflict:
    bond = disk.virtual_machine_disk
    machine = bond.virtual_machine.id if bond else None
    name = bond.virtual_machine.fqdn if bond else UNSET
    if found is ReadBack.BOOT_DISK:
        return AssignmentConflict(
            f"{item.disk} is the boot disk of {machine}, and stays there", virtual_machine=machine
        )
    where = f"is on {machine}" if machine is not None else "is on no machine"
    where += f" ({name})" if name is not UNSET else ""
    wanted = f", not on {item.virtual_machine}" if item.virtual_machine is not None else ""
    return AssignmentConflict(f"{item.disk} {where}{wanted}", virtual_machine=machine)
