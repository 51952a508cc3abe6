"""What a journal remembers about a run.

It remembers the request, the user's consent, the progress of the rollback, and what is not known.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from katapult_async.jobs import (
    Journal,
    JournalDamaged,
    JournalExists,
    JournalMismatch,
    LineStatus,
    Manifest,
    Run,
)
from katapult_async.jobs.journal.lock import RunLock
from katapult_async.jobs.journal.schema import APPLICATION_ID, MIGRATIONS, VERSION, migrate
from katapult_async.jobs.location import location_for, location_for_rollback


@pytest.fixture
def manifest(tmp_path: Path) -> Iterator[Manifest]:
    (tmp_path / "plan.csv").write_text("disk,virtual_machine\ndisk_1,vm_1\ndisk_2,vm_1\n")
    with Manifest.open(tmp_path / "plan.csv") as manifest:
        yield manifest


def change(path: Path, *statements: str) -> None:
    with Journal.open(path) as journal:
        for statement in statements:
            journal.query(sqlite3.Connection.execute, statement)


BEGUN = "INSERT INTO session (started_at) VALUES (1)"
ENDED = "UPDATE session SET finished_at = 2, ended = 'finished'"
ASSIGNED = "UPDATE line SET did = 1, state = 3, status = 'assigned'"


def test_a_run_remembers_what_was_asked_for(tmp_path: Path, manifest: Manifest) -> None:
    path = tmp_path / "plan.run"
    with Run.create(
        path, manifest, preflight=True, thorough=True, organization="acme", confirmed=False
    ) as run:
        assert run.needs_preflight
        assert run.needs_confirmation
    with Run.open(path) as run:
        assert (run.info.preflight, run.info.thorough, run.info.organization) == (True, True, "acme")
        assert run.needs_preflight
        assert run.needs_confirmation
        run.confirm()
        assert not run.needs_confirmation
    with Run.open(path) as run:
        assert not run.needs_confirmation
        assert run.info.confirmed_at == pytest.approx(time.time(), abs=60)


def test_a_run_of_a_program_is_confirmed_and_needs_no_preflight(tmp_path: Path, manifest: Manifest) -> None:
    with Run.create(tmp_path / "plan.run", manifest) as run:
        assert not run.needs_preflight
        assert not run.needs_confirmation


@pytest.mark.parametrize(
    ("statement", "needed"),
    [
        ("UPDATE run SET looked_at = {now}, confirmed_at = {now}", False),
        ("UPDATE run SET looked_at = {now} - 3600, confirmed_at = {now}", True),
        ("UPDATE run SET looked_at = {now} + 3600, confirmed_at = {now}", True),
        # The process ended at its question: what it showed is not on the screen any more.
        ("UPDATE run SET looked_at = {now}", True),
        (BEGUN, False),
    ],
)
def test_a_preflight_counts_while_it_is_fresh_and_somebody_agreed(
    tmp_path: Path, manifest: Manifest, statement: str, needed: bool
) -> None:
    path = tmp_path / "plan.run"
    Run.create(path, manifest, preflight=True, organization="acme", confirmed=False).close()
    change(path, statement.format(now=time.time()))
    with Run.open(path) as run:
        assert run.needs_preflight is needed


# -- a rollback under way --------------------------------------------------------------------------


def test_an_unfinished_rollback_is_told_with_its_numbers_and_keeps_its_manifest_from_a_new_run(
    tmp_path: Path, manifest: Manifest
) -> None:
    path, back = tmp_path / "plan.csv.run", tmp_path / "back.run"
    Run.create(path, manifest).close()
    change(path, BEGUN, ENDED, ASSIGNED)
    Run.roll_back(path, back).close()
    change(back, BEGUN, "UPDATE line SET state = 3, status = 'unassigned' WHERE number = 2")
    with Journal.read(path) as journal:
        rollback = journal.summary().rollback
    assert rollback is not None
    assert (rollback.path, rollback.lines, rollback.done) == (str(back), 2, 1)
    assert (rollback.finished, rollback.reachable) == (False, True)
    for run in (None, path):
        with pytest.raises(JournalMismatch, match=r"is unfinished \(1 of 2 disks\).*resume .*back\.run"):
            location_for(str(tmp_path / "plan.csv"), manifest.check(), run=run)
    change(back, "UPDATE line SET state = 3, status = 'unassigned'")
    with Journal.read(path) as journal:
        rollback = journal.summary().rollback
    assert rollback is not None
    assert (rollback.done, rollback.finished) == (2, True)
    assert location_for(str(tmp_path / "plan.csv"), manifest.check()).path.name == "plan.csv.2.run"


def test_a_run_whose_rollback_is_not_finished_names_the_command_that_helps(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path, back = Path("plan.csv.run"), Path("plan.csv.run.rollback")
    Run.create(path, manifest).close()
    change(path, BEGUN, ENDED, ASSIGNED)
    Run.roll_back(path, back).close()
    change(back, BEGUN, "UPDATE line SET state = 3, status = 'unassigned' WHERE number = 2")
    unfinished = r"the rollback of plan.csv.run is unfinished \(1 of 2 disks\). Finish it first: "
    with pytest.raises(JournalMismatch, match=unfinished + r"katapult-async resume plan.csv.run.rollback$"):
        Run.open(path)
    with RunLock(back):
        running = r"process \d+ on .* is rolling back plan.csv.run \(1 of 2 disks\). Watch it: "
        command = r"katapult-async status plan.csv.run.rollback --watch$"
        for refused in (lambda: Run.open(path), lambda: location_for("plan.csv", manifest.check())):
            with pytest.raises(JournalMismatch, match=running + command):
                refused()
        with Journal.read(path) as journal:
            rollback = journal.summary().rollback
        assert rollback is not None
        assert rollback.locked_by is not None
    change(back, "UPDATE line SET state = 3, status = 'unassigned'")
    with pytest.raises(JournalMismatch, match=r"was rolled back by plan.csv.run.rollback. To repeat it, run"):
        Run.open(path)
    with pytest.raises(JournalExists, match="rolled back already"):
        location_for_rollback(path)
    with pytest.raises(JournalExists, match=r"rolled back already. See: .* report plan.csv.run.rollback$"):
        location_for_rollback(path, run="another.run")


def test_a_rollback_is_found_beside_its_run_when_both_were_moved(tmp_path: Path, manifest: Manifest) -> None:
    path, back = tmp_path / "plan.csv.run", tmp_path / "back.run"
    Run.create(path, manifest).close()
    change(path, BEGUN, ENDED, ASSIGNED)
    Run.roll_back(path, back).close()
    (tmp_path / "new").mkdir()
    for file in (path, back):
        file.rename(tmp_path / "new" / file.name)
    with Journal.read(tmp_path / "new" / path.name) as journal:
        rollback = journal.summary().rollback
    assert rollback is not None
    assert (rollback.reachable, rollback.lines) == (True, 2)


def test_a_rollback_that_cannot_be_read_is_not_taken_for_a_finished_one(
    tmp_path: Path, manifest: Manifest
) -> None:
    path, back = tmp_path / "plan.csv.run", tmp_path / "back.run"
    Run.create(path, manifest).close()
    change(path, BEGUN, ENDED, ASSIGNED)
    Run.roll_back(path, back).close()
    back.unlink()
    with Journal.read(path) as journal:
        rollback = journal.summary().rollback
    assert rollback is not None
    assert (rollback.reachable, rollback.finished) == (False, False)
    with pytest.raises(JournalMismatch, match="how far is not known"):
        location_for(str(tmp_path / "plan.csv"), manifest.check())


# -- what is known of the requests -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("statements", "at_least"),
    [((BEGUN, ENDED), False), ((BEGUN,), True), ((BEGUN, BEGUN, ENDED + " WHERE number = 2"), True)],
)
def test_requests_are_a_lower_bound_once_a_session_was_killed(
    tmp_path: Path, manifest: Manifest, statements: tuple[str, ...], at_least: bool
) -> None:
    path = tmp_path / "plan.run"
    Run.create(path, manifest).close()
    change(path, *statements)
    with Journal.read(path) as journal:
        assert journal.summary().requests_at_least is at_least


# -- journals of the first version -----------------------------------------------------------------


def first_version(path: Path, *statements: str) -> None:
    """A journal as the first version wrote it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    migrate(connection, MIGRATIONS[:1])
    connection.execute(
        "INSERT INTO run VALUES (1, 'abc', 'assign', 'plan.csv', 'd', 1.0, 2, 0, NULL, NULL, NULL, NULL)"
    )
    connection.executemany(
        "INSERT INTO line (number, disk, virtual_machine, further, step) VALUES (?, ?, 'vm_1', 0, 'assign')",
        [(1, "disk_1"), (2, "disk_2")],
    )
    for statement in statements:
        connection.execute(statement)
    connection.execute("PRAGMA journal_mode = WAL").fetchall()
    connection.close()


def test_a_journal_of_the_first_version_is_read_without_being_changed(tmp_path: Path) -> None:
    path = tmp_path / "old.run"
    first_version(path, BEGUN, "UPDATE line SET status = 'assigned', state = 3 WHERE number = 1")
    before = path.read_bytes()
    with Journal.read(path) as journal:
        summary = journal.summary()
        assert [line.disk for line in journal.lines()] == ["disk_1", "disk_2"]
    assert summary.counts == {LineStatus.ASSIGNED: 1, LineStatus.WAITING: 1}
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["old.run"]


def test_a_journal_of_the_first_version_is_brought_up_to_date_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "old.run"
    first_version(path, BEGUN)
    with Run.open(path) as run:
        assert run.journal.query(sqlite3.Connection.execute, "PRAGMA user_version").fetchone() == (VERSION,)
        assert run.summary().counts == {LineStatus.WAITING: 2}
        # Its process asked before it sent anything.
        assert not run.needs_confirmation
    with Journal.read(path) as journal:
        assert journal.summary().counts == {LineStatus.WAITING: 2}


def test_a_journal_of_the_first_version_that_was_never_executed_has_to_be_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "old.run"
    first_version(path)
    with Run.open(path) as run:
        assert run.needs_confirmation


# -- journals of versions with checksums -----------------------------------------------------------


def earlier_version(path: Path, manifest: Manifest, version: int) -> None:
    """A journal as an earlier version wrote it: without what later ones have added."""
    Run.create(path, manifest).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("DROP TABLE preflight_time")
    if version < 4:
        connection.execute("DROP TABLE sharing")
    if version < 3:
        connection.execute("ALTER TABLE line DROP COLUMN item")
    connection.execute(f"PRAGMA user_version = {version}")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_journal_of_an_earlier_version_is_checked_read_and_brought_up_to_date(
    tmp_path: Path, manifest: Manifest, version: int
) -> None:
    path = tmp_path / "old.run"
    earlier_version(path, manifest, version)
    before = path.read_bytes()
    with Journal.read(path) as journal:
        counts = journal.summary().counts
    assert path.read_bytes() == before
    with Run.open(path) as run:
        assert run.journal.query(sqlite3.Connection.execute, "PRAGMA user_version").fetchone() == (VERSION,)
        assert run.summary().counts == counts
    with Journal.read(path) as journal:
        assert journal.summary().counts == counts


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_damaged_journal_of_an_earlier_version_is_refused(
    tmp_path: Path, manifest: Manifest, version: int
) -> None:
    path = tmp_path / "old.run"
    earlier_version(path, manifest, version)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE line SET disk = 'disk_other' WHERE number = 2")
    for opened in (Journal.read, Run.open):
        with pytest.raises(JournalDamaged, match="what it says was changed"):
            opened(path)


def test_a_note_that_became_empty_is_damage(tmp_path: Path, manifest: Manifest) -> None:
    """The checksum takes an empty note for none."""
    path = tmp_path / "plan.run"
    Run.create(path, manifest).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE line SET note = '' WHERE number = 2")
    with pytest.raises(JournalDamaged, match="what it says was changed"):
        Journal.read(path)


def test_the_old_name_of_rolled_back_by_warns(tmp_path: Path, manifest: Manifest) -> None:
    with Run.create(tmp_path / "plan.run", manifest) as run:
        run.journal.note_rolled_back(Path("other.run"))
        with pytest.warns(DeprecationWarning, match="rolled_back_by"):
            assert run.journal.info().taken_back_by == run.journal.info().rolled_back_by == "other.run"
