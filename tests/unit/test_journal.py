"""The journal's file: made completely or not at all, opened only if sound, written in batches.

A batch that was written is durable.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from katapult_async import BudgetEvent, BudgetProcess
from katapult_async.jobs import (
    Journal,
    JournalDamaged,
    JournalError,
    JournalExists,
    JournalMismatch,
    JournalWriteError,
    LineRecord,
    LineStatus,
    Manifest,
    ManifestError,
    Run,
    RunInfo,
    RunKind,
)
from katapult_async.jobs.journal import NewLine, new_info
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.schema import MIGRATIONS, VERSION, migrate
from katapult_async.jobs.journal.session import SessionRecorder
from katapult_async.jobs.journal.statements import BatchStatement
from katapult_async.jobs.location import location_for, location_for_rollback
from katapult_async.jobs.report import json_lines, write_csv, write_html, write_json, write_table


def lines(count: int = 3) -> list[NewLine]:
    return [
        NewLine(number=number, disk=f"disk_{number}", virtual_machine="vm_1", step="assign")
        for number in range(1, count + 1)
    ]


def info(count: int = 3) -> RunInfo:
    return new_info(RunKind.ASSIGN, "plan.csv", "digest", count)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.create(tmp_path / "a.run", info(), lines()) as journal:
        yield journal


# -- making ----------------------------------------------------------------------------------------


def test_a_new_journal_says_what_it_is_and_what_is_to_be_done(journal: Journal) -> None:
    summary = journal.summary()
    assert summary.info.manifest == "plan.csv"
    assert summary.counts == {LineStatus.WAITING: 3}
    assert not summary.finished
    assert not summary.ok
    assert [line.disk for line in journal.lines()] == ["disk_1", "disk_2", "disk_3"]


def test_a_journal_that_cannot_be_made_whole_is_not_made(tmp_path: Path) -> None:
    def broken() -> Iterator[NewLine]:
        yield from lines()
        raise ManifestError("it changed")

    with pytest.raises(ManifestError, match="it changed"):
        Journal.create(tmp_path / "a.run", info(), broken())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.run"
    file.write_text("something of somebody's")
    with pytest.raises(JournalExists, match=r"a\.run exists already"):
        Journal.create(file, info(), lines())
    assert file.read_text() == "something of somebody's"


def test_a_closed_journal_is_one_file(tmp_path: Path) -> None:
    Journal.create(tmp_path / "a.run", info(), lines()).close()
    Journal.read(tmp_path / "a.run").close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]


# -- opening ---------------------------------------------------------------------------------------


def foreign(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()


def newer(file: Path) -> None:
    Journal.create(file, info(), lines()).close()
    connection = sqlite3.connect(file)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


def text(file: Path) -> None:
    file.write_text("disk,virtual_machine\n")


def overwritten(file: Path, page: int = 3) -> None:
    Journal.create(file, info(5000), lines(5000)).close()
    content = bytearray(file.read_bytes())
    content[4096 * page : 4096 * (page + 6)] = b"\x5a" * (4096 * 6)
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    Journal.create(file, info(5000), lines(5000)).close()
    file.write_bytes(file.read_bytes()[: 4096 * 5])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (foreign, "not the journal of a run"),
        (newer, "a newer version"),
        (text, "is not the journal of a run, or it is damaged"),
        (overwritten, "damaged"),
        (cut_off, "damaged"),
    ],
)
def test_a_file_that_is_no_sound_journal_is_refused_and_left_as_it_is(
    tmp_path: Path, make: object, words: str
) -> None:
    file = tmp_path / "a.run"
    make(file)  # type: ignore[operator]
    before = file.read_bytes()
    with pytest.raises(JournalDamaged, match=words):
        Run.open(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.run"]


def test_no_journal_is_said_so_and_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="does not exist"):
        Run.open(tmp_path / "none.run")
    with pytest.raises(JournalError, match="does not exist"):
        Journal.read(tmp_path / "none.run")
    assert list(tmp_path.iterdir()) == []


def test_migrations_are_carried_out_once_each_and_in_order() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    more = (*MIGRATIONS, "ALTER TABLE line ADD COLUMN colour TEXT", "ALTER TABLE line ADD COLUMN shape TEXT")
    migrate(connection, more)
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION + 2,)
    assert connection.execute("SELECT colour, shape FROM line").fetchall() == []
    connection.close()


def test_a_failed_migration_leaves_the_version_as_it_was() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    with pytest.raises(sqlite3.Error):
        migrate(connection, (*MIGRATIONS, "CREATE TABLE fine (x); CREATE TABLE line (x)"))
    connection.rollback()
    assert connection.execute("PRAGMA user_version").fetchone() == (VERSION,)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'fine'").fetchone() == (0,)
    connection.close()


# -- writing ---------------------------------------------------------------------------------------


class Detail(msgspec.Struct, array_like=True):
    """A row of UPDATE."""

    detail: str
    number: int


UPDATE = BatchStatement(Detail, "UPDATE line SET detail = {detail} FROM {rows} WHERE number = {number}")


async def test_what_comes_up_together_is_written_together(tmp_path: Path) -> None:
    with Journal.create(tmp_path / "a.run", info(500), lines(500)) as journal:
        async with Writer(journal) as writer:
            await asyncio.gather(*(writer.write(UPDATE, Detail("x", number)) for number in range(1, 501)))
            assert 1 <= writer.commits <= 10
            # It is in the file by now, for everybody to see.
            with Journal.read(tmp_path / "a.run") as reader:
                assert all(line.detail == "x" for line in reader.lines())


async def test_what_was_noted_is_written_before_the_writer_is_left(journal: Journal) -> None:
    async with Writer(journal) as writer:
        for number in (1, 2, 3):
            writer.note(UPDATE, Detail("x", number))
    assert [line.detail for line in journal.lines()] == ["x", "x", "x"]


async def test_a_row_that_cannot_be_written_fails_everything_after_it(journal: Journal) -> None:
    async with Writer(journal) as writer:
        await writer.write(UPDATE, Detail("before", 1))
        results = await asyncio.gather(
            writer.write(
                BatchStatement(Detail, "INSERT INTO nowhere SELECT value FROM {rows}"), Detail("x", 1)
            ),
            writer.write(UPDATE, Detail("lost", 2)),
            return_exceptions=True,
        )
        assert all(isinstance(result, JournalWriteError) for result in results)
        with pytest.raises(JournalWriteError, match="resume the run"):
            await writer.write(UPDATE, Detail("lost", 3))
        with pytest.raises(JournalWriteError):
            await writer.call(lambda db: db.total_changes)
        writer.note(UPDATE, Detail("lost", 3))
    assert [line.detail for line in journal.lines()] == ["before", None, None]


async def test_what_was_noted_is_there_for_whoever_asks_next(journal: Journal) -> None:
    """Also while one transaction is being written and the next one waits for its time."""
    async with Writer(journal) as writer:
        for number in (1, 2, 3):
            writer.note(UPDATE, Detail(f"noted {number}", number))
            seen = await writer.call(
                lambda db: db.execute("SELECT detail FROM line ORDER BY number").fetchall()
            )
            assert seen[number - 1] == (f"noted {number}",)


async def test_records_of_a_moment_are_written_together(journal: Journal) -> None:
    async with Writer(journal) as writer:
        for number in range(200):
            writer.note(UPDATE, Detail(f"note {number}", 1 + number % 3))
            if number % 20 == 0:
                await asyncio.sleep(0)
        await writer.write(UPDATE, Detail("last", 1))
        assert writer.commits <= 3


async def test_a_cancelled_wait_does_not_take_the_record_back(journal: Journal) -> None:
    async with Writer(journal) as writer:
        waiting = asyncio.ensure_future(writer.write(UPDATE, Detail("x", 1)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert next(journal.lines()).detail == "x"


async def test_other_processes_on_the_budget_are_recorded_once_each(journal: Journal) -> None:
    """But not a process that executes this run: it was killed before."""
    own = journal.info().run_id
    others = (
        BudgetProcess(name="process 1 on host", run=own),
        BudgetProcess(name="process 2 on host", run="abc"),
        BudgetProcess(name="process 3 on host"),
    )
    event = BudgetEvent(
        place="/b", reachable=True, limit=9, remaining=9, used=0, in_flight=0, waiting=0, others=others
    )
    for _ in range(2):
        async with Writer(journal) as writer:
            recorder = SessionRecorder(writer, own)
            await recorder.begin(60.0, "/b")
            recorder.on_budget(event)
            recorder.on_budget(event)
            recorder.end("finished", None)
    assert [(session.budget, session.shared_with) for session in journal.sessions()] == [
        ("/b", ("process 2 on host (run abc)", "process 3 on host"))
    ] * 2


# -- where it lies ---------------------------------------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    (tmp_path / "plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    with Manifest.open(tmp_path / "plan.csv") as manifest:
        yield manifest


def begin(file: Path) -> None:
    with Journal.open(file) as journal:
        journal.query(sqlite3.Connection.execute, "INSERT INTO session (started_at) VALUES (1)")


def finish(file: Path) -> None:
    with Journal.open(file) as journal:
        journal.query(sqlite3.Connection.execute, "UPDATE line SET status = 'assigned', state = 3")


def test_an_unfinished_run_is_gone_on_with_and_a_finished_one_is_kept(
    tmp_path: Path, manifest: Manifest
) -> None:
    name, check = str(tmp_path / "plan.csv"), manifest.check()
    first = location_for(name, check)
    assert (first.path, first.begun) == (tmp_path / "plan.csv.run", False)
    Run.create(first.path, manifest).close()
    begin(first.path)
    assert location_for(name, check).begun
    assert location_for(name, check, run=first.path).begun
    finish(first.path)
    second = location_for(name, check)
    assert (second.path, second.begun) == (tmp_path / "plan.csv.2.run", False)
    with pytest.raises(JournalExists, match="is a finished run"):
        location_for(name, check, run=first.path)


def test_a_run_for_which_nothing_was_sent_makes_room(tmp_path: Path, manifest: Manifest) -> None:
    """The process that made the run ended at the question, or only ran the preflight.

    A file that the user named is not replaced without a check.
    """
    path = tmp_path / "plan.csv.run"
    Run.create(path, manifest).close()
    name = str(tmp_path / "plan.csv")
    assert location_for(name, manifest.check()).unsent
    assert location_for(name, manifest.check(), attach=True).unsent
    with Manifest.from_items([("disk_2", "vm_1")]) as other:
        assert location_for(name, other.check()).unsent
        with pytest.raises(JournalMismatch, match="another manifest"):
            location_for(name, other.check(), run=path)


def test_a_rollback_is_no_run_of_its_manifest(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "plan.csv.run"
    Run.create(path, manifest).close()
    begin(path)
    with Journal.open(path) as journal:
        journal.query(sqlite3.Connection.execute, "UPDATE line SET did = 1, state = 3, status = 'assigned'")
    Run.roll_back(path, tmp_path / "back.run").close()
    with pytest.raises(JournalMismatch, match="is the journal of a rollback"):
        location_for(str(tmp_path / "plan.csv"), manifest.check(), run=tmp_path / "back.run")
    # A run that was rolled back is not resumed, but run again.
    with pytest.raises(JournalMismatch, match=r"rollback of .* is unfinished .*resume .*back\.run"):
        Run.open(path)
    with pytest.raises(JournalMismatch, match=r"rollback of .* is unfinished .*resume .*back\.run"):
        location_for_rollback(path)
    finish(tmp_path / "back.run")
    assert location_for(str(tmp_path / "plan.csv"), manifest.check()).path.name == "plan.csv.2.run"


def test_the_unfinished_run_of_something_else_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    Run.create(tmp_path / "plan.csv.run", manifest).close()
    begin(tmp_path / "plan.csv.run")
    name = str(tmp_path / "plan.csv")
    with pytest.raises(JournalMismatch, match="made without --attach"):
        location_for(name, manifest.check(), attach=True)
    with Manifest.from_items([("disk_2", "vm_1")]) as other:
        for run in (None, tmp_path / "plan.csv.run"):
            with pytest.raises(JournalMismatch, match="another manifest"):
                location_for(name, other.check(), run=run)


def test_a_run_that_did_nothing_cannot_be_rolled_back(tmp_path: Path, manifest: Manifest) -> None:
    Run.create(tmp_path / "plan.csv.run", manifest).close()
    place = location_for_rollback(tmp_path / "plan.csv.run")
    assert not place.begun
    with pytest.raises(JournalMismatch, match="has changed nothing"):
        Run.roll_back(tmp_path / "plan.csv.run", place.path)
    assert not place.path.exists()


def test_only_a_run_that_has_sent_nothing_is_discarded(tmp_path: Path, manifest: Manifest) -> None:
    run = Run.create(tmp_path / "a.run", manifest)
    run.journal.query(sqlite3.Connection.execute, "INSERT INTO session (started_at) VALUES (1)")
    with pytest.raises(JournalMismatch, match="its journal is kept"):
        run.discard()
    run.close()
    Run.create(tmp_path / "b.run", manifest).discard()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.run", "plan.csv"]


def test_a_manifest_that_is_not_right_makes_no_run(tmp_path: Path) -> None:
    with Manifest.from_items([("disk_1", "vm_1"), ("disk_1", "vm_2")], name="pairs") as manifest:
        with pytest.raises(
            ManifestError, match="pairs:2: disk_1 is listed twice: for vm_1 on line 1, and for vm_2 here"
        ):
            Run.create(tmp_path / "a.run", manifest)
    assert list(tmp_path.iterdir()) == []


# -- damage that is seen late ----------------------------------------------------------------------


def test_damage_in_the_middle_of_the_lines_is_said_before_they_are_read(tmp_path: Path) -> None:
    overwritten(tmp_path / "a.run", page=40)
    # Versions of SQLite say "Page 4…" or "Tree 2 page 4…".
    with pytest.raises(JournalDamaged, match=r"a\.run is damaged: SQLite says: (Tree \d+ p|P)age 4"):
        Journal.read(tmp_path / "a.run")


def test_damage_while_a_journal_is_open_is_said_when_its_lines_are_read(tmp_path: Path) -> None:
    """More lines than SQLite keeps in memory."""
    Journal.create(tmp_path / "a.run", info(30_000), lines(30_000)).close()
    with Journal.read(tmp_path / "a.run") as journal:
        with (tmp_path / "a.run").open("rb+") as file:
            file.seek(4096 * 40)
            file.write(b"\x5a" * 4096 * 6)
        assert next(journal.lines()).number == 1
        for write in (write_csv, write_json, write_html, write_table):
            with pytest.raises(JournalDamaged, match=r"a\.run cannot be read: "):
                write(io.StringIO(), journal)
        with pytest.raises(JournalDamaged, match=r"a\.run cannot be read: "):
            list(json_lines(journal))


def every_line(journal: Journal) -> list[LineRecord]:
    return list(journal.lines())


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("UPDATE line SET status = 'nonsense'", every_line),
        ("UPDATE line SET state = 17", every_line),
        ("UPDATE line SET detail = CAST(x'ff' AS TEXT)", every_line),
        ("UPDATE line SET status = 'nonsense'", Journal.summary),
        ("UPDATE run SET kind = 'nonsense'", Journal.info),
        ("UPDATE run SET manifest = CAST(x'ff' AS TEXT)", Journal.info),
        ("DELETE FROM run", Journal.info),
        ("INSERT INTO second VALUES (1, 1, 0, 0, CAST(x'ff' AS TEXT))", Journal.timeline),
        ("INSERT INTO second VALUES (1, 1, 0, 0, CAST(x'ff' AS TEXT))", Journal.summary),
        ("INSERT INTO wait VALUES (1, 2, CAST(x'ff' AS TEXT))", Journal.waits),
        (
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, 1, 2, 'finished', CAST(x'ff' AS TEXT))",
            Journal.sessions,
        ),
        (
            "INSERT INTO session (number, started_at, finished_at, ended, reason) VALUES (1, 'x', NULL, NULL, NULL)",
            Journal.sessions,
        ),
        ("DROP TABLE wait", Journal.waits),
    ],
)
def test_rows_that_say_nothing_are_damage(
    journal: Journal, statement: str, read: Callable[[Journal], object]
) -> None:
    journal.query(sqlite3.Connection.execute, statement)
    with pytest.raises(JournalDamaged):
        read(journal)


# -- the report ------------------------------------------------------------------------------------


def test_the_report_has_every_line_in_each_form(journal: Journal) -> None:
    journal.query(
        sqlite3.Connection.execute,
        "UPDATE line SET status = 'failed', code = 'unable_to_assign', detail = '=HYPERLINK(1)', attempts = 2,"
        " request_id = 'r-1', sent_at = 0.5, finished_at = 1.25 WHERE number = 2",
    )
    out = io.StringIO(newline="")
    write_csv(out, journal)
    rows = list(csv.DictReader(out.getvalue().splitlines()))
    assert len(rows) == 3
    assert rows[1]["sent_at"] == "1970-01-01T00:00:00.500Z"
    assert rows[1]["request_id"] == "r-1"
    assert rows[1]["detail"] == "'=HYPERLINK(1)"  # no formula for a spreadsheet
    out = io.StringIO()
    write_json(out, journal)
    document = json.loads(out.getvalue())
    assert document["run"]["counts"] == {"failed": 1, "waiting": 2}
    assert document["lines"][1]["detail"] == "=HYPERLINK(1)"
    out = io.StringIO()
    write_table(out, journal)
    assert "disk_2" in out.getvalue()
    assert "unable_to_assign: =HYPERLINK(1)" in out.getvalue()


class Meanwhile(io.StringIO):
    """While it is written to another process finishes a line, at each piece."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self._other = sqlite3.connect(file, isolation_level=None)

    def write(self, text: str) -> int:
        self.step()
        return super().write(text)

    def step(self) -> None:
        self._other.execute(
            "UPDATE line SET status = 'failed', state = 3 WHERE number ="
            " (SELECT max(number) FROM line WHERE status = 'waiting')"
        )
        self._other.execute("INSERT INTO second SELECT coalesce(max(at), 0) + 1, 1, 0, 0, NULL FROM second")

    def close(self) -> None:
        self._other.close()
        super().close()


def said_by(form: str, journal: Journal, out: Meanwhile) -> tuple[dict[str, int], list[str], int]:
    """What a report says in its totals, line by line, and of requests."""
    said: dict[str, Any]
    if form == "json":
        write_json(out, journal)
        said = json.loads(out.getvalue())
    elif form == "json lines":
        records: list[dict[str, Any]] = []
        for text in json_lines(journal):
            out.step()
            records.append(json.loads(text))
        said = {"lines": records[:-1], **records[-1]}
    elif form == "table":
        write_table(out, journal, statuses=list(LineStatus))
        totals, _, rows = out.getvalue().partition("\n\n")
        totals, _, rows = rows.partition("\n\n")
        said = {"run": totals_of(re.findall(r"([a-z]+)  (\d+)", totals))}
        said["lines"] = [{"status": row.split()[3]} for row in rows.splitlines()[1:]]
    else:
        write_html(out, journal)
        page = out.getvalue()
        said = {"run": totals_of(re.findall(r"<dt>([a-z]+)</dt><dd>(\d+)</dd>", page))}
        assert page.count(": 1 request in this second") == 2 * said["run"]["requests"]  # in two layouts
        statuses = re.findall(r"<td>(failed)</td>", page) + ["waiting"] * said["run"]["counts"]["waiting"]
        said["lines"] = [{"status": status} for status in statuses]
    return said["run"]["counts"], [line["status"] for line in said["lines"]], said["run"]["requests"]


def totals_of(found: list[tuple[str, str]]) -> dict[str, object]:
    numbers = {name: int(number) for name, number in found}
    counts = {name: number for name, number in numbers.items() if name in ("waiting", "failed")}
    return {"counts": counts, "requests": numbers["requests"]}


@pytest.mark.parametrize("form", ["json", "json lines", "table", "html"])
def test_a_report_is_of_one_moment_whatever_is_recorded_meanwhile(tmp_path: Path, form: str) -> None:
    file = tmp_path / "a.run"
    with Journal.create(file, info(50), lines(50)) as journal:
        journal.query(
            sqlite3.Connection.execute, "UPDATE line SET status = 'failed', state = 3 WHERE number > 45"
        )
        journal.query(sqlite3.Connection.execute, "INSERT INTO second VALUES (1, 1, 0, 0, NULL)")
    out = Meanwhile(file)
    with Journal.read(file) as journal:
        counts, statuses, requests = said_by(form, journal, out)
        assert counts == Counter(statuses) == {"waiting": 45, "failed": 5}
        assert requests == 1
        assert journal.summary().counts[LineStatus.FAILED] > 5  # the snapshot has been left
    out.close()


def test_a_snapshot_inside_another_and_one_that_is_closed_inside_change_nothing(journal: Journal) -> None:
    with journal.snapshot(), journal.snapshot():
        assert journal.summary().counts == {LineStatus.WAITING: 3}
    journal.query(
        sqlite3.Connection.execute, "UPDATE line SET status = 'failed'"
    )  # the run can go on to record
    assert journal.summary().counts == {LineStatus.FAILED: 3}
    with journal.snapshot():
        journal.close()
