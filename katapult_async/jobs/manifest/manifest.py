"""The manifest: which disk is wanted on which machine, from CSV, JSON Lines, standard input or any iterable.

Checked whole before anything is done with it, and streamed: a million lines need no more memory than ten. Reads and
complains; sends nothing and repairs nothing.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import msgspec

from katapult_async.bulk import Assignment
from katapult_async.models import lookups

from .reader import COLUMNS, REQUIRED, BadRecord, Fields, Source, Unreadable

#: Complaints kept whole; further ones are counted.
MOST_COMPLAINTS = 20
_DISK = re.compile(r"disk_[A-Za-z0-9]+\Z")
_MACHINE = re.compile(r"vm_[A-Za-z0-9]+\Z")
_FQDN = re.compile(
    r"(?=.{3,253}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)+[A-Za-z0-9-]{1,63}\.?\Z"
)
_encode = msgspec.json.Encoder().encode
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
    """One item and the line on which it starts. virtual_machine: an id, or an FQDN as DNS compares them: in lower case and
    without a final dot. attach, note: None where the manifest says nothing.
    """

    number: int
    disk: str
    virtual_machine: str
    attach: bool | None = None
    note: str | None = None


class Manifest:
    """A manifest that can be read as often as needed. Use it as a context manager; leaving it closes the file.

    with Manifest.open("plan.csv") as manifest:
        if manifest.check().ok:
            for line in manifest: ...
    """

    def __init__(self, name: str, source: Source) -> None:
        self.name = name
        self._source = source
        self._checked: ManifestCheck | None = None

    @classmethod
    def open(cls, path: str | Path, *, stdin: BinaryIO | None = None) -> Manifest:
        """Open a file, or standard input (`-`). Standard input and what else cannot be read twice (a pipe, a FIFO) is read
        to its end at once and spooled. Raises ManifestError, saying why it cannot be read.
        """
        try:
            if str(path) == "-":
                if stdin is None:
                    raise ManifestError("cannot read the manifest from standard input: it is closed")
                return cls("<standard input>", Source.spooled(stdin))
            return cls(str(path), Source.of(Path(path).open("rb")))
        except OSError as exc:
            raise _not_read(str(path), exc) from exc

    @classmethod
    def from_items(
        cls, items: Iterable[Assignment | ManifestLine | tuple[str, str]], *, name: str = "<items>"
    ) -> Manifest:
        """A manifest of what an iterable yields, which is read once, at once, and spooled. A line's number is the
        item's position, from 1. What is wrong with an item is a complaint of `check`. Raises ManifestError.
        """
        try:
            return cls(name, Source.of_items(map(_said, items)))
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

    def __iter__(self) -> Iterator[ManifestLine]:
        """The items. Raises ManifestError at the first bad line (check first), and where the file cannot be read."""
        number = 0
        try:
            for number, fields in self._source.records():
                yield _line(number, fields)
        except BadRecord as bad:
            raise ManifestError(f"{self.name}:{number}: {bad}") from None
        except Unreadable as exc:
            raise ManifestError(f"{self.name}:{exc.line}: {exc}") from exc
        except OSError as exc:
            raise _not_read(self.name, exc) from exc

    def check(self, limit: int = MOST_COMPLAINTS) -> ManifestCheck:
        """Read everything once and say what is wrong: malformed lines, a disk twice, a disk on two machines. limit:
        complaints kept whole. Raises ManifestError where it cannot be read or checked to its end.
        """
        if self._checked is None or not self._checked.ok:
            self._checked = self._check(limit)
        return self._checked

    def _check(self, limit: int) -> ManifestCheck:
        complaints: list[Complaint] = []
        count = lines = 0
        digest = Digest()

        def complain(line: int, reason: str) -> None:
            nonlocal count
            count += 1
            if len(complaints) < limit:
                complaints.append(Complaint(self.name, line, reason))

        try:
            with _Seen() as seen:
                for number, fields in self._source.records():
                    lines += 1
                    try:
                        line = _line(number, fields)
                    except BadRecord as bad:
                        complain(number, str(bad))
                        continue
                    digest.add(line)
                    if reason := seen.repeated(line):
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


def _not_read(name: str, exc: OSError) -> ManifestError:
    return ManifestError(f"cannot read the manifest {name}: {exc.strerror or exc}")


def _line(number: int, fields: Fields) -> ManifestLine:
    if isinstance(fields, BadRecord):
        raise fields
    if strange := sorted(set(fields) - set(COLUMNS)):
        raise BadRecord(f"unknown field {strange[0][:50]!r}")
    disk, machine = _text(fields, "disk"), _text(fields, "virtual_machine")
    if wrong := lookups.not_a_disk(disk) or lookups.not_a_machine(machine):
        raise BadRecord(f"{wrong}. Check whether the columns are swapped")
    if not _DISK.match(disk):
        raise BadRecord(
            f"{disk[:50]!r} is not a disk ID (expected disk_…)" if disk else "the disk is missing"
        )
    if not _MACHINE.match(machine) and not _FQDN.match(machine):
        wrong = f"{machine[:50]!r} is not a virtual machine (expected an ID, vm_…, or an FQDN)"
        raise BadRecord(wrong if machine else "the virtual machine is missing")
    if not _MACHINE.match(machine):
        machine = machine.lower().removesuffix(".")
    attach = fields.get("attach")
    if attach is not None and not isinstance(attach, bool):
        word = str(attach).strip().lower()
        if word not in _ATTACH:
            raise BadRecord(f"attach must be true or false, not {word[:20]!r}")
        attach = _ATTACH[word]
    note = fields.get("note")
    if isinstance(note, (list, dict)):
        raise BadRecord("note must be text")
    return ManifestLine(
        number=number,
        disk=disk,
        virtual_machine=machine,
        attach=attach,
        note=str(note) if note not in (None, "") else None,
    )


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str | None):
        raise BadRecord(f"{name} must be text")
    return (value or "").strip()


def _said(item: object) -> Fields:
    fields: dict[str, object]
    if isinstance(item, ManifestLine):
        fields = {name: getattr(item, name) for name in COLUMNS}
    elif isinstance(item, Assignment):
        fields = {name: getattr(item, name) for name in REQUIRED}
    elif isinstance(item, tuple | list):
        parts = cast("tuple[object, ...] | list[object]", item)
        if len(parts) != len(REQUIRED):
            return BadRecord(f"expected a pair of disk and virtual machine, found {len(parts)} values")
        fields = dict(zip(REQUIRED, parts, strict=True))
    else:
        kind = type(item).__name__
        return BadRecord(
            f"expected an Assignment, a ManifestLine or a pair (disk, virtual machine), found {kind}"
        )
    for name in REQUIRED:
        value = fields[name]
        if not isinstance(value, str | None):
            return BadRecord(f"{name} must be text")
        # Other libraries' kinds of str (numpy's, say) are not encoded as they are.
        fields[name] = None if value is None else str.__str__(value)
    return fields


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
        """What is wrong with it, if its disk was listed before. Raises sqlite3.Error when there is no room."""
        added = self._db.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (line.disk, line.number, line.virtual_machine)
        ).rowcount
        if added:
            return None
        first, machine = self._db.execute(
            "SELECT line, machine FROM seen WHERE disk = ?", (line.disk,)
        ).fetchone()
        if machine == line.virtual_machine:
            return f"{line.disk} is listed twice, first on line {first}"
        return (
            f"{line.disk} is listed twice: for {machine} on line {first}, and for {line.virtual_machine} here"
        )
