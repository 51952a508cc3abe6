"""The progress of a run as plain data, and its state in a word."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec

from .records import LineStatus, RunInfo, RunSession


class RunState(str, enum.Enum):
    """The state of a run."""

    #: A process executes the run.
    RUNNING = "running"
    #: The user has not agreed to the changes yet, and nothing was sent.
    NOT_CONFIRMED = "not_confirmed"
    #: The user has agreed to the changes, and nothing was sent.
    NOT_STARTED = "not_started"
    #: Every line is done.
    DONE = "done"
    #: The run has ended, and some lines failed.
    DONE_WITH_FAILURES = "done_with_failures"
    #: The run has ended, and some lines are waiting or unknown.
    OPEN = "open"
    #: The user stopped the run.
    INTERRUPTED = "interrupted"
    #: The run reached `max_failures` or `limit_lines`, as after a canary.
    STOPPED_EARLY = "stopped_early"
    #: The API refused the whole run.
    REFUSED = "refused"
    #: The API did not respond.
    NO_ANSWER = "no_answer"
    #: An error in this program ended the run.
    STOPPED_BY_ERROR = "stopped_by_error"
    #: The process ended without a record: a kill, a crash, a power cut.
    KILLED = "killed"
    #: The rollback of the run has begun and is not finished.
    ROLLBACK_UNFINISHED = "rollback_unfinished"
    ROLLED_BACK = "rolled_back"

    def __str__(self) -> str:
        return self.value

    @property
    def resumable(self) -> bool:
        """Whether `resume` is the next command."""
        return self in _RESUMABLE


_RESUMABLE = frozenset(
    {
        RunState.NOT_CONFIRMED,
        RunState.NOT_STARTED,
        RunState.OPEN,
        RunState.INTERRUPTED,
        RunState.STOPPED_EARLY,
        RunState.REFUSED,
        RunState.NO_ANSWER,
        RunState.STOPPED_BY_ERROR,
        RunState.KILLED,
    }
)
_BY_END = {
    None: RunState.KILLED,
    "finished": RunState.OPEN,
    "interrupted": RunState.INTERRUPTED,
    "stopped_early": RunState.STOPPED_EARLY,
    "refused": RunState.REFUSED,
    "no_answer": RunState.NO_ANSWER,
    "failed": RunState.STOPPED_BY_ERROR,
}


class RollbackProgress(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of the rollback of a run.

    Attributes:
        path: The journal of the rollback.
        lines: The number of disks to roll back.
        done: The number of disks that are rolled back.
        finished: Whether the rollback has no waiting or unknown line left.
        reachable: Whether the journal could be read. If not, the numbers are 0.
        locked_by: The process that executes the rollback now, or None.
    """

    path: str
    lines: int = 0
    done: int = 0
    finished: bool = False
    reachable: bool = True
    locked_by: str | None = None

    @property
    def shown_path(self) -> str:
        """The path for people: relative to the working directory, if the journal is inside it."""
        try:
            return str(Path(self.path).relative_to(Path.cwd()))
        except (ValueError, OSError):
            return self.path


class RunSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a run.

    Attributes:
        info: The run.
        counts: The number of lines by status, for each status that occurs.
        requests: Requests of all preflights and sessions together, including reads and polls.
        rate_limited: The number of 429s among them.
        total_permitted: Requests permitted per window. None if not known.
        sessions: The sessions of the run.
        preflight_elapsed: Seconds of all preflights together. 0 also for a preflight of an earlier
            version, which did not record them.
        locked_by: The process that executes the run now, such as "process 4711 on host", or None.
        rollback: The progress of its rollback. None without a rollback.
    """

    info: RunInfo
    counts: dict[LineStatus, int]
    requests: int
    rate_limited: int
    total_permitted: int | None
    sessions: tuple[RunSession, ...]
    preflight_elapsed: float = 0.0
    locked_by: str | None = None
    rollback: RollbackProgress | None = None

    @property
    def state(self) -> RunState:
        """Where the run stands."""
        if self.locked_by is not None:
            return RunState.RUNNING
        if self.rollback is not None:
            return RunState.ROLLED_BACK if self.rollback.finished else RunState.ROLLBACK_UNFINISHED
        if not self.sessions:
            return RunState.NOT_CONFIRMED if self.info.confirmed_at is None else RunState.NOT_STARTED
        if self.finished:
            return RunState.DONE if self.ok else RunState.DONE_WITH_FAILURES
        return _BY_END.get(self.sessions[-1].ended, RunState.STOPPED_BY_ERROR)

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
        """Whether a resumed run would have nothing to do: no line is waiting or unknown."""
        return not (self.counts.get(LineStatus.WAITING) or self.counts.get(LineStatus.UNKNOWN))

    @property
    def period(self) -> float:
        """Length of the rate limit's window in the last session, in seconds."""
        return self.sessions[-1].period if self.sessions else 60.0

    @property
    def elapsed(self) -> float:
        """Seconds of all sessions together, without preflights.

        A killed session counts until it was last active.
        """
        return sum(session.active_until - session.started_at for session in self.sessions)
