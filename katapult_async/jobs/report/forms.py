"""The forms of a report, and the form for the name of a file."""

from __future__ import annotations

import enum
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TextIO

from katapult_async.jobs.journal import Journal
from katapult_async.jobs.journal.records import LineStatus

from .atomic_file import written_whole
from .csv_json import write_csv, write_json, write_json_lines
from .html import write_html
from .manifest import write_manifest
from .text import write_table

if TYPE_CHECKING:
    from katapult_async.jobs.run import Run


class ReportForm(str, enum.Enum):
    """The forms of a report."""

    #: Totals and failures, for a terminal.
    TABLE = "table"
    #: A row for each line.
    CSV = "csv"
    #: One document with the totals and each line.
    JSON = "json"
    #: An object for each line, then the totals.
    JSONL = "jsonl"
    #: One self-contained page for a browser: totals, timeline and failures.
    HTML = "html"
    #: The lines that are not done, as a manifest for the next run.
    MANIFEST = "manifest"

    def __str__(self) -> str:
        return self.value

    @classmethod
    def of(cls, path: Path) -> ReportForm:
        """Return the form for the suffix of a file.

        Raises:
            ValueError: No form has this suffix.
        """
        form = _BY_SUFFIX.get(path.suffix.lower())
        if form is None:
            raise ValueError(
                f"cannot tell the format of a report from the name {path.name!r}: end it with {_SUFFIXES}"
            )
        return form


class _Writer(Protocol):
    def __call__(self, out: TextIO, journal: Journal, *, statuses: Collection[LineStatus] = ...) -> None: ...


_BY_SUFFIX = {
    ".csv": ReportForm.CSV,
    ".json": ReportForm.JSON,
    ".jsonl": ReportForm.JSONL,
    ".html": ReportForm.HTML,
    ".txt": ReportForm.TABLE,
}
_SUFFIXES = f"{', '.join([*_BY_SUFFIX][:-1])} or {[*_BY_SUFFIX][-1]}"
_WRITERS: dict[ReportForm, _Writer] = {
    ReportForm.TABLE: write_table,
    ReportForm.CSV: write_csv,
    ReportForm.JSON: write_json,
    ReportForm.JSONL: write_json_lines,
    ReportForm.HTML: write_html,
    ReportForm.MANIFEST: write_manifest,
}


def write_form(
    out: TextIO, journal: Journal, form: ReportForm, *, statuses: Collection[LineStatus] | None = None
) -> None:
    """Write a report in one of the forms.

    Args:
        out: A text file, open for writing.
        journal: The journal to read.
        form: The form.
        statuses: The statuses of the lines to write. None for the default of the form: failures for
            people, every line for programs, lines that are not done for a manifest.
    """
    write = _WRITERS[form]
    if statuses is None:
        write(out, journal)
    else:
        write(out, journal, statuses=statuses)


def write_report(
    run: Run | Journal | str | Path,
    path: str | Path,
    *,
    form: ReportForm | None = None,
    statuses: Collection[LineStatus] | None = None,
) -> None:
    """Write the report of a run to a file, whole or not at all.

    Args:
        run: A Run that does not execute now, a journal, or the path of a journal.
        path: The file. Its suffix chooses the form: .csv, .json, .jsonl, .html, or .txt for a
            table.
        form: The form, whatever the suffix is.
        statuses: The statuses of the lines to write. None for the default of the form (see
            `write_form`).

    Raises:
        ValueError: No form has this suffix.
        JournalError: The journal cannot be read, or `path` is one of its own files.
        OSError: The file cannot be written.
    """
    path = Path(path)
    form = form if form is not None else ReportForm.of(path)

    def write(journal: Journal) -> None:
        with written_whole(path, journal.path) as file:
            write_form(file, journal, form, statuses=statuses)

    if isinstance(run, Journal):
        write(run)
    elif isinstance(run, (str, Path)):
        with Journal.read(run) as journal:
            write(journal)
    else:
        write(run.journal)
