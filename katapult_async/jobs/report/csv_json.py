"""A report for programs: CSV, one JSON document, or JSON Lines. Times are ISO 8601 in UTC."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from typing import TextIO

import msgspec

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.records import LineStatus
from katapult_async.safe_text import for_csv

from .documents import LineDocument, ReportDocument, RunRow, encode, line_document, line_row, run_document
from .selection import EVERY_LINE, selected

#: The columns of CSV, in this order.
COLUMNS = LineDocument.__struct_fields__


def write_csv(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = EVERY_LINE) -> None:
    """Write each line with one of `statuses` as a row, under a header."""
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    with journal.snapshot():
        for line in selected(journal, statuses):
            writer.writerow(_cell(value) for value in msgspec.structs.astuple(line_document(line)))


def _cell(value: object) -> object:
    if isinstance(value, LineStatus):
        return value.value
    return for_csv(value) if isinstance(value, str) else value


def write_json(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = EVERY_LINE) -> None:
    """Write a `ReportDocument`: the totals, and each line with one of `statuses`."""
    with journal.snapshot():
        empty = encode(ReportDocument(run=run_document(journal), lines=[]))
        out.write(empty.removesuffix("]}"))  # then write the lines singly: there may be a million
        separator = "\n"
        for line in selected(journal, statuses):
            out.write(separator + encode(line_document(line)))
            separator = ",\n"
        out.write("\n]}\n")


def json_lines(journal: Journal, *, statuses: Collection[LineStatus] = EVERY_LINE) -> Iterator[str]:
    """Yield a `LineRow` for each line with one of `statuses`, then a `RunRow`, as JSON."""
    with journal.snapshot():
        for line in selected(journal, statuses):
            yield encode(line_row(line))
        yield encode(RunRow(run=run_document(journal)))


def write_json_lines(out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = EVERY_LINE) -> None:
    """Write the rows of `json_lines`, one JSON object a line."""
    out.writelines(f"{text}\n" for text in json_lines(journal, statuses=statuses))
