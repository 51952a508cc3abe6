"""What a journal knows, as plain data: lines, runs, seconds and waits. Reads and writes nothing."""

from __future__ import annotations

import enum

import msgspec


class RunKind(str, enum.Enum):
    """What a run does with its lines."""

    ASSIGN = "assign"
    ROLLBACK = "rollback"

    def __str__(self) -> str:
        return self.value


class LineState(enum.IntEnum):
    """How far a line is with its current step."""

    #: Nothing of the step has been executed.
    WAITING = 0
    #: Its request may have been sent and what became of it is not known: it is read back before anything else.
    SENT = 1
    #: A task has been queued and has not ended.
    TASK = 2
    #: Through.
    SETTLED = 3


class LineStatus(str, enum.Enum):
    """What became of a line."""

    ASSIGNED = "assigned"
    ALREADY_ASSIGNED = "already_assigned"
    #: Assigned, and attached to the running machine.
    ATTACHED = "attached"
    #: Taken back by a rollback.
    UNASSIGNED = "unassigned"
    ALREADY_UNASSIGNED = "already_unassigned"
    #: Detached by a rollback, of a run that had attached it without having assigned it.
    DETACHED = "detached"
    FAILED = "failed"
    #: It was sent, and neither an answer nor reading back could tell; resuming the run reads it back again.
    UNKNOWN = "unknown"
    #: Not executed yet: resuming the run goes on with it.
    WAITING = "waiting"

    def __str__(self) -> str:
        return self.value

    @property
    def ok(self) -> bool:
        """Whether the disk is as it was wanted."""
        return self not in (LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)


class LineRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a run. Times are unix seconds.

    number: the line of the manifest (the position, from 1, where it came from an iterable). step: what is done with it
    now, or was done last. code: the API's error code, or the kind of failure. detail: the reason in words. attempts:
    requests that were to change something. request_id: of the answer that decided. task: the last one queued for it.
    sent_at, finished_at: None while it was not. attach: whether the disk is to be attached after it is assigned.
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


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A run as it was made. manifest: its name. created_at: unix seconds. parent: the run that a rollback takes back.
    taken_back_by: the journal of the rollback that takes this run back; it is not gone on with then.
    preflight: whether a preflight was asked for. thorough: whether it reads each disk. organization: whose disks it
    compares. confirmed_at: when the user, or the program, agreed to the changes (unix seconds); None before that.
    looked_at: when the last preflight was made (unix seconds); None before that.
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
    taken_back_by: str | None = None
    preflight: bool = False
    thorough: bool = False
    organization: str | None = None
    confirmed_at: float | None = None
    looked_at: float | None = None


class Second(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One second of the timeline in which requests were sent.

    at: unix seconds, whole. requests: sent in it, 429s included. rate_limited: 429s among them. failed: other answers
    than 2xx, and none at all. permitted: requests per minute permitted, as the headers or a 429 said last; None while
    nothing is known.
    """

    at: int
    requests: int = 0
    rate_limited: int = 0
    failed: int = 0
    permitted: int | None = None


class Waited(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A time in which requests waited for a permit. since, until: unix seconds. reason: in plain words."""

    since: float
    until: float
    reason: str


class Session(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One time the run was executed, from its start to its end (None: it is under way, or it was killed).

    Attributes:
        started_at: Its start, in Unix seconds.
        finished_at: Its end. None if it is under way, or was killed.
        active_until: Its end, or else when it is known to have sent something last.
        ended: How it ended: finished, interrupted, refused, or failed.
        reason: Why it ended so, in words.
        period: Length of the rate limit's window, in seconds.
    """

    started_at: float
    finished_at: float | None = None
    active_until: float
    ended: str | None = None
    reason: str | None = None
    period: float = 60.0


class RollbackProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far the rollback of a run is.

    path: its journal. lines: disks that it takes back. done: how many of them it has taken back. finished: whether
    nothing is left to do for it. reachable: whether its journal could be read; if not, the numbers are 0.
    """

    path: str
    lines: int = 0
    done: int = 0
    finished: bool = False
    reachable: bool = True


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run stands.

    counts: lines per status, each that occurs. requests, rate_limited: of all sessions together, reading back and
    polling included. total_permitted: requests per minute permitted, as far as known. locked_by: the process that
    executes it at this moment, as in "process 4711 on host"; None if none does. rollback: of a run that is being, or has
    been, rolled back: how far that is.
    """

    info: RunInfo
    counts: dict[LineStatus, int]
    requests: int
    rate_limited: int
    total_permitted: int | None
    sessions: tuple[Session, ...]
    locked_by: str | None = None
    rollback: RollbackProgress | None = None

    @property
    def requests_at_least(self) -> bool:
        """Whether `requests` and `rate_limited` are lower bounds, because a session was killed: the requests of its
        last second are not counted.
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
        """Seconds of all sessions together; of one that was killed, until it sent its last request."""
        return sum(session.active_until - session.started_at for session in self.sessions)
