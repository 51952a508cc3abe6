"""Work on one item from its first request to its outcome: send, judge, read back, retry.

`verdict` decides what a response means. The retry policy decides when to retry.
"""

from __future__ import annotations

import asyncio
import time
from typing import Generic

from katapult_async.errors import (
    Execution,
    KatapultError,
    NotFound,
    ObjectInTrash,
    ScopeNotGranted,
    TransportError,
)
from katapult_async.models import Task
from katapult_async.ratelimit import BreakerGate, Charges
from katapult_async.transport import RunStopped, Session

from .action import Action
from .causes import drop_tracebacks
from .item import ItemT, ResultT
from .outcome import Outcome, OutcomeStatus
from .verdict import ReadBack, Start, Verdict, judge


class ItemWork(Generic[ItemT, ResultT]):
    """The work on one item, and its state at any time. Counts the item's requests (see Meter)."""

    # What has not happened yet. Nearly all items need one request: creating each with all of these
    # values would take longer than to find them in the class.
    _start: Start | None = None
    # Whether any attempt may have been executed.
    _ever_unclear = False
    # Whether the item has only been read so far.
    _only_reading = False
    _attempts = 0
    _error: KatapultError | None = None
    # This run's latest error of an attempt that may have been executed.
    _unclear: KatapultError | None = None
    # Whether a read before an attempt has shown that the item was not done.
    _seen_before = False
    _started_at: float | None = None
    # Requests without 429s before the latest attempt. The attempt counts once there are more.
    _before_attempt = -1
    # The same during an attempt. If there are more now, the server may have executed one. None once
    # the response has been judged.
    _unjudged_after: int | None = None
    requests = 0
    rate_limited = 0
    elapsed = 0.0
    request_id: str | None = None
    #: The `Date` header of the last response to a GET.
    date: str | None = None
    #: Whether a request for this item is in flight.
    on_the_wire = False
    #: Set by the run: send no more requests for this item.
    stopping = False

    def __init__(
        self,
        action: Action[ItemT, ResultT],
        session: Session,
        item: ItemT,
        start: Start = Start.SEND,
        breaker: BreakerGate | None = None,
    ) -> None:
        self._action = action
        self._session = session
        self._item = item
        self.breaker = breaker
        if start is not Start.SEND:
            self._start = start
            self._ever_unclear = start is Start.READ_BACK
            self._only_reading = start is Start.READ_FIRST

    @property
    def started_at(self) -> float | None:
        """Start of the work on the item, in Unix seconds."""
        return self._started_at

    async def run(self) -> Outcome[ItemT, ResultT]:
        """Work on the item until its outcome is known. Never raises KatapultError."""
        charges: Charges | None = None
        breaker = self.breaker
        self._started_at = time.time()
        while True:
            elapsed = self.elapsed
            sent_after = breaker.number if breaker is not None else 0
            # READ_FIRST applies to each attempt, because the pause before it may have been long.
            if self._start is not None and (self._start is Start.READ_FIRST or not self._attempts):
                outcome = await self._begin_by_reading()
                if outcome is not None:
                    return outcome
            self._attempts += 1
            self._before_attempt = self._unjudged_after = self.requests - self.rate_limited
            try:
                result, task = await self._action.send(self._session, self._item, self)
            except RunStopped:
                return self.interrupted()
            except KatapultError as error:
                self._unjudged_after = None
                outcome = await self._after(error)
            else:
                certain = self._action.success_proves_change or self._seen_before
                return self._outcome(OutcomeStatus.DONE, result=result, task=task, certain=certain)
            if outcome is not None:
                return outcome
            charges = charges or Charges(breaker)
            charges.failed(self.elapsed - elapsed, sent_after)
            assert self._error is not None  # noqa: S101 - no outcome means that there was an error
            if self.stopping:
                return self.interrupted()
            delay = await self._session.delay_before_retry(charges)
            if delay is None:
                # The error of an attempt that may have been executed is the more useful one.
                return self._outcome(OutcomeStatus.FAILED, error=self._unclear or self._error)
            self._session.notify_retry(
                f"{self._action.name} {self._item}", self._attempts, delay, self._error
            )
            await asyncio.sleep(delay)
            charges.paused(delay)

    async def _after(self, error: KatapultError) -> Outcome[ItemT, ResultT] | None:
        """Return the outcome after a failed attempt; None to retry."""
        self._error = error
        action = self._action
        step = judge(error, unclear_before=self._ever_unclear, may_be_done=action.may_be_done)
        if error.execution is Execution.UNCLEAR:
            self._ever_unclear, self._unclear = True, error
        if step is Verdict.RETRY:
            return None
        if step is Verdict.STOP and self._ever_unclear:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)
        if step is Verdict.STOP and error.execution is Execution.NOT_EXECUTED:
            return self._outcome(OutcomeStatus.NOT_ATTEMPTED, error=error)  # the client was closed
        if step in (Verdict.FAIL, Verdict.STOP):
            return self._outcome(OutcomeStatus.FAILED, error=error)
        if self.stopping:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)
        return await self._read_back(error, step)

    async def _begin_by_reading(self) -> Outcome[ItemT, ResultT] | None:
        """Return the outcome if there is nothing to send; None to send."""
        if self._start is Start.READ_BACK:
            interrupted = TransportError(
                "it may have been sent before the run was interrupted, and could not be read back"
            )
            interrupted.operation = f"{self._action.name} {self._item}"
            outcome = await self._read_back(interrupted, Verdict.READ_BACK)
        else:
            self._only_reading = True
            outcome = await self._read_first()
            self._only_reading = False
        if outcome is None and self.stopping:
            return self.interrupted()
        return outcome

    async def _read_first(self) -> Outcome[ItemT, ResultT] | None:
        read = self._action.read
        if read is None:
            return None
        try:
            result, found = await read(self._session, self._item, self)
        except KatapultError as error:
            if isinstance(error, RunStopped):
                return self.interrupted()
            # Only a refusal that is about the item itself makes it fail.
            refused = error.execution is Execution.REFUSED and not error.stops_run
            if not refused and self._ever_unclear:
                return self._outcome(OutcomeStatus.UNKNOWN, error=error)
            return self._outcome(
                OutcomeStatus.FAILED if refused else OutcomeStatus.NOT_ATTEMPTED, error=error
            )
        if found is ReadBack.NOT_DONE:
            self._seen_before = True
            return None
        if found is ReadBack.UNCLEAR:
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._unclear) if self._ever_unclear else None
        if found is ReadBack.DONE:
            status = OutcomeStatus.DONE if self._ever_unclear else OutcomeStatus.ALREADY_DONE
            return self._outcome(status, result=result, certain=self._seen_before)
        return self._outcome(OutcomeStatus.FAILED, result=result, error=await self._conflict(found, result))

    async def _read_back(self, error: KatapultError, step: Verdict) -> Outcome[ItemT, ResultT] | None:
        """Read the item after this error and return its outcome; None to send it again."""
        read = self._action.read
        if read is None:
            return self._undecided(error, step)
        try:
            result, found = await read(self._session, self._item, self)
        except (NotFound, ObjectInTrash) as gone:
            return self._outcome(OutcomeStatus.FAILED, error=gone)
        except ScopeNotGranted:
            return self._undecided(error, step)  # the token may write, but not read
        except RunStopped:
            return self._outcome(OutcomeStatus.UNKNOWN, error=error)
        except KatapultError as unread:
            self._error = unread if unread.stops_run else error
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        if found is ReadBack.DONE:
            # A refused item may have been done by an earlier attempt without a response.
            ours = step is Verdict.READ_BACK or self._ever_unclear
            status = OutcomeStatus.DONE if ours else OutcomeStatus.ALREADY_DONE
            certain = self._seen_before or not ours
            return self._outcome(status, result=result, request_id=error.request_id, certain=certain)
        if found is ReadBack.UNCLEAR:
            return self._undecided(error, step)
        if step is Verdict.CHECK:
            return self._outcome(OutcomeStatus.FAILED, result=result, error=error)
        if found is not ReadBack.NOT_DONE:
            conflict = await self._conflict(found, result)
            return self._outcome(OutcomeStatus.FAILED, result=result, error=conflict)
        self._seen_before = True
        return None

    def _undecided(self, error: KatapultError, step: Verdict) -> Outcome[ItemT, ResultT]:
        """Return the outcome without a read: failed if it was only refused, else unknown."""
        refused = step is Verdict.CHECK and not self._ever_unclear
        return self._outcome(OutcomeStatus.FAILED if refused else OutcomeStatus.UNKNOWN, error=error)

    async def _conflict(self, found: ReadBack, result: ResultT | None) -> KatapultError:
        """Return the error for an item in conflict. Something that it names may not exist."""
        if found is ReadBack.CONFLICT and self._action.find_wanted is not None:
            try:
                await self._action.find_wanted(self._session, self._item, self)
            except (NotFound, ObjectInTrash) as gone:
                return gone
            except KatapultError:
                pass  # the conflict itself is known
        return self._action.conflict_of(found, result, self._item)

    def _outcome(
        self,
        status: OutcomeStatus,
        *,
        result: ResultT | None = None,
        task: Task | None = None,
        error: KatapultError | None = None,
        request_id: str | None = None,
        certain: bool = True,
    ) -> Outcome[ItemT, ResultT]:
        if status is OutcomeStatus.UNKNOWN:
            certain = self._seen_before
        if error is not None:
            drop_tracebacks(error)
        return Outcome(
            item=self._item,
            status=status,
            result=result,
            task=task,
            error=error,
            certain=certain,
            attempts=self._attempts - (self.requests - self.rate_limited == self._before_attempt),
            request_id=(error.request_id if error is not None else request_id) or self.request_id,
            started_at=self._started_at if self.requests else None,
            finished_at=time.time(),
            words=self._action.words,
        )

    def interrupted(self) -> Outcome[ItemT, ResultT]:
        """Return the outcome of an interruption now: unknown if a request may have been executed.

        A read that showed "not done" does not change this, because a slow server may execute it
        later.
        """
        unjudged = (
            self._unjudged_after is not None and self.requests - self.rate_limited > self._unjudged_after
        )
        if unjudged or (self.on_the_wire and not self._only_reading) or self._ever_unclear:
            return self._outcome(OutcomeStatus.UNKNOWN, error=self._error)
        return self._outcome(OutcomeStatus.NOT_ATTEMPTED, error=self._error)


def not_attempted(action: Action[ItemT, ResultT], item: ItemT) -> Outcome[ItemT, ResultT]:
    """Return the outcome of an item that was never started."""
    return Outcome(item=item, status=OutcomeStatus.NOT_ATTEMPTED, finished_at=time.time(), words=action.words)
