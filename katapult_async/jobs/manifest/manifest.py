"""Read and check a manifest from CSV, JSON Lines or any iterable.

The whole manifest is checked before a run uses it. It is read line by line, so a million lines need
no more memory than ten. Errors are reported, never repaired.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

from .duplicates import Duplicates
from .item_rows import ItemRows
from .reader import Source, Unreadable
from .rows import AssignmentRows, BadRecord, Digest, ManifestLine, Rows

#: The most complaints to keep. The others are only counted.
MOST_COMPLAINTS = 20


class ManifestError(ValueError):
    """The manifest cannot be read at all."""


class Complaint(msgspec.Struct, frozen=True):
    """An error in one line.

    Attributes:
        file: The name of the manifest.
        line: The number of the line, from 1.
        reason: What is wrong.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class ManifestCheck(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check.

    Attributes:
        lines: The number of items.
        digest: Checksum of the items. The format of the file does not matter.
        complaints: The first complaints.
        complaint_count: The number of all complaints.
    """

    lines: int
    digest: str
    complaints: tuple[Complaint, ...]
    complaint_count: int

    @property
    def ok(self) -> bool:
        """Whether there are no complaints."""
        return not self.complaint_count


class Manifest:
    """A manifest. It can be iterated several times.

    Create it with `open` or `from_items`. Use it as a context manager, which closes the file.

        with Manifest.open("plan.csv") as manifest:
            if manifest.check().ok:
                for line in manifest: ...
    """

    def __init__(self, name: str, source: Source, rows: Rows) -> None:
        self.name = name
        self._source = source
        self._rows = rows
        self._checked: ManifestCheck | None = None

    @classmethod
    def open(cls, path: str | Path, *, action: str | None = None, stdin: BinaryIO | None = None) -> Manifest:
        """Open a file or standard input.

        Standard input, a pipe or a FIFO is copied to a temporary file at once, because it can be
        read only once.

        Args:
            path: The file. `-` for standard input.
            action: The name of the action for the items of the lines, for example `resize`. None
                for assignments.
            stdin: Standard input. None if it is closed.

        Raises:
            ManifestError: The manifest cannot be read.
            ValueError: The action does not exist.
        """
        rows = _rows(action)
        try:
            if str(path) == "-":
                if stdin is None:
                    raise ManifestError("cannot read the manifest from standard input: it is closed")
                return cls("<standard input>", Source.spooled(stdin, rows.columns), rows)
            return cls(str(path), Source.of(Path(path).open("rb"), rows.columns), rows)
        except OSError as exc:
            raise _not_read(str(path), exc) from exc

    @classmethod
    def from_items(
        cls, items: Iterable[object], *, action: str | None = None, name: str = "<items>"
    ) -> Manifest:
        """Create a manifest of an iterable. The items are copied to a temporary file at once.

        Args:
            items: Assignments, pairs (disk, virtual_machine) or ManifestLines. With `action`, the
                items of that action. The number of a line is the position of its item, from 1.
                `check` complains about wrong items.
            action: The name of the action for these items. None for assignments.
            name: The name of the manifest in messages.

        Raises:
            ManifestError: The temporary file cannot be written.
            ValueError: The action does not exist.
        """
        rows = _rows(action)
        try:
            return cls(name, Source.of_items(map(rows.fields_of, items)), rows)
        except OSError as exc:
            raise ManifestError(f"cannot keep {name} in a temporary file: {exc.strerror or exc}") from exc

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._source.close()

    def __repr__(self) -> str:
        return f"<Manifest {self.name}>"

    @property
    def action(self) -> str | None:
        """The name of the action for the items of the lines. None for assignments."""
        return self._rows.action

    def __iter__(self) -> Iterator[ManifestLine]:
        """Yield the lines.

        Raises:
            ManifestError: A line is not valid, or the file cannot be read.
        """
        number = 0
        try:
            for number, fields in self._source.records():
                yield self._rows.line_of(number, fields)
        except BadRecord as bad:
            raise ManifestError(f"{self.name}:{number}: {bad}") from None
        except Unreadable as exc:
            raise ManifestError(f"{self.name}:{exc.line}: {exc}") from exc
        except OSError as exc:
            raise _not_read(self.name, exc) from exc

    def check(self, limit: int = MOST_COMPLAINTS) -> ManifestCheck:
        """Read the whole manifest, and return its errors.

        Errors are lines that are not valid, and a disk that is listed twice.

        Args:
            limit: The most complaints to keep.

        Raises:
            ManifestError: The manifest cannot be read or checked to its end.
        """
        if self._checked is None or not self._checked.ok:
            self._checked = self._check(limit)
        return self._checked

    def _check(self, limit: int) -> ManifestCheck:
        complaints: list[Complaint] = []
        count = lines = 0
        digest = Digest(self.action)

        def complain(line: int, reason: str) -> None:
            nonlocal count
            count += 1
            if len(complaints) < limit:
                complaints.append(Complaint(self.name, line, reason))

        try:
            with Duplicates() as duplicates:
                for number, fields in self._source.records():
                    lines += 1
                    try:
                        line = self._rows.line_of(number, fields)
                    except BadRecord as bad:
                        complain(number, str(bad))
                        continue
                    digest.add(line)
                    if reason := duplicates.complaint(line):
                        complain(number, reason)
        except Unreadable as exc:
            complain(exc.line, str(exc))
        except OSError as exc:
            raise _not_read(self.name, exc) from exc
        except sqlite3.Error as exc:
            raise ManifestError(
                f"cannot check the manifest {self.name}: the temporary folder is full: {exc}"
            ) from exc
        if not lines and not count:
            complain(1, "the manifest is empty")
        return ManifestCheck(
            lines=lines, digest=str(digest), complaints=tuple(complaints), complaint_count=count
        )


def _rows(action: str | None) -> Rows:
    return AssignmentRows() if action is None else ItemRows(action)


def _not_read(name: str, exc: OSError) -> ManifestError:
    return ManifestError(f"cannot read the manifest {name}: {exc.strerror or exc}")
