"""Split the text of a manifest (CSV, JSON Lines, or items) into records with line numbers.

This module handles encodings, quotes, and files that can be read only once. `rows` and `item_rows`
check the records.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO

import msgspec

from .rows import AssignmentRows, BadRecord, Columns, Fields

_ASSIGNMENTS = AssignmentRows.columns

#: The most characters of a line. A file with a longer line is not a manifest.
LONGEST_LINE = 1 << 16
_DELIMITERS = ",;\t"
#: The characters that stand for bytes that are not UTF-8 (error handler "surrogateescape").
_STRAY = re.compile("[\udc80-\udcff]")
#: A character of a line that has more than the empty cells of a spreadsheet.
_NOT_BLANK = re.compile(r"[^\s,;\"]")
#: An ID, which is data and not the name of a column.
#: An ID, which has 16 characters, or digits as in examples. `disk_id` is a heading.
_LIKE_DATA = re.compile(r"(disk|vm|org|iop)_([A-Za-z0-9]{16}|[A-Za-z]*[0-9][A-Za-z0-9]*)\Z")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, object]).decode
_decode_item = msgspec.json.Decoder(dict[str, object] | str).decode


class Unreadable(Exception):
    """The text cannot be read from this line on."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


class Source:
    """The text of a manifest. Each call of `records` reads it from its beginning."""

    def __init__(self, file: BinaryIO, columns: Columns = _ASSIGNMENTS, *, items: bool = False) -> None:
        # `_lines` finds bytes that are not UTF-8, and their line. A strict decoder reads ahead,
        # and does not know the line.
        self._text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
        self._items = items
        self._columns = columns

    @classmethod
    def of(cls, file: BinaryIO, columns: Columns = _ASSIGNMENTS) -> Source:
        """Return the source of an open file, which it closes.

        A file that can be read only once, such as a pipe, is copied to a temporary file.
        """
        if file.seekable():
            return cls(file, columns)
        with file:
            return cls.spooled(file, columns)

    @classmethod
    def spooled(cls, file: BinaryIO, columns: Columns = _ASSIGNMENTS) -> Source:
        """Return the source of a file that is copied to a temporary file at once."""
        return cls(_spool(_until_too_long(iter(lambda: file.read(1 << 16), b""))), columns)

    @classmethod
    def of_items(cls, items: Iterable[Fields]) -> Source:
        """Return the source of an iterable, which is read at once. Lines are positions, from 1."""
        return cls(_spool(map(_item, items)), items=True)

    def close(self) -> None:
        """Close the file."""
        self._text.close()

    def records(self) -> Iterator[tuple[int, Fields]]:
        """Yield each record and the line on which it starts.

        Raises:
            Unreadable: The text cannot be read from some line on.
            OSError: The file cannot be read.
        """
        if self._items:
            return self._kept_items()
        start = next((line for line in self._lines() if line.strip()), "")
        return self._json_lines() if start.lstrip().startswith("{") else self._csv()

    def _lines(self) -> Iterator[str]:
        self._text.buffer.seek(0)
        if self._text.buffer.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise Unreadable(1, "the file is UTF-16 text. Save it as UTF-8")
        self._text.seek(0)
        lines = self._text if self._items else iter(lambda: self._text.readline(LONGEST_LINE + 1), "")
        for number, line in enumerate(lines, start=1):
            if not line.isascii() and _STRAY.search(line):
                raise Unreadable(number, "the file is not UTF-8 text. Save it as UTF-8")
            if len(line) > LONGEST_LINE and not self._items:
                raise Unreadable(number, "the line is longer than 64 KiB. Check that this file is a manifest")
            if "\0" in line:  # csv accepts it from Python 3.11 on
                raise Unreadable(number, "the line contains a NUL. Check that this file is a manifest")
            yield line

    def _kept_items(self) -> Iterator[tuple[int, Fields]]:
        for number, line in enumerate(self._lines(), start=1):
            said = _decode_item(line)
            yield number, BadRecord(said) if isinstance(said, str) else said

    def _json_lines(self) -> Iterator[tuple[int, Fields]]:
        for number, line in enumerate(self._lines(), start=1):
            if not line.strip():
                continue
            try:
                yield number, _object(line)
            except (msgspec.DecodeError, RecursionError, ValueError):
                yield number, BadRecord("expected a JSON object")

    def _csv(self) -> Iterator[tuple[int, Fields]]:
        header = next(filter(_NOT_BLANK.search, self._lines()), "")
        delimiter = next((mark for mark in _DELIMITERS if mark in header), ",")
        # strict: raises an error for a quote that is never closed. Otherwise the rest of the file
        # would be one field.
        rows = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        columns: list[str] = []
        start = 1
        try:
            for row in rows:
                # `line_num` is the last line of a record. A field in quotes may have several lines.
                number, start = start, rows.line_num + 1
                if not any(field.strip() for field in row):
                    continue
                if not columns:
                    columns = [name.strip().lower() for name in row]
                    _check_columns(number, [name.strip() for name in row], self._columns)
                elif len(row) != len(columns):
                    yield number, BadRecord(f"expected {len(columns)} fields, found {len(row)}")
                else:
                    yield number, {name: field.strip() for name, field in zip(columns, row, strict=True)}
        except csv.Error as exc:
            raise Unreadable(
                start,
                f"cannot read this as CSV ({exc}). Check for a quote that begins here and is not closed",
            ) from exc


def _check_columns(line: int, written: list[str], wanted: Columns) -> None:
    """Raise Unreadable with the fault of a header. Names are compared without regard to case."""
    columns = [name.lower() for name in written]
    missing = [name for name in wanted.required if name not in columns]
    strange = [name for name in written if name.lower() not in wanted.all]
    twice = [name for number, name in enumerate(written) if name.lower() in columns[:number]]
    if not (missing or strange or twice):
        return
    found = repr(", ".join(written)[:200])
    if len(strange) == len(written):
        must = f"the first line must name the {_columns(wanted.required)}{_optional(wanted)}"
        if any(_LIKE_DATA.match(name) for name in written):
            raise Unreadable(line, f"{must}. It seems to be data: {found}")
        raise Unreadable(line, f"{must}. Found {found}")
    if missing:
        are = "is" if len(missing) == 1 else "are"
        raise Unreadable(line, f"the {_columns(missing)} {are} missing{_optional(wanted)}. Found {found}")
    if twice:
        raise Unreadable(line, f"the column {twice[0][:50]!r} occurs twice: remove one")
    noun, it = ("column", "it") if len(strange) == 1 else ("columns", "them")
    names = _listed([repr(name[:50]) for name in strange])[:200]
    raise Unreadable(
        line, f"unknown {noun} {names}. Columns are {_listed(wanted.all)}: rename or remove {it}"
    )


def _columns(names: Sequence[str]) -> str:
    return f"{'column' if len(names) == 1 else 'columns'} {_listed(names)}"


def _optional(wanted: Columns) -> str:
    optional = [name for name in wanted.all if name not in wanted.required]
    return f" ({_listed(optional)} {'is' if len(optional) == 1 else 'are'} optional)" if optional else ""


def _listed(names: Sequence[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _object(line: str) -> Fields:
    fields = _decode(line)
    # Each key has a colon. Only a line with more colons than keys can have a key twice.
    if line.count(":") == len(fields):
        return fields
    twice: list[str] = []

    def check(pairs: list[tuple[str, object]]) -> None:
        twice.extend(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)

    json.loads(line, object_pairs_hook=check)
    return BadRecord(f"the field {twice[0][:50]!r} occurs twice") if twice else fields


def _until_too_long(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chunks up to the first line that is too long. The rest is not read."""
    length = 0
    for chunk in chunks:
        yield chunk
        end = chunk.rfind(b"\n")
        length = length + len(chunk) if end < 0 else len(chunk) - end - 1
        if length > 4 * LONGEST_LINE:  # a character may have four bytes
            return


def _item(fields: Fields) -> bytes:
    """Return a record as a line of JSON: an object, or a text that says what is wrong."""
    try:
        said = _encode(str(fields) if isinstance(fields, BadRecord) else fields)
    except UnicodeEncodeError:
        said = _encode("it contains half a character (a lone surrogate)")
    except (TypeError, ValueError, OverflowError):
        said = _encode("a value has the wrong type: attach must be true or false, the others must be text")
    return said + b"\n"


def _spool(chunks: Iterable[bytes]) -> BinaryIO:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the source, or below
    try:
        for chunk in chunks:
            file.write(chunk)
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file
