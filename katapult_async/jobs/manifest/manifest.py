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

from .item_form import ItemForm
from .reader import ASSIGNMENTS, COLUMNS, REQUIRED, BadRecord, Fields, Source, Unreadable

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
    item: str | None = None


class Manifest:
    """A manifest that can be read as often as needed. Use it as a context manager; leaving it closes the file.

    with Manifest.open("plan.csv") as manifest:
        if manifest.check().ok:
            for line in manifest: ...
    """

    def __init__(self, name: str, source: Source, form: ItemForm | None = None) -> None:
        self.name = name
        self._source = source
        self._form = form
        self._checked: ManifestCheck | None = None

    @classmethod
    def open(cls, path: str | Path, *, action: str | None = None, stdin: BinaryIO | None = None) -> Manifest:
        """Open a file, or standard input.

        Standard input, and what else cannot be read twice (a pipe, a FIFO), is read to its end at once and spooled.

        Args:
            path: The file. `-` is standard input.
            action: The name of the action whose items the lines are, for example `resize`. None for assignments.
            stdin: Standard input.

        Raises:
            ManifestError: It cannot be read.
            ValueError: There is no such action.
        """
        form = ItemForm(action) if action is not None else None
        columns = form.columns if form is not None else ASSIGNMENTS
        try:
            if str(path) == "-":
                if stdin is None:
                    raise ManifestError("cannot read the manifest from standard input: it is closed")
                return cls("<standard input>", Source.spooled(stdin, columns), form)
            return cls(str(path), Source.of(Path(path).open("rb"), columns), form)
        except OSError as exc:
            raise _not_read(str(path), exc) from exc

    @classmethod
    def from_items(
        cls, items: Iterable[object], *, action: str | None = None, name: str = "<items>"
    ) -> Manifest:
        """Make a manifest of what an iterable yields, which is read once, at once, and spooled.

        A line's number is the item's position, from 1. What is wrong with an item is a complaint of `check`.

        Args:
            items: Assignments, pairs (disk, virtual_machine) or ManifestLines; or what the action takes as items.
            action: The name of the action whose items these are. None for assignments.
            name: What to call the manifest.

        Raises:
            ManifestError: The temporary folder is full.
            ValueError: There is no such action.
        """
        form = ItemForm(action) if action is not None else None
        said = form.fields_of if form is not None else _said
        try:
            return cls(name, Source.of_items(map(said, items)), form)
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
        """The name of the action whose items the lines are. None for assignments."""
        return self._form.action if self._form is not None else None

    def _line(self, number: int, fields: Fields) -> ManifestLine:
        if self._form is None:
            return _line(number, fields)
        said = self._form.read(fields)
        return ManifestLine(
            number=number,
            disk=said.disk,
            virtual_machine=said.virtual_machine,
            note=said.note,
            item=said.item,
        )

    def __iter__(self) -> Iterator[ManifestLine]:
        """The items. Raises ManifestError at the first bad line (check first), and where the file cannot be read."""
        number = 0
        try:
            for number, fields in self._source.records():
                yield self._line(number, fields)
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
        digest = Digest(self.action)

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
                        line = self._line(number, fields)
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

    def __init__(self, action: str | None = None) -> None:
        self._hash = hashlib.sha256((action or "").encode())

    def add(self, line: ManifestLine) -> None:
        """One more line. Its number does not count: blank lines change nothing."""
        said = (line.disk, line.virtual_machine, line.attach, line.note)
        self._hash.update(_encode(said if line.item is None else (line.item, line.note)))

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
        subject = line.disk or line.virtual_machine
        added = self._db.execute(
            "INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", (subject, line.number, line.virtual_machine)
        ).rowcount
        if added:
            return None
        first, machine = self._db.execute(
            "SELECT line, machine FROM seen WHERE disk = ?", (subject,)
        ).fetchone()
        if machine == line.virtual_machine:
            return f"{subject} is listed twice, first on line {first}"
        return (
            f"{line.disk} is listed twice: for {machine} on line {first}, and for {line.virtual_machine} here"
        )
