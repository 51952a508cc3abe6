"""What a journal knows, as plain data: lines, runs, seconds and waits. Reads and writes nothing.

The enums are the words that a journal stores, so their values never change.
"""

from __future__ import annotations

import enum
import warnings

import msgspec


class RunKind(str, enum.Enum):
    """What a run does with its lines."""

    ASSIGN = "assign"
    ROLLBACK = "rollback"
    #: Carries out the action of its name on each item.
    ACTION = "action"

    def __str__(self) -> str:
        return self.value


class Step(str, enum.Enum):
    """What is done with a line, one after the other."""

    ASSIGN = "assign"
    ATTACH = "attach"
    DETACH = "detach"
    UNASSIGN = "unassign"
    #: The action of the run, whatever it is.
    ACTION = "action"

    def __str__(self) -> str:
        return self.value


class LineState(enum.IntEnum):
    """How far a line is with its current step."""

    #: Nothing of the step has been executed.
    WAITING = 0
    #: Its request may have been sent, and the journal has no outcome: it is read back first.
    SENT = 1
    #: A task has been queued and has not ended.
    TASK = 2
    #: Nothing is left to do.
    SETTLED = 3


class LineStatus(str, enum.Enum):
    """What became of a line."""

    ASSIGNED = "assigned"
    ALREADY_ASSIGNED = "already_assigned"
    #: Assigned, and attached to the running machine.
    ATTACHED = "attached"
    #: Unassigned by a rollback.
    UNASSIGNED = "unassigned"
    ALREADY_UNASSIGNED = "already_unassigned"
    #: Detached by a rollback, of a run that had attached it without having assigned it.
    DETACHED = "detached"
    #: Of a run of any action: the run has done it.
    DONE = "done"
    #: Of a run of any action: it was so before.
    ALREADY_DONE = "already_done"
    FAILED = "failed"
    #: Its request was sent, and neither a response nor reading back told the outcome. Resuming the
    #: run reads it back again.
    UNKNOWN = "unknown"
    #: Not executed yet. Resuming the run executes it.
    WAITING = "waiting"

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the disk is as it was wanted."""
        return self not in (LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)


class Changes(enum.IntFlag):
    """What a run has changed about a disk. A rollback reverts exactly this."""

    NOTHING = 0
    ASSIGNED = 1
    ATTACHED = 2
    DETACHED = 4
    UNASSIGNED = 8
    #: The disk is on the machine and this run's request got no response, but nothing shows that the
    #: disk was elsewhere before. A rollback leaves it alone.
    PERHAPS_ASSIGNED = 16


class Finding(str, enum.Enum):
    """What a preflight has found about a line."""

    TO_ASSIGN = "to_assign"
    ALREADY_THERE = "already_there"
    #: On another machine.
    CONFLICT = "assignment_conflict"
    DISK_NOT_FOUND = "disk_not_found"
    MACHINE_NOT_FOUND = "virtual_machine_not_found"
    IN_TRASH = "in_trash"
    #: The disk or the machine is in a transitional state. It is sent last.
    NOT_READY = "not_ready"
    #: The organization's lists do not show the disk or the machine, and too many are missing to
    #: read each. It is sent last.
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
    """What a preflight has found about one line.

    Attributes:
        number: The line of the manifest.
        disk: The ID of its disk.
        virtual_machine: Its virtual machine, as the manifest names it.
        found: The finding.
        detail: What was read, where that says more than the finding.
    """

    number: int
    disk: str
    virtual_machine: str
    found: Finding
    detail: str | None = None


class LineRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a run.

    Attributes:
        number: The line of the manifest; its position, from 1, if it came from an iterable.
        disk: The ID of its disk.
        virtual_machine: Its virtual machine, as the manifest names it.
        note: The note of the manifest.
        step: The step that is executed now, or was executed last.
        state: How far the line is with that step.
        status: What became of the line.
        code: The API's error code, or the kind of failure.
        detail: The reason in words.
        attempts: Requests that were to change something.
        request_id: The request ID of the response that decided.
        task: The last task that was queued for it.
        sent_at: When its first request was sent, in Unix seconds.
        finished_at: When its last outcome was known, in Unix seconds.
        attach: Whether the disk is to be attached after it is assigned.
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
    """A run as it was made.

    Attributes:
        run_id: Its ID.
        kind: What it does with its lines.
        manifest: The name of its manifest.
        digest: Checksum of what the manifest says.
        created_at: When it was made, in Unix seconds.
        lines: How many lines it has.
        attach: Whether disks are attached where their lines do not say otherwise.
        parent: The ID of the run that this rollback reverts.
        base_url: The base URL of the installation.
        rolled_back_by: The journal of the rollback that reverts this run. It cannot be resumed
            then.
        preflight: Whether a preflight was asked for.
        thorough: Whether that preflight reads each disk.
        organization: The organization whose disks the preflight compares.
        confirmed_at: When the user, or the program, agreed to the changes, in Unix seconds.
        looked_at: When the last preflight was made, in Unix seconds.
        action: The name of the action of a run of that kind.
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
        requests: Requests sent in it, 429s included.
        rate_limited: 429s among them.
        failed: Requests that got another response than 2xx or 429, or none.
        permitted: Requests permitted in a window, by the last headers or 429. None while unknown.
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
        reason: Why they waited, in words.
    """

    since: float
    until: float
    reason: str


class RunSession(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One execution of a run, from its start to its end.

    Attributes:
        started_at: Its start, in Unix seconds.
        finished_at: Its end. None if it is under way, or was killed.
        active_until: Its end, or else the last time at which it is known to have been active.
        ended: How it ended: finished, interrupted, refused, no_answer, or failed.
        reason: Why it ended so, in words.
        period: Length of the rate limit's window, in seconds.
        budget: Where the budget is kept through which it shares the rate limit. Empty for none.
            None if it is not known: earlier versions did not record it.
        shared_with: The other processes that shared it meanwhile, such as "process 4711 on host
            (run other.csv.run)". At most 100.
    """

    started_at: float
    finished_at: float | None = None
    active_until: float
    ended: str | None = None
    reason: str | None = None
    period: float = 60.0
    budget: str | None = None
    shared_with: tuple[str, ...] = ()


class RollbackProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rollback of a run is.

    Attributes:
        path: Its journal.
        lines: Disks that it is to roll back.
        done: Disks that it has rolled back.
        finished: Whether nothing is left to do for it.
        reachable: Whether its journal could be read. If not, the numbers are 0.
    """

    path: str
    lines: int = 0
    done: int = 0
    finished: bool = False
    reachable: bool = True


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands.

    Attributes:
        info: What the run is.
        counts: Lines per status, for each status that occurs.
        requests: Requests of all sessions together, reading back and polling included.
        rate_limited: 429s among them.
        total_permitted: Requests permitted in a window. None while unknown.
        sessions: The executions of the run.
        locked_by: The process that executes it now, such as "process 4711 on host". None for none.
        rollback: How far its rollback is. None if it was not rolled back.
    """

    info: RunInfo
    counts: dict[LineStatus, int]
    requests: int
    rate_limited: int
    total_permitted: int | None
    sessions: tuple[RunSession, ...]
    locked_by: str | None = None
    rollback: RollbackProgress | None = None

    @property
    def requests_at_least(self) -> bool:
        """Whether `requests` and `rate_limited` are lower bounds, because a session was killed.

        The requests of its last second are not counted.
        """
        ended = self.sessions if self.locked_by is None else self.sessions[:-1]
        return any(session.finished_at is None for session in ended)

    @property
    def ok(self) -> bool:
        """Whether every line is done."""
        return all(status.ok for status in self.counts)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do for a resumed run."""
        return not (self.counts.get(LineStatus.WAITING) or self.counts.get(LineStatus.UNKNOWN))

    @property
    def period(self) -> float:
        """Length of the rate limit's window in the last session, in seconds."""
        return self.sessions[-1].period if self.sessions else 60.0

    @property
    def elapsed(self) -> float:
        """Seconds of all sessions together. A killed one counts until its last request."""
        return sum(session.active_until - session.started_at for session in self.sessions)
