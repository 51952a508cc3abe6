"""What a bulk run tells: one outcome for each item, and a report at the end.

Plain data. Nothing here sends anything.
"""

from __future__ import annotations

import enum
from typing import Any, Generic

import msgspec

from katapult_async.errors import KatapultError
from katapult_async.models import Disk, Task

from .item import ItemT, ResultT


class OutcomeStatus(str, enum.Enum):
    """What became of one item. `Outcome.word` is the word of its action for it, for example `assigned`.

    The members that are named after an action are other names of DONE and ALREADY_DONE.
    """

    #: The run has done it.
    DONE = "done"
    #: It was so before.
    ALREADY_DONE = "already_done"
    #: The API refused it, or it could not be carried out: it is not done.
    FAILED = "failed"
    #: It was sent, and neither an answer nor reading back could tell whether it was done.
    UNKNOWN = "unknown"
    #: It was not executed: never sent, or only to a server that was not available.
    NOT_ATTEMPTED = "not_attempted"

    ASSIGNED = UNASSIGNED = ATTACHED = DETACHED = DONE
    ALREADY_ASSIGNED = ALREADY_UNASSIGNED = ALREADY_ATTACHED = ALREADY_DETACHED = ALREADY_DONE

    @classmethod
    def _missing_(cls, value: object) -> OutcomeStatus | None:
        """Find a status by the word of an action, as older versions stored it."""
        name = value.upper() if isinstance(value, str) else ""
        return cls.__members__.get(name)

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the item is done, or was so already."""
        return self not in _NOT_OK


_NOT_OK = frozenset({OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_ATTEMPTED})


class Words(msgspec.Struct, frozen=True):
    """The words of an action for its outcomes.

    Args:
        done: For an item that the run has done.
        already: For an item that was so before.
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
    """What became of one item.

    Args:
        item: The item.
        status: What became of it.
        result: What the API showed of it last, for example the Disk. None if it never did.
        task: The task that was queued. With `wait=True` as it ended.
        error: Why, unless the status is ok.
        certain: False if the item may already have been in this state before the run. That is so
            where nothing has shown it before the first request, and the request was never answered,
            or was answered alike in both cases (unassign with `read_first=False`).
        attempts: Requests for this item, without 429s and without reading back.
        request_id: Of the answer that decided.
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
        """Whether the item is done, or was so already."""
        return self.status.ok

    @property
    def word(self) -> str:
        """The status in the word of the action: `assigned`, `already_assigned`, `failed`."""
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
        """The API's error code; the kind of failure where the API said none; None unless there is an error."""
        if self.error is None:
            return None
        said = getattr(self.error, "code", None)
        return said if isinstance(said, str) else type(self.error).__name__


class BulkReport(msgspec.Struct, Generic[ItemT, ResultT], kw_only=True):
    """The sum of a run.

    Args:
        counts: Number of outcomes for each status.
        failures: The outcomes with the status failed or unknown.
        requests: Number of requests sent, 429s and reading back included.
        rate_limited: Number of 429s.
        elapsed: Seconds from the start of the run to its end.
        total_permitted: Requests permitted per rate window; None if it never became known.
        stopped_by: The error that ended the run early; None if none did.
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
        """Number of items that have an outcome."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Whether the input was read to its end, and every item is done or was so already."""
        return self.complete and not any(self.counts.get(status) for status in _NOT_OK)

    def add(self, outcome: Outcome[ItemT, ResultT]) -> None:
        """Count one outcome, and keep it if it is a failure."""
        status = outcome.status
        self.counts[status] = self.counts.get(status, 0) + 1
        if status is OutcomeStatus.FAILED or status is OutcomeStatus.UNKNOWN:
            self.failures.append(outcome)

    def raise_for_failures(self) -> None:
        """Do nothing if every item is ok.

        Raises:
            BulkError: If an item is not ok, or the input was not read to its end. It has this report.
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
    """Not every item of a run is done. `report` says which and why.

    Args:
        report: The sum of the run.
        because: What has ended the run, if that was not the API.
    """

    def __init__(self, report: BulkReport[Any, Any], because: str | None = None) -> None:
        first = report.stopped_by or next((item.error for item in report.failures if item.error), None)
        parts = [because, str(report), f"first: {first}" if first is not None else None]
        super().__init__("; ".join(part for part in parts if part))
        # Of a run with any type of item: an exception cannot be generic.
        self.report: BulkReport[Any, Any] = report
