"""The manifest: which disk is wanted on which machine, from CSV, JSON Lines, standard input or any iterable.

Checked whole before anything is done with it, and streamed: a million lines need no more memory than ten. Reads and
complains; sends nothing and repairs nothing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, TextIO

import msgspec

from katapult_async.scheduler import Assignment

COLUMNS = ("disk", "virtual_machine", "attach", "note")
REQUIRED = ("disk", "virtual_machine")
#: Complaints kept whole; further ones are counted.
MOST_COMPLAINTS = 20
_DISK = re.compile(r"disk_[A-Za-z0-9]+\Z")
_MACHINE = re.compile(r"vm_[A-Za-z0-9]+\Z")
_FQDN = re.compile(
    r"(?=.{3,253}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9-]{1,63}\.?\Z"
)
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode
_ATTACH: dict[str, bool | None] = {
    "": None,
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}


class ManifestError(ValueError):
    """The manifest cannot be read at all."""


class Complaint(msgspec.Struct, frozen=True):
    """What is wrong with one line."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class ManifestCheck(msgspec.Struct, frozen=True, kw_only=True):
    """lines: items found. complaints: the first ones. complaint_count: all of them. digest: of what the lines say (not
    of how they are written): two manifests with the same digest want the same.
    """

    lines: int
    digest: str
    complaints: tuple[Complaint, ...]
    complaint_count: int

    @property
    def ok(self) -> bool:
        """Whether there is nothing to complain about."""
        return not self.complaint_count


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item and the line it stands on. attach, note: None where the manifest says nothing."""

    number: int
    disk: str
    virtual_machine: str
    attach: bool | None = None
    note: str | None = None


class _BadLine(Exception):
    """Carries a reason to where the complaints are collected."""


class Manifest:
    """A manifest that can be read as often as needed. Use it as a context manager; leaving it closes the file.

    with Manifest.open("plan.csv") as manifest:
        if manifest.check().ok:
            for line in manifest: ...
    """

    def __init__(self, name: str, file: TextIO) -> None:
        self.name = name
        self._file = file
        self._checked: ManifestCheck | None = None

    @classmethod
    def open(cls, path: str | Path, *, stdin: BinaryIO | None = None) -> Manifest:
        """Open a file, or standard input (`-`), which is spooled. Raises ManifestError, saying why it cannot be read."""
        try:
            if str(path) == "-":
                if stdin is None:
                    raise ManifestError("there is no standard input to read the manifest from")
                return cls._spooled("<standard input>", iter(lambda: stdin.read(1 << 16), b""))
            return cls(str(path), _text_of(Path(path).open("rb")))
        except OSError as exc:
            raise ManifestError(f"cannot read the manifest {path}: {exc.strerror or exc}") from exc

    @classmethod
    def from_items(
        cls, items: Iterable[Assignment | ManifestLine | tuple[str, str]], *, name: str = "<items>"
    ) -> Manifest:
        """A manifest of what an iterable yields, which is read once, at once, and spooled. A line's number is the
        item's position, from 1. What is wrong with an item is a complaint of `check`. Raises ManifestError.
        """
        try:
            return cls._spooled(name, (_encode(_fields(item)) + b"\n" for item in items))
        except OSError as exc:
            raise ManifestError(f"cannot keep {name} in a temporary file: {exc.strerror or exc}") from exc

    @classmethod
    def _spooled(cls, name: str, chunks: Iterable[bytes]) -> Manifest:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__, or below
        try:
            for chunk in chunks:
                file.write(chunk)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return cls(name, _text_of(file))

    def __enter__(self) -> Manifest:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def __repr__(self) -> str:
        return f"<Manifest {self.name}>"

    def __iter__(self) -> Iterator[ManifestLine]:
        """The items. Raises ManifestError at the first bad line: check first."""
        number = 0
        try:
            for number, fields in self._records():
                yield _line(number, fields)
        except _BadLine as bad:
            raise ManifestError(f"{self.name}:{number}: {bad}") from None

    def check(self, limit: int = MOST_COMPLAINTS) -> ManifestCheck:
        """Read everything once and say what is wrong: malformed lines, a disk twice, a disk on two machines. limit:
        complaints kept whole.
        """
        if self._checked is None or not self._checked.ok:
            self._checked = self._check(limit)
        return self._checked

    def _check(self, limit: int) -> ManifestCheck:
        complaints: list[Complaint] = []
        count = lines = number = 0
        digest = Digest()

        def complain(line: int, reason: str) -> None:
            nonlocal count
            count += 1
            if len(complaints) < limit:
                complaints.append(Complaint(self.name, line, reason))

        with _Seen() as seen:
            try:
                for number, fields in self._records():
                    lines += 1
                    try:
                        line = _line(number, fields)
                    except _BadLine as bad:
                        complain(number, str(bad))
                        continue
                    digest.add(line)
                    if reason := seen.repeated(line):
                        complain(number, reason)
            except ManifestError as exc:
                complain(number + 1, str(exc))
        if not lines and not count:
            complain(1, "there is nothing in it")
        return ManifestCheck(
            lines=lines, digest=str(digest), complaints=tuple(complaints), complaint_count=count
        )

    # -- reading ----------------------------------------------------------------------------------------------------

    def _records(self) -> Iterator[tuple[int, dict[str, object] | _BadLine]]:
        self._file.seek(0)
        try:
            start = next((line for line in self._file if line.strip()), "")
            self._file.seek(0)
            yield from self._json_lines() if start.lstrip().startswith("{") else self._csv()
        except UnicodeDecodeError as exc:
            raise ManifestError("it is not UTF-8 text: save it as UTF-8") from exc
        except csv.Error as exc:
            raise ManifestError(f"it is no CSV: {exc}") from exc

    def _json_lines(self) -> Iterator[tuple[int, dict[str, object] | _BadLine]]:
        for number, text in enumerate(self._file, start=1):
            if not text.strip():
                continue
            try:
                yield number, _decode(text)
            except msgspec.DecodeError:
                yield number, _BadLine("it is no JSON object")

    def _csv(self) -> Iterator[tuple[int, dict[str, object] | _BadLine]]:
        header = self._file.readline()
        delimiter = next((mark for mark in ",;\t" if mark in header), ",")
        self._file.seek(0)
        # strict: a quote that is never closed would otherwise swallow the rest of the file in silence.
        rows = csv.reader(self._file, delimiter=delimiter, strict=True)
        nothing: list[str] = []
        names = next(rows, nothing)
        columns = [name.strip().lower() for name in names]
        if not any(columns) and not header.strip():
            return  # nothing but blank lines
        _check_columns(columns)
        for row in rows:
            if not any(field.strip() for field in row):
                continue
            if len(row) != len(columns):
                yield rows.line_num, _BadLine(f"{len(row)} fields instead of {len(columns)}")
            else:
                yield rows.line_num, {name: field.strip() for name, field in zip(columns, row, strict=True)}


def _check_columns(columns: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in columns]
    strange = [name for name in columns if name not in COLUMNS]
    if missing or strange or len(set(columns)) != len(columns):
        raise ManifestError(
            "the first line must name the columns disk and virtual_machine (and may name attach and note), "
            f"each once; it says {', '.join(columns)[:200] or 'nothing'!r}"
        )


def _line(number: int, fields: dict[str, object] | _BadLine) -> ManifestLine:
    if isinstance(fields, _BadLine):
        raise fields
    if strange := sorted(set(fields) - set(COLUMNS)):
        raise _BadLine(f"unknown field {strange[0][:50]!r}")
    disk, machine = _text(fields, "disk"), _text(fields, "virtual_machine")
    if _MACHINE.match(disk):
        raise _BadLine(f"{disk} is a virtual machine, not a disk: are the columns swapped?")
    if not _DISK.match(disk):
        raise _BadLine(f"{disk[:50]!r} is no id of a disk (disk_…)" if disk else "no disk is given")
    if not _MACHINE.match(machine) and not _FQDN.match(machine):
        wrong = f"{machine[:50]!r} is neither the id (vm_…) nor the FQDN of a virtual machine"
        raise _BadLine(wrong if machine else "no virtual machine is given")
    attach = fields.get("attach")
    if attach is not None and not isinstance(attach, bool):
        word = str(attach).strip().lower()
        if word not in _ATTACH:
            raise _BadLine(f"attach is {word[:20]!r}; it may be true or false")
        attach = _ATTACH[word]
    note = fields.get("note")
    return ManifestLine(
        number=number,
        disk=disk,
        virtual_machine=machine,
        attach=attach,
        note=str(note) if note not in (None, "") else None,
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise _BadLine(f"{name} must be text")
    return value.strip()


def _fields(item: Assignment | ManifestLine | tuple[str, str]) -> dict[str, object]:
    if isinstance(item, ManifestLine):
        return {
            "disk": item.disk,
            "virtual_machine": item.virtual_machine,
            "attach": item.attach,
            "note": item.note,
        }
    if isinstance(item, Assignment):
        return {"disk": item.disk, "virtual_machine": item.virtual_machine or ""}
    disk, machine = item
    return {"disk": disk, "virtual_machine": machine}


def _text_of(file: BinaryIO) -> TextIO:
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline="")


class Digest:
    """Sums up what the lines of a manifest say, one after the other."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, line: ManifestLine) -> None:
        """One more line. Its number does not count: blank lines change nothing."""
        self._hash.update(_encode((line.disk, line.virtual_machine, line.attach, line.note)))

    def __str__(self) -> str:
        return self._hash.hexdigest()


class _Seen:
    """The disks that were listed already, on disk where they are many: memory stays the same for any number."""

    def __enter__(self) -> _Seen:
        self._db = sqlite3.connect("", isolation_level=None)  # a temporary file that goes away by itself
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("PRAGMA cache_size = -16000")  # KiB
        self._db.execute(
            "CREATE TABLE seen (disk TEXT PRIMARY KEY, line INTEGER, machine TEXT) WITHOUT ROWID"
        )
        self._db.execute("BEGIN")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()

    def repeated(self, line: ManifestLine) -> str | None:
        """What is wrong with it, if its disk was listed before. Raises ManifestError when there is no room."""
        try:
            added = self._db.execute(
                "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (line.disk, line.number, line.virtual_machine)
            ).rowcount
            if added:
                return None
            first, machine = self._db.execute(
                "SELECT line, machine FROM seen WHERE disk = ?", (line.disk,)
            ).fetchone()
        except sqlite3.Error as exc:
            raise ManifestError(f"it cannot be checked, the temporary folder has no room: {exc}") from exc
        if machine == line.virtual_machine:
            return f"{line.disk} is listed twice: first on line {first}"
        return f"{line.disk} is wanted on {machine} on line {first} and on {line.virtual_machine} here"
