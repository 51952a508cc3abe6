"""Reading an open journal: its run, where that stands, its lines and its timeline.

Opens and writes nothing. A file that is damaged while it is open is noticed here, too.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from katapult_async.jobs.errors import JournalDamaged

from . import queries
from .latency import Histogram, Latency
from .lock import held_by
from .records import LineRecord, LineStatus, RunInfo, RunSummary, Second, Session, Waited

T = TypeVar("T")


class JournalReader:
    """What can be read from a journal. `connection` is for the modules of a run; everything else uses the methods."""

    def __init__(self, connection: sqlite3.Connection, path: Path | None) -> None:
        self.connection = connection
        #: None for one that exists only as long as it is open.
        self.path = path

    def __repr__(self) -> str:
        return f"<Journal {self.name}>"

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return str(self.path) if self.path is not None else "<temporary journal>"

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """While this is open everything that is read is of one moment, whatever another process records meanwhile. One
        inside another changes nothing. Not for the journal that a run is being executed through: that could not record
        anything meanwhile. Open it a second time with `read`.
        """
        if self.connection.in_transaction:
            yield
            return
        list(self._rows("BEGIN", tuple))
        try:
            yield
        finally:
            with contextlib.suppress(sqlite3.Error):  # closed before this was left
                self.connection.execute("ROLLBACK")

    def info(self) -> RunInfo:
        """What the run is."""
        info = next(self._rows(queries.INFO, queries.info), None)
        if info is None:
            raise JournalDamaged(f"{self.name} is damaged: it does not say what its run is")
        return info

    def summary(self) -> RunSummary:
        """Where the run stands now."""
        # Asked first: a run that ends meanwhile must not look like one that was killed.
        locked_by = held_by(self.path) if self.path is not None else None
        found = dict(self._rows(queries.COUNTS, lambda row: (LineStatus(row[0]), int(row[1]))))
        requests, refused = next(self._rows(queries.REQUESTS, tuple))
        permitted = self._rows(queries.PERMITTED, tuple)
        info = self.info()
        return RunSummary(
            info=info,
            counts={status: found[status] for status in LineStatus if status in found},
            requests=requests,
            rate_limited=refused,
            total_permitted=next(permitted, (None,))[0],
            sessions=tuple(self.sessions()),
            locked_by=locked_by,
        )

    def lines(self, *, problems_only: bool = False) -> Iterator[LineRecord]:
        """Every line in the order of the manifest, or only those that are not done. Streamed."""
        return self._rows(queries.OPEN_LINES if problems_only else queries.LINES, queries.record)

    def timeline(self) -> list[Second]:
        """The seconds in which requests were sent."""
        return list(self._rows(queries.TIMELINE, queries.second))

    def waits(self) -> list[Waited]:
        """The times in which requests waited for a permit."""
        return list(self._rows(queries.WAITS, queries.waited))

    def latency(self) -> Latency:
        """How long the requests of all sessions took, and how long they waited for permits."""
        histogram, waited = Histogram(), 0.0
        for buckets, seconds in self._rows(queries.LATENCY, queries.latency):
            histogram.add(buckets)
            waited += seconds
        return Latency.of(histogram, waited)

    def sessions(self) -> list[Session]:
        """The times in which the run was executed."""
        return list(self._rows(queries.SESSIONS, queries.session))

    def _rows(self, statement: str, make: Callable[[tuple[Any, ...]], T]) -> Iterator[T]:
        """What is made of each row. A damaged file is often noticed in the middle only, by SQLite or by what it says."""
        try:
            for row in self.connection.execute(statement):
                yield make(row)
        except (sqlite3.DatabaseError, ValueError, TypeError) as exc:
            raise JournalDamaged(f"{self.name} cannot be read: {exc}") from exc
