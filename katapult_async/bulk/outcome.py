"""What a bulk run takes and what it tells: assignments in, one outcome for each, a report at the end.

Plain data. Nothing here sends anything.
"""

from __future__ import annotations

import enum

import msgspec

from katapult_async.errors import KatapultError
from katapult_async.models import Disk, Task, lookups


class Assignment(msgspec.Struct, frozen=True):
    """One disk for one virtual machine.

    disk: `disk_…`. virtual_machine: an id (`vm_…`) or a fully qualified domain name; None only where the machine need
    not be known (unassign, attach, detach).

    Raises:
        ValueError: If a field cannot be the name of what it stands for, for example when both are swapped.
    """

    disk: str
    virtual_machine: str | None = None

    def __post_init__(self) -> None:
        if not _is_word(self.disk):
            raise ValueError(f"a disk is named by its id, for example disk_…, not by {self.disk!r}")
        if self.virtual_machine is not None and not _is_word(self.virtual_machine):
            raise ValueError(
                f"a virtual machine is named by its id or its FQDN, not by {self.virtual_machine!r}"
            )
        machine = self.virtual_machine
        wrong = lookups.not_a_disk(self.disk) or (lookups.not_a_machine(machine) if machine else None)
        if wrong is not None:
            raise ValueError(f"{wrong}: give the disk first, then the virtual machine")

    def __str__(self) -> str:
        return f"{self.disk} -> {self.virtual_machine}" if self.virtual_machine else self.disk


def _is_word(text: object) -> bool:
    return isinstance(text, str) and 0 < len(text) <= 255 and text.isprintable() and " " not in text


class OutcomeStatus(str, enum.Enum):
    """What became of one item. Each action has a word for "done" and one for "was already so"."""

    ASSIGNED = "assigned"
    ALREADY_ASSIGNED = "already_assigned"
    UNASSIGNED = "unassigned"
    ALREADY_UNASSIGNED = "already_unassigned"
    ATTACHED = "attached"
    ALREADY_ATTACHED = "already_attached"
    DETACHED = "detached"
    ALREADY_DETACHED = "already_detached"
    #: The API refused it, or it could not be carried out: it is not done.
    FAILED = "failed"
    #: It was sent, and neither an answer nor reading back could tell whether it was done.
    UNKNOWN = "unknown"
    #: It was not executed: never sent, or only to a server that was not available.
    NOT_ATTEMPTED = "not_attempted"

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the disk is where it was wanted."""
        return self not in _NOT_OK


_NOT_OK = frozenset({OutcomeStatus.FAILED, OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_ATTEMPTED})


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one assignment.

    disk: as the API showed it last; None if it never did. task: what attaching or detaching has queued.
    error: why, unless the status is ok. certain: False if the disk may already have been in this
    state before the run. That is so where nothing has shown the disk before the first request, and
    the request was never answered, or was answered alike in both cases (unassign with
    `read_first=False`).
    attempts: requests for this item, without 429s and without reading back.
    request_id: of the answer that decided. started_at, finished_at: unix seconds; started_at is None for an item that
    was never sent.
    """

    assignment: Assignment
    status: OutcomeStatus
    disk: Disk | None = None
    task: Task | None = None
    error: KatapultError | None = None
    certain: bool = True
    attempts: int = 0
    request_id: str | None = None
    started_at: float | None = None
    finished_at: float

    @property
    def ok(self) -> bool:
        """Whether the disk is where it was wanted."""
        return self.status.ok

    @property
    def code(self) -> str | None:
        """The API's error code; the kind of failure where the API said none; None unless there is an error."""
        if self.error is None:
            return None
        said = getattr(self.error, "code", None)
        return said if isinstance(said, str) else type(self.error).__name__


class BulkReport(msgspec.Struct, kw_only=True):
    """The sum of a run.

    counts: outcomes per status. failures: the outcomes with status failed or unknown, whole. requests: sent, 429s and
    reading back included. rate_limited: 429s seen. elapsed: seconds. total_permitted: requests per minute permitted,
    as far as it became known. stopped_by: the error that ended the run early, if one did. complete: whether the input was
    read to its end.
    """

    counts: dict[OutcomeStatus, int] = {}
    failures: list[Outcome] = []
    requests: int = 0
    rate_limited: int = 0
    elapsed: float = 0.0
    total_permitted: int | None = None
    stopped_by: KatapultError | None = None
    complete: bool = True

    @property
    def total(self) -> int:
        """Items that came out."""
        return sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """Whether the input was read to its end, and every item is done or was so already."""
        return self.complete and not any(self.counts.get(status) for status in _NOT_OK)

    def add(self, outcome: Outcome) -> None:
        """Count one outcome."""
        status = outcome.status
        self.counts[status] = self.counts.get(status, 0) + 1
        if status is OutcomeStatus.FAILED or status is OutcomeStatus.UNKNOWN:
            self.failures.append(outcome)

    def raise_for_failures(self) -> None:
        """Raise BulkError, with this report, unless every item is ok."""
        if not self.ok:
            raise BulkError(self)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{self.counts[status]} {status.value.replace('_', ' ')}"
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

    def __init__(self, report: BulkReport, because: str | None = None) -> None:
        first = report.stopped_by or next((item.error for item in report.failures if item.error), None)
        parts = [because, str(report), f"first: {first}" if first is not None else None]
        super().__init__("; ".join(part for part in parts if part))
        self.report = report
