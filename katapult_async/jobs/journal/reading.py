"""Reading an open journal: its run, where that stands, its lines and its timeline.

Opens and writes nothing. A file that is damaged while it is open is noticed here, too.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from katapult_async.jobs.errors import JournalDamaged

from . import queries
from .latency import Histogram, Latency
from .lock import held_by
from .records import LineRecord, RunInfo, RunSession, RunSummary, TimelineSecond, TimelineWait

P = ParamSpec("P")
T = TypeVar("T")


class JournalReader:
    """What can be read from a journal."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self._connection = connection
        #: None for one that exists only as long as it is open.
        self.path = path

    def __repr__(self) -> str:
        return f"<Journal {self.name}>"

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(self.path) if self.path is not None else "<temporary journal>"

    def query(
        self, work: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Carry out a query of this package's `queries` modules, and return what it returns.

        Args:
            work: The query. It gets the connection first.
            *args: Its further arguments.
            **kwargs: Its further arguments.

        Raises:
            sqlite3.Error: What SQLite says, untranslated.
        """
        return work(self._connection, *args, **kwargs)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read everything as of one moment while this is open, whatever another process records.

        One snapshot inside another changes nothing. A journal through which a run is executed
        cannot record anything meanwhile: open it a second time with `read`.
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
        """Return what the run is."""
        with self._damage_noticed():
            info = queries.info(self._connection)
        if info is None:
            raise JournalDamaged(f"{self.name} is damaged: it does not say what its run is")
        return info

    def summary(self) -> RunSummary:
        """Return where the run stands now."""
        # Asked first: a run that ends meanwhile must not look like one that was killed.
        locked_by = held_by(self.path) if self.path is not None else None
        with self._damage_noticed():
            counts = queries.status_counts(self._connection)
            requests, rate_limited = queries.request_counts(self._connection)
            permitted = queries.last_permitted(self._connection)
        return RunSummary(
            info=self.info(),
            counts=counts,
            requests=requests,
            rate_limited=rate_limited,
            total_permitted=permitted,
            sessions=tuple(self.sessions()),
            locked_by=locked_by,
        )

    def lines(self, *, problems_only: bool = False) -> Iterator[LineRecord]:
        """Yield every line in the order of the manifest, or only those that are not done."""
        with self._damage_noticed():
            yield from queries.lines(self._connection, problems_only=problems_only)

    def timeline(self) -> list[TimelineSecond]:
        """Return the seconds in which requests were sent."""
        with self._damage_noticed():
            return list(queries.timeline(self._connection))

    def waits(self) -> list[TimelineWait]:
        """Return the times in which requests waited for a permit."""
        with self._damage_noticed():
            return list(queries.waits(self._connection))

    def latency(self) -> Latency:
        """Return how long the requests of all sessions took, and how long they waited."""
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
        # A damaged file is often noticed only in the middle, by SQLite or by a value that cannot
        # be.
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError) as exc:
            raise JournalDamaged(f"{self.name} cannot be read: {exc}") from exc
