"""Results of a bulk run: one outcome per item, and a report. Plain data."""

from __future__ import annotations

import enum
from typing import Any, Generic

import msgspec

from katapult_async.errors import KatapultError
from katapult_async.models import Disk, Task

from .item import ItemT, ResultT


class OutcomeStatus(str, enum.Enum):
    """The status of one item. `Outcome.word` is the action's own word, for example `assigned`.

    The members that are named after an action are aliases of DONE and ALREADY_DONE.
    """

    #: The run did the action on the item.
    DONE = "done"
    #: The item was in the wanted state before the run.
    ALREADY_DONE = "already_done"
    #: The item is not done: the API refused it, or all attempts failed.
    FAILED = "failed"
    #: A request was sent, and neither a response nor a read showed whether it was executed.
    UNKNOWN = "unknown"
    #: No request was executed: none was sent, or the server was not available.
    NOT_ATTEMPTED = "not_attempted"

    ASSIGNED = UNASSIGNED = ATTACHED = DETACHED = DONE
    ALREADY_ASSIGNED = ALREADY_UNASSIGNED = ALREADY_ATTACHED = ALREADY_DETACHED = ALREADY_DONE

    @classmethod
    def _missing_(cls, value: object) -> OutcomeStatus | None:
        """Find a status by the word of an action. Older versions stored these words."""
        name = value.upper() if isinstance(value, str) else ""
        return cls.__members__.get(name)

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the status is DONE or ALREADY_DONE."""
        return self not in _NOT_OK


_FAILURES = frozenset({OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN})
_NOT_OK = _FAILURES | {OutcomeStatus.NOT_ATTEMPTED}


class Words(msgspec.Struct, frozen=True):
    """The words of an action for the status of an item.

    Args:
        done: The word for DONE.
        already: The word for ALREADY_DONE.
    """

    done: str = "done"
    already: str = "already_done"

    def of(self, status: OutcomeStatus) -> str:
        """Return the word for a status."""
        if status is OutcomeStatus.DONE:
            return self.done
        return self.already if status is OutcomeStatus.ALREADY_DONE else status.value


DEFAULT_WORDS = Words()


class Outcome(msgspec.Struct, Generic[ItemT, ResultT], frozen=True, kw_only=True):
    """The outcome of one item.

    Args:
        item: The item.
        status: The status.
        result: The latest object in a response of the API, for example the Disk. None without one.
        task: The queued task. With `wait=True`, the task after it has ended.
        error: The reason for the status. None if the status is ok.
        certain: False if the item may already have been in this state before the run. Two cases:
            the item was not read first, and its first request got no response; or an unassign with
            `read_first=False`, whose response does not show the state before.
        attempts: Number of requests for this item, without 429s and reads.
        request_id: Request ID of the response that decided the status.
        started_at: Unix time in seconds. None for an item that was never sent.
        finished_at: Unix time in seconds.
        words: The words of the action.
    """

    item: ItemT
    status: OutcomeStatus
    result: ResultT | None = None
    task: Task | None = None
    error: KatapultError | None = None
    certain: bool = True
    attempts: int = 0
    request_id: str | None = None
    started_at: float | None = None
    finished_at: float
    words: Words = DEFAULT_WORDS

    @property
    def ok(self) -> bool:
        """Whether the item is done, or was already done."""
        return self.status.ok

    @property
    def word(self) -> str:
        """The action's word for the status, for example `assigned` or `already_assigned`."""
        return self.words.of(self.status)

    @property
    def assignment(self) -> ItemT:
        """The item."""
        return self.item

    @property
    def disk(self) -> Disk | None:
        """The result, if it is a disk."""
        return self.result if isinstance(self.result, Disk) else None

    @property
    def code(self) -> str | None:
        """The API's error code, or else the class name of the error. None without an error."""
        if self.error is None:
            return None
        code = getattr(self.error, "code", None)
        return code if isinstance(code, str) else type(self.error).__name__


class BulkReport(msgspec.Struct, Generic[ItemT, ResultT], kw_only=True):
    """The report of a run.

    Args:
        counts: Number of outcomes by status.
        failures: The outcomes with the status failed or unknown.
        requests: Number of requests sent, including 429s and reads.
        rate_limited: Number of 429s.
        elapsed: Seconds from the start of the run to its end.
        total_permitted: Requests permitted per rate window. None if not known.
        stopped_by: The error that ended the run early. None if none did.
        complete: Whether the input was read to its end.
        words: The words of the action.
    """

    counts: dict[OutcomeStatus, int] = {}
    failures: list[Outcome[ItemT, ResultT]] = []
    requests: int = 0
    rate_limited: int = 0
    elapsed: float = 0.0
    total_permitted: int | None = None
    stopped_by: KatapultError | None = None
    complete: bool = True
    words: Words = DEFAULT_WORDS

    @property
    def total(self) -> int:
        """Number of outcomes."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Whether the input was read to its end, and every item is done or was already done."""
        return self.complete and not any(self.counts.get(status) for status in _NOT_OK)

    def add(self, outcome: Outcome[ItemT, ResultT]) -> bool:
        """Count one outcome. If it is a failure, keep it and return True."""
        status = outcome.status
        self.counts[status] = self.counts.get(status, 0) + 1
        if status in _FAILURES:
            self.failures.append(outcome)
            return True
        return False

    def raise_for_failures(self) -> None:
        """Raise an error unless the report is ok.

        Raises:
            BulkError: If an item is not ok, or the input was not read to its end.
        """
        if not self.ok:
            raise BulkError(self)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{self.counts[status]} {self.words.of(status).replace('_', ' ')}"
            for status in OutcomeStatus
            if self.counts.get(status)
        )
        return (
            f"{counts or 'nothing to do'}; {self.requests} requests, {self.rate_limited} of them 429, "
            f"in {self.elapsed:.1f} s"
        ) + ("" if self.complete else "; the input was not read to its end")


class BulkError(KatapultError):
    """Not every item of a run is done. `report` has the details.

    Args:
        report: The report of the run.
        because: The reason, if the API did not end the run.
    """

    def __init__(self, report: BulkReport[Any, Any], because: str | None = None) -> None:
        first = report.stopped_by or next((item.error for item in report.failures if item.error), None)
        parts = [because, str(report), f"first: {first}" if first is not None else None]
        super().__init__("; ".join(part for part in parts if part))
        # An exception cannot be generic over the type of its items.
        self.report: BulkReport[Any, Any] = report
