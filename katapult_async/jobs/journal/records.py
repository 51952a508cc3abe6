"""The records of a journal, as plain data: lines, runs, sessions, seconds and waits.

A journal stores the values of the enums, so these never change.
"""

from __future__ import annotations

import enum
import warnings

import msgspec


class RunKind(str, enum.Enum):
    """What a run does with its lines."""

    ASSIGN = "assign"
    ROLLBACK = "rollback"
    #: Executes one action on each item. `RunInfo.action` has its name.
    ACTION = "action"

    def __str__(self) -> str:
        return self.value


class Step(str, enum.Enum):
    """One step of a line. `steps.transitions.STEPS` has the order."""

    ASSIGN = "assign"
    ATTACH = "attach"
    DETACH = "detach"
    UNASSIGN = "unassign"
    #: The action of the run. `RunInfo.action` has its name.
    ACTION = "action"

    def __str__(self) -> str:
        return self.value


class LineState(enum.IntEnum):
    """The progress of a line's current step."""

    #: The step was not sent.
    WAITING = 0
    #: The request may have been sent, and the journal has no outcome. A resumed run reads the line
    #: back first.
    SENT = 1
    #: A task is queued and has not ended.
    TASK = 2
    #: The line has no further step.
    SETTLED = 3


class LineStatus(str, enum.Enum):
    """The status of a line."""

    # For people and programs. LineState is the progress of the line's step.

    ASSIGNED = "assigned"
    ALREADY_ASSIGNED = "already_assigned"
    #: Assigned, and attached to the running machine.
    ATTACHED = "attached"
    #: Unassigned by a rollback.
    UNASSIGNED = "unassigned"
    ALREADY_UNASSIGNED = "already_unassigned"
    #: Detached by a rollback. Its run had attached the disk and not assigned it.
    DETACHED = "detached"
    #: In a run of any action: the run did it.
    DONE = "done"
    #: In a run of any action: it was done before.
    ALREADY_DONE = "already_done"
    FAILED = "failed"
    #: The request was sent, and neither a response nor a read shows the result. A resumed run reads
    #: it back again.
    UNKNOWN = "unknown"
    #: Not executed yet. A resumed run executes it.
    WAITING = "waiting"

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the line is done."""
        return self not in (LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)


class Changes(enum.IntFlag):
    """The changes of a run to a disk. A rollback reverts exactly these."""

    NOTHING = 0
    ASSIGNED = 1
    ATTACHED = 2
    DETACHED = 4
    UNASSIGNED = 8
    #: The disk is on the machine, the run's request got no response, and the disk may have been
    #: there before. A rollback leaves it alone.
    PERHAPS_ASSIGNED = 16


class Finding(str, enum.Enum):
    """The result of a preflight for a line."""

    TO_ASSIGN = "to_assign"
    ALREADY_THERE = "already_there"
    #: On another machine.
    CONFLICT = "assignment_conflict"
    DISK_NOT_FOUND = "disk_not_found"
    MACHINE_NOT_FOUND = "virtual_machine_not_found"
    IN_TRASH = "in_trash"
    #: The disk or the machine is in a transitional state. It is sent last.
    NOT_READY = "not_ready"
    #: The lists of the organization do not show the disk or the machine, and it was not read,
    #: because too many are missing. It is sent last.
    NOT_LISTED = "not_listed"
    DATA_CENTERS_DIFFER = "data_centers_differ"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def _missing_(cls, value: object) -> Finding | None:
        return cls.CONFLICT if value == "conflict" else None  # of the first version

    @property
    def is_sent(self) -> bool:
        """Whether a run sends such a line."""
        return self in (Finding.TO_ASSIGN, Finding.NOT_READY, Finding.NOT_LISTED)

    @property
    def is_impossible(self) -> bool:
        """Whether a run records such a line as failed without sending it."""
        return not self.is_sent and self is not Finding.ALREADY_THERE


class LineFinding(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line with the finding of a preflight.

    Attributes:
        number: The line of the manifest.
        disk: The ID of the disk.
        virtual_machine: The virtual machine, as the manifest names it.
        found: The finding.
        detail: More about the finding, in words. None if there is nothing to add.
    """

    number: int
    disk: str
    virtual_machine: str
    found: Finding
    detail: str | None = None


class LineRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a run.

    Attributes:
        number: The line of the manifest. For an iterable, the position of the item, from 1.
        disk: The ID of the disk.
        virtual_machine: The virtual machine, as the manifest names it.
        note: The note of the manifest.
        step: The current step, or the last one.
        state: The progress of that step.
        status: The status of the line.
        code: The API's error code, or the kind of failure.
        detail: The reason in words.
        attempts: Requests that were to change something.
        request_id: The request ID of the response that decided the status.
        task: The ID of the last queued task.
        sent_at: When the first request was sent, in Unix seconds.
        finished_at: When the last outcome was known, in Unix seconds.
        attach: Whether the disk is attached after it is assigned.
        item: The item of the run's action, as JSON.
    """

    number: int
    disk: str
    virtual_machine: str
    note: str | None
    step: str
    state: LineState
    status: LineStatus
    code: str | None = None
    detail: str | None = None
    attempts: int = 0
    request_id: str | None = None
    task: str | None = None
    sent_at: float | None = None
    finished_at: float | None = None
    attach: bool = False
    item: str | None = None


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was created, and its confirmation, preflight and rollback.

    Attributes:
        run_id: The ID of the run.
        kind: The kind of the run.
        manifest: The name of the manifest.
        digest: Checksum of the items of the manifest.
        created_at: When the run was created, in Unix seconds.
        lines: The number of lines.
        attach: Whether disks are attached if their lines do not say otherwise.
        parent: The ID of the run that this rollback reverts. None for other kinds.
        base_url: The base URL of the installation.
        rolled_back_by: The journal of the rollback of this run. The run cannot be resumed then.
        preflight: Whether the run was created with a preflight.
        thorough: Whether that preflight reads each disk.
        organization: The organization whose disks the preflight compares.
        confirmed_at: When the user or the program agreed to the changes, in Unix seconds.
        looked_at: When the last preflight ended, in Unix seconds.
        action: The name of the action, if the kind is ACTION.
    """

    run_id: str
    kind: RunKind
    manifest: str
    digest: str
    created_at: float
    lines: int
    attach: bool = False
    parent: str | None = None
    base_url: str | None = None
    rolled_back_by: str | None = None
    preflight: bool = False
    thorough: bool = False
    organization: str | None = None
    confirmed_at: float | None = None
    looked_at: float | None = None
    action: str | None = None

    @property
    def taken_back_by(self) -> str | None:
        """Deprecated: `rolled_back_by`."""
        warnings.warn("RunInfo.taken_back_by is called rolled_back_by", DeprecationWarning, stacklevel=2)
        return self.rolled_back_by


class TimelineSecond(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One second of the timeline in which requests were sent.

    Attributes:
        at: The second, in Unix seconds.
        requests: Requests sent in this second, including 429s.
        rate_limited: The number of 429s among them.
        failed: Requests that got another response than 2xx or 429, or none.
        permitted: Requests permitted per window, by the last headers or 429. None if not known.
    """

    at: int
    requests: int = 0
    rate_limited: int = 0
    failed: int = 0
    permitted: int | None = None


class TimelineWait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A time in which requests waited for a permit.

    Attributes:
        since: Its start, in Unix seconds.
        until: Its end, in Unix seconds.
        reason: What they waited for, in words.
    """

    since: float
    until: float
    reason: str


class RunSession(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A session: one execution of a run, from its start to its end. Times are Unix seconds.

    Attributes:
        started_at: When the session started.
        finished_at: When the session ended. None if it runs, or was killed.
        active_until: When the session ended. If that is not known, when it was last active.
        ended: How the session ended: finished, interrupted, stopped_early, refused, no_answer, or
            failed.
        reason: The reason, in words. None after finished and interrupted.
        period: Length of the rate limit's window, in seconds.
        budget: The place of the budget that shares the rate limit. Empty without a budget. None if
            not known, because earlier versions did not record it.
        shared_with: Other processes that shared the rate limit, such as "process 4711 on host (run
            other.csv.run)". At most 100.
    """

    started_at: float
    finished_at: float | None = None
    active_until: float
    ended: str | None = None
    reason: str | None = None
    period: float = 60.0
    budget: str | None = None
    shared_with: tuple[str, ...] = ()
