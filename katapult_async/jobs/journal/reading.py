"""Read an open journal: its run and progress, its lines and its timeline.

If the file was damaged after it was opened, reading it raises JournalDamaged.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from katapult_async.jobs.errors import JournalDamaged

from . import queries_run as queries
from .latency import Histogram, Latency
from .lock import held_by
from .queries_lines import count_open
from .records import LineRecord, RunInfo, RunSession, Step, TimelineSecond, TimelineWait
from .summary import RunSummary

P = ParamSpec("P")
T = TypeVar("T")


class JournalReader:
    """The reading methods of a journal."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection = connection
        #: None for a temporary journal.
        self.path = path

    def __repr__(self) -> str:
        return f"<Journal {self.name}>"

    @property
    def name(self) -> str:
        """The name of the journal in messages."""
        return str(self.path) if self.path is not None else "<temporary journal>"

    def query(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a function of one of the `queries_…` modules, and return its result.

        Args:
            work: The function. Its first argument is the connection.
            *args: Further arguments.
            **kwargs: Further arguments.

        Raises:
            sqlite3.Error: An error of SQLite, unchanged.
        """
        return work(self._connection, *args, **kwargs)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Return a context manager in which all reads show the journal of one moment.

        A snapshot inside another one has no effect. While a Journal has a snapshot, nothing can be
        written through it. To read during an execution, open the file again with `read`.
        """
        if self._connection.in_transaction:
            yield
            return
        with self._damage_noticed():
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):  # closed before this was left
                self._connection.execute("ROLLBACK")

    def info(self) -> RunInfo:
        """Return the run as it was created."""
        with self._damage_noticed():
            info = queries.info(self._connection)
        if info is None:
            raise JournalDamaged(f"{self.name} is damaged: it does not say what its run is")
        return info

    def summary(self) -> RunSummary:
        """Return the progress of the run."""
        # Read first, so that a run that ends during this call does not look killed.
        locked_by = held_by(self.path) if self.path is not None else None
        with self._damage_noticed():
            counts = queries.status_counts(self._connection)
            requests, rate_limited = queries.request_counts(self._connection)
            permitted = queries.last_permitted(self._connection)
            preflight_elapsed = queries.preflight_elapsed(self._connection)
        return RunSummary(
            info=self.info(),
            counts=counts,
            requests=requests,
            rate_limited=rate_limited,
            total_permitted=permitted,
            sessions=tuple(self.sessions()),
            preflight_elapsed=preflight_elapsed,
            locked_by=locked_by,
        )

    def lines(self, *, problems_only: bool = False) -> Iterator[LineRecord]:
        """Yield every line in the order of the manifest, or only those that are not done."""
        with self._damage_noticed():
            yield from queries.lines(self._connection, problems_only=problems_only)

    def attaching(self) -> int:
        """Return the number of lines whose disk is assigned and has to be attached."""
        with self._damage_noticed():
            return count_open(self._connection, Step.ATTACH)

    def timeline(self) -> list[TimelineSecond]:
        """Return the seconds in which requests were sent."""
        with self._damage_noticed():
            return list(queries.timeline(self._connection))

    def waits(self) -> list[TimelineWait]:
        """Return the times in which requests waited for a permit."""
        with self._damage_noticed():
            return list(queries.waits(self._connection))

    def latency(self) -> Latency:
        """Return the response times of all sessions, and how long requests waited for permits."""
        histogram, waited = Histogram(), 0.0
        with self._damage_noticed():
            for buckets, seconds in queries.latencies(self._connection):
                histogram.add(buckets)
                waited += seconds
        return Latency.of(histogram, waited)

    def sessions(self) -> list[RunSession]:
        """Return the executions of the run."""
        with self._damage_noticed():
            return list(queries.sessions(self._connection))

    @contextlib.contextmanager
    def _damage_noticed(self) -> Iterator[None]:
        # SQLite may find the damage only while it reads rows, or a row has an impossible value.
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as exc:
            raise JournalDamaged(f"{self.name} cannot be read: {exc}") from exc
