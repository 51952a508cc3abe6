"""Each form of a report: its lines, and that its text is safe.

Its JSON is what the schemas document.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from katapult_async.cli.runs import run_runs
from katapult_async.cli.status import run_status
from katapult_async.jobs import (
    Journal,
    JournalMismatch,
    LineStatus,
    Manifest,
    ManifestLine,
    ReportForm,
    Run,
    RunKind,
    write_report,
)
from katapult_async.jobs.journal import NewLine, new_info
from katapult_async.jobs.report import schemas, write_form
from katapult_async.jobs.report.documents import (
    LineRow,
    ReportDocument,
    RunRow,
    RunsDocument,
    StatusDocument,
)
from katapult_async.jobs.report.selection import EVERY_LINE, parse_statuses
from katapult_async.load.schemas import schemas as load_schemas
from katapult_async.safe_text import for_terminal

SCHEMAS = Path(__file__).parents[2] / "docs" / "schemas"
STATUSES = (LineStatus.ASSIGNED, LineStatus.FAILED, LineStatus.UNKNOWN, LineStatus.WAITING)
#: A terminal's escape, a carriage return, a NUL, a change of direction, a C1 control, and
#: characters with a meaning in a page or a cell.
EVIL = '=\x1b[31m\r\x00\u202e\x9b<b>&\u2028"'


def make_journal(path: Path, *, kind: RunKind = RunKind.ASSIGN, ended: str = "finished") -> None:
    """Make a journal of four lines, one of each status that matters.

    The second and the fourth are to be attached. The third has a note.
    """
    lines = [
        NewLine(
            number=number,
            disk=f"disk_{number}",
            virtual_machine="vm_1",
            step="assign",
            second_step=number in (2, 4),
            note="for, the customer" if number == 3 else None,
        )
        for number in range(1, 5)
    ]
    now = time.time()
    info = new_info(
        kind, "plan.csv", "0", len(lines), confirmed_at=now, base_url="https://api.katapult.io/core/v1"
    )
    with Journal.create(path, info, lines) as journal:
        for number, status in enumerate(STATUSES, start=1):
            journal.query(
                sqlite3.Connection.execute,
                "UPDATE line SET status = ? WHERE number = ?",
                (status.value, number),
            )
        journal.query(
            sqlite3.Connection.execute,
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, ?, ?, ?, NULL)",
            (now - 60, now, ended),
        )
        journal.query(
            sqlite3.Connection.execute, "INSERT INTO second VALUES (?, 7, 1, 2, 1000)", (int(now) - 30,)
        )
        journal.query(
            sqlite3.Connection.execute, "INSERT INTO wait VALUES (?, ?, 'permits')", (now - 20, now - 10)
        )
        journal.query(
            sqlite3.Connection.execute, "INSERT INTO latency VALUES (?, '[[500, 6]]', 10.0)", (now - 60,)
        )


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    make_journal(tmp_path / "plan.run")
    with Journal.read(tmp_path / "plan.run") as journal:
        yield journal


def written(journal: Journal, form: ReportForm, statuses: frozenset[LineStatus] | None = None) -> str:
    out = io.StringIO(newline="")
    write_form(out, journal, form, statuses=statuses)
    return out.getvalue()


# -- which lines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "shown"),
    [
        (ReportForm.TABLE, {2, 3}),
        (ReportForm.HTML, {2, 3}),
        (ReportForm.CSV, {1, 2, 3, 4}),
        (ReportForm.JSON, {1, 2, 3, 4}),
        (ReportForm.JSONL, {1, 2, 3, 4}),
        (ReportForm.MANIFEST, {2, 3, 4}),
    ],
)
def test_each_form_has_the_lines_that_suit_it(journal: Journal, form: ReportForm, shown: set[int]) -> None:
    def lines_in(text: str) -> set[int]:
        return {number for number in range(1, 5) if f"disk_{number}" in text}

    assert lines_in(written(journal, form)) == shown
    assert lines_in(written(journal, form, EVERY_LINE)) == {1, 2, 3, 4}
    assert lines_in(written(journal, form, parse_statuses("assigned, waiting"))) == {1, 4}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("finished", "'finished' is not a status. Statuses: assigned, already_assigned, "),
        ("failed,x", "'x' is not a status"),
        (" , ", "no status is given"),
    ],
)
def test_a_status_that_does_not_exist_is_refused_with_those_that_do(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_statuses(text)


def test_statuses_are_read_as_they_are_printed() -> None:
    assert parse_statuses("Failed,already assigned,already-unassigned") == {
        LineStatus.FAILED,
        LineStatus.ALREADY_ASSIGNED,
        LineStatus.ALREADY_UNASSIGNED,
    }


# -- the manifest ----------------------------------------------------------------------------------


def test_what_is_not_done_is_a_manifest_for_the_next_run(journal: Journal, tmp_path: Path) -> None:
    write_report(journal, tmp_path / "rest.csv", form=ReportForm.MANIFEST)
    with Manifest.open(tmp_path / "rest.csv") as manifest:
        assert manifest.check().ok
        assert list(manifest) == [
            ManifestLine(number=2, disk="disk_2", virtual_machine="vm_1", attach=True),
            ManifestLine(
                number=3, disk="disk_3", virtual_machine="vm_1", attach=False, note="for, the customer"
            ),
            ManifestLine(number=4, disk="disk_4", virtual_machine="vm_1", attach=True),
        ]


def test_a_manifest_has_no_column_that_no_line_needs(journal: Journal) -> None:
    assert written(journal, ReportForm.MANIFEST, frozenset({LineStatus.ASSIGNED})) == (
        "disk,virtual_machine\r\ndisk_1,vm_1\r\n"
    )


@pytest.mark.parametrize("note", ["=SUM(A1)", "- urgent", "two\nlines\tand a tab", "Grüße"])
def test_a_note_survives_any_number_of_manifests(tmp_path: Path, note: str) -> None:
    line = ManifestLine(number=1, disk="disk_1", virtual_machine="vm_1", note=note)
    with Manifest.from_items([line]) as manifest:
        Run.create(tmp_path / "a.run", manifest).close()
    write_report(tmp_path / "a.run", tmp_path / "rest.csv", form=ReportForm.MANIFEST)
    with Manifest.open(tmp_path / "rest.csv") as manifest:
        assert [found.note for found in manifest] == [note]


def test_a_rollback_has_no_manifest(tmp_path: Path) -> None:
    make_journal(tmp_path / "plan.run", kind=RunKind.ROLLBACK)
    with pytest.raises(JournalMismatch, match="is a rollback and has no manifest"):
        write_report(tmp_path / "plan.run", tmp_path / "rest.csv", form=ReportForm.MANIFEST)
    assert not (tmp_path / "rest.csv").exists()


# -- the file --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("r.csv", "line,disk,"),
        ("r.json", '{"schema":"katapult-async/report/1"'),
        ("r.jsonl", '{"schema":"katapult-async/line/1"'),
        ("R.HTML", "<!doctype html>"),
        ("r.txt", "Assignment of plan.csv\n"),
    ],
)
def test_the_name_of_the_file_chooses_the_form(tmp_path: Path, name: str, begins: str) -> None:
    make_journal(tmp_path / "plan.run")
    write_report(tmp_path / "plan.run", tmp_path / name)
    assert (tmp_path / name).read_text("utf-8").startswith(begins)


def test_a_name_that_stands_for_no_form_is_refused(journal: Journal, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"end it with \.csv, \.json, \.jsonl, \.html or \.txt"):
        write_report(journal, tmp_path / "report.pdf")
    assert not (tmp_path / "report.pdf").exists()


def test_a_run_is_reported_too(tmp_path: Path) -> None:
    with (
        Manifest.from_items([("disk_1", "vm_1")]) as manifest,
        Run.create(tmp_path / "a.run", manifest) as run,
    ):
        write_report(run, tmp_path / "r.csv")
    assert "disk_1,vm_1,waiting" in (tmp_path / "r.csv").read_text()


# -- text of others --------------------------------------------------------------------------------


def unsafe_in(text: str) -> set[str]:
    """The characters that a terminal or a reader would act on, but for the ends of lines."""
    text = text.replace("\r\n", "\n")
    return {
        character
        for character in text
        if (unicodedata.category(character) in ("Cc", "Zl", "Zp") and character != "\n")
        or character == "\u202e"
    }


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """A journal in which every text column is evil."""
    path = tmp_path / "evil.run"
    make_journal(path, ended=EVIL)
    with Journal.open(path) as journal:

        def change(statement: str, values: tuple[str, ...]) -> None:
            journal.query(sqlite3.Connection.execute, statement, values)

        change(
            "UPDATE line SET disk = ?1 || number, virtual_machine = ?1, note = ?1, step = ?1, code = ?1, detail = ?1,"
            " request_id = ?1, task = ?1, origin = origin_of(number, ?1 || number, ?1, further, ?1)",
            (EVIL,),
        )
        change("UPDATE run SET manifest = ?1, parent = ?1, base_url = ?1, organization = ?1", (EVIL,))
        change("UPDATE session SET reason = ?", (EVIL,))
        change("UPDATE wait SET reason = ?", (EVIL,))
    return path


@pytest.mark.parametrize("form", list(ReportForm))
def test_no_character_of_any_column_acts_in_any_form(evil: Path, form: ReportForm) -> None:
    with Journal.read(evil) as journal:
        text = written(journal, form, EVERY_LINE)
    assert unsafe_in(text) == set()
    assert r"\u202e" in text
    assert "<b>" not in text or form is not ReportForm.HTML
    if form in (ReportForm.CSV, ReportForm.MANIFEST):
        rows = list(csv.reader(text.splitlines()))
        assert len(rows) == 5
        cells = [cell for row in rows for cell in row]
        assert any("[31m" in cell for cell in cells)
        assert form is ReportForm.MANIFEST or not any(cell.startswith("=") for cell in cells)
    if form is ReportForm.JSON:
        lines = json.loads(text)["lines"]
        assert {line[name] for line in lines for name in ("note", "code", "detail", "virtual_machine")} == {
            EVIL
        }


@pytest.mark.parametrize("options", [{}, {"as_json": True}])
def test_no_character_acts_in_status_and_runs(
    evil: Path, capsys: pytest.CaptureFixture[str], options: dict[str, Any]
) -> None:
    assert run_status(str(evil), **options) == 0
    assert run_runs(str(evil.parent), **options) == 0
    text = capsys.readouterr().out
    assert unsafe_in(text) == set()


def test_a_folder_with_an_evil_name_is_shown_safely(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "a\x1b[31m"
    folder.mkdir()
    make_journal(folder / "b\u202e.run")
    assert run_runs(str(folder)) == 0
    assert run_runs(str(folder), as_json=True) == 0
    assert run_status(str(folder / "b\u202e.run")) == 0
    assert run_runs(str(folder / "none")) == 2
    captured = capsys.readouterr()
    assert unsafe_in(captured.out + captured.err) == set()


# -- schemas ---------------------------------------------------------------------------------------


def test_the_schemas_in_the_documentation_are_current() -> None:
    """After a change, run both of these.

    python -m katapult_async.jobs.report.schemas docs/schemas
    python -m katapult_async.load.schemas docs/schemas
    """
    found = {path.name: path.read_text("utf-8") for path in SCHEMAS.glob("*.json")}
    expected = {**schemas.schemas(), **load_schemas()}
    assert found.keys() == expected.keys()
    for name, text in expected.items():
        documented, current = (json.loads(schema, object_hook=sort_choices) for schema in (found[name], text))
        assert documented == current, name


def sort_choices(part: dict[str, Any]) -> dict[str, Any]:
    """Sort an `anyOf`. Its order depends on the version of msgspec."""
    part.get("anyOf", []).sort(key=json.dumps)
    return part


def test_what_is_printed_is_what_the_schemas_document(
    journal: Journal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Decoded strictly: no field is missing, and none is undocumented."""
    report = msgspec.json.decode(written(journal, ReportForm.JSON), type=ReportDocument)
    assert report.run.counts == dict.fromkeys(STATUSES, 1)
    assert report.run.latency.requests == 6
    assert [line.status for line in report.lines] == list(STATUSES)
    *rows, last = written(journal, ReportForm.JSONL).splitlines()
    assert [msgspec.json.decode(row, type=LineRow).line for row in rows] == [1, 2, 3, 4]
    assert msgspec.json.decode(last, type=RunRow).run == report.run
    path = tmp_path / "plan.run"
    (tmp_path / "damaged.run").write_bytes(b"x" * 500)
    assert run_status(str(path), as_json=True) == 0
    assert run_runs(str(tmp_path), as_json=True) == 1
    status, runs = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(status, type=StatusDocument).next == [
        for_terminal(f"katapult-async resume {path}"),
        for_terminal(f"katapult-async report {path}"),
    ]
    listed = msgspec.json.decode(runs, type=RunsDocument)
    run = listed.runs[-1]
    assert (run.done, run.failed, run.unknown, run.waiting) == (1, 1, 1, 1)
    assert run_runs(str(tmp_path)) == 1
    assert capsys.readouterr().out.splitlines()[0].split("  ")[-3:] == ["unknown", "waiting", "last active"]
    assert [(one.journal, one.problem is None) for one in listed.runs] == [
        ("damaged.run", False),
        ("plan.run", True),
    ]


def test_times_in_files_are_utc_to_the_millisecond(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        make_journal(tmp_path / "plan.run")
        with Journal.open(tmp_path / "plan.run") as journal:
            journal.query(sqlite3.Connection.execute, "UPDATE line SET sent_at = 0.5, finished_at = 1.25")
            row = next(csv.DictReader(written(journal, ReportForm.CSV).splitlines()))
            assert (row["sent_at"], row["finished_at"]) == (
                "1970-01-01T00:00:00.500Z",
                "1970-01-01T00:00:01.250Z",
            )
            assert "IST" in written(journal, ReportForm.TABLE)
            assert "Times are IST (UTC+0530)" in written(journal, ReportForm.HTML)
            assert "1970-01-01 05:30:01 IST" in written(journal, ReportForm.HTML)
    finally:
        monkeypatch.undo()
        time.tzset()
