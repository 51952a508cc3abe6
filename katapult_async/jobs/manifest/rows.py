"""Check the records of a manifest of assignments, and convert them to lines. Pure."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple, Protocol, cast

import msgspec

from katapult_async.bulk import Assignment
from katapult_async.models import lookups

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


class Columns(NamedTuple):
    """The columns of a manifest.

    Attributes:
        all: The permitted columns.
        required: The required columns.
    """

    all: tuple[str, ...]
    required: tuple[str, ...]


class BadRecord(Exception):
    """A record that is not valid. The records after it can be read."""


#: The values of a record by column, or the reason why it cannot be read.
Fields = dict[str, object] | BadRecord


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One item of a manifest.

    Attributes:
        number: The number of the line on which the record starts.
        disk: The ID of the disk. For an action that creates disks, the name of the new disk. Empty
            if the item has no disk.
        virtual_machine: An ID, or an FQDN in lower case and without a final dot. Empty if the item
            has no machine.
        attach: Whether to attach the disk. None if the manifest does not say.
        note: The note. None if the manifest has none.
        item: The item of the action, as JSON. None for assignments.
    """

    number: int
    disk: str
    virtual_machine: str
    attach: bool | None = None
    note: str | None = None
    item: str | None = None


class Rows(Protocol):
    """Converts the records of a manifest to lines."""

    @property
    def columns(self) -> Columns:
        """The columns of the manifest."""
        ...

    @property
    def action(self) -> str | None:
        """The name of the action for the items of the records. None for assignments."""
        ...

    def line_of(self, number: int, fields: Fields) -> ManifestLine:
        """Return a record as a line. Raises BadRecord if it is not valid."""
        ...

    def fields_of(self, item: object) -> Fields:
        """Return an item of an iterable as a record."""
        ...


class AssignmentRows:
    """The records of a manifest of assignments."""

    columns = Columns(("disk", "virtual_machine", "attach", "note"), ("disk", "virtual_machine"))
    action = None

    def line_of(self, number: int, fields: Fields) -> ManifestLine:
        """Return a record as a line. Raises BadRecord if it is not valid."""
        return _line_of(number, fields)

    def fields_of(self, item: object) -> Fields:
        """Return an item of an iterable as a record."""
        return _fields_of(item)


_COLUMNS, _REQUIRED = AssignmentRows.columns


def _line_of(number: int, fields: Fields) -> ManifestLine:
    if isinstance(fields, BadRecord):
        raise fields
    if strange := sorted(set(fields) - set(_COLUMNS)):
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


def _fields_of(item: object) -> Fields:
    fields: dict[str, object]
    if isinstance(item, ManifestLine):
        fields = {name: getattr(item, name) for name in _COLUMNS}
    elif isinstance(item, Assignment):
        fields = {name: getattr(item, name) for name in _REQUIRED}
    elif isinstance(item, tuple | list):
        parts = cast("tuple[object, ...] | list[object]", item)
        if len(parts) != len(_REQUIRED):
            return BadRecord(f"expected a pair of disk and virtual machine, found {len(parts)} values")
        fields = dict(zip(_REQUIRED, parts, strict=True))
    else:
        kind = type(item).__name__
        return BadRecord(
            f"expected an Assignment, a ManifestLine or a pair (disk, virtual machine), found {kind}"
        )
    for name in _REQUIRED:
        value = fields[name]
        if not isinstance(value, str | None):
            return BadRecord(f"{name} must be text")
        # Other libraries' kinds of str (numpy's, say) are not encoded as they are.
        fields[name] = None if value is None else str.__str__(value)
    return fields


class Digest:
    """A checksum of the lines of a manifest.

    Args:
        action: The name of the action. None for assignments.
    """

    def __init__(self, action: str | None = None) -> None:
        self._hash = hashlib.sha256((action or "").encode())

    def add(self, line: ManifestLine) -> None:
        """Add a line. Its number has no effect, so that blank lines have none."""
        said = (line.disk, line.virtual_machine, line.attach, line.note)
        self._hash.update(_encode(said if line.item is None else (line.item, line.note)))

    def __str__(self) -> str:
        return self._hash.hexdigest()
