"""A report takes the place of an old one whole or not at all, and never that of a journal."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

from katapult_async.jobs import JournalError
from katapult_async.jobs.report.atomic_file import written_whole

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="there are no such files")


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    journal = tmp_path / "plan.run"
    journal.write_text("journal")
    return journal


def test_it_takes_the_place_of_an_old_report(tmp_path: Path, journal: Path) -> None:
    for text in ("first", "second\r\n"):
        with written_whole(tmp_path / "report.csv", journal) as file:
            file.write(text)
        assert (tmp_path / "report.csv").read_bytes() == text.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.run", "report.csv"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("before", [None, "old"])
def test_an_error_leaves_everything_as_it_was(
    tmp_path: Path, journal: Path, before: str | None, error: BaseException
) -> None:
    report = tmp_path / "report.csv"
    if before is not None:
        report.write_text(before)
    names = sorted(tmp_path.iterdir())
    with pytest.raises(type(error)), written_whole(report, journal) as file:
        file.write("new" * 10_000)
        raise error
    assert sorted(tmp_path.iterdir()) == names
    assert before is None or report.read_text() == before


@pytest.mark.parametrize("end", ["", "-wal", "-shm", "-journal", ".lock"])
@pytest.mark.parametrize("there", [True, False])
def test_a_file_of_the_run_itself_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, *, there: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    own = tmp_path / f"plan.run{end}"
    if there:
        own.write_text("of the run")
    for name in (own, Path(own.name)):
        with (
            pytest.raises(JournalError, match="belongs to the journal"),
            written_whole(name, Path("plan.run")),
        ):
            pass
    assert own.exists() == there
    assert not there or own.read_text() == "of the run"


@posix_only
def test_a_file_of_the_run_is_known_by_another_name(tmp_path: Path, journal: Path) -> None:
    (tmp_path / "link").symlink_to("plan.run")
    (tmp_path / "hard").hardlink_to(journal)
    for name, run in (
        ("link", "plan.run"),
        ("plan.run", "link"),
        ("plan.run-wal", "link"),
        ("hard", "plan.run"),
    ):
        with pytest.raises(JournalError, match="belongs to"), written_whole(tmp_path / name, tmp_path / run):
            pass
    assert journal.read_text() == "journal"


@posix_only
def test_a_link_stays_one_and_what_a_file_permits_is_kept(tmp_path: Path, journal: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    there = tmp_path / "elsewhere" / "report.csv"
    there.write_text("old")
    there.chmod(0o604)
    (tmp_path / "report.csv").symlink_to(there)
    with written_whole(tmp_path / "report.csv", journal) as file:
        file.write("new")
    assert (tmp_path / "report.csv").is_symlink()
    assert there.read_text() == "new"
    assert there.stat().st_mode & 0o777 == 0o604


@posix_only
def test_what_is_no_regular_file_is_written_to_as_it_stands(tmp_path: Path, journal: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    with written_whole(pipe, journal) as file:
        file.write("new")
    reader.join()
    assert read == ["new"]
    assert pipe.is_fifo()
    with pytest.raises(IsADirectoryError), written_whole(tmp_path, journal):
        pass


@posix_only
def test_a_file_that_somebody_has_open_is_written_to_as_it_stands(tmp_path: Path, journal: Path) -> None:
    with (tmp_path / "out.txt").open("w+") as out:
        with written_whole(Path(f"/dev/fd/{out.fileno()}"), journal) as file:
            file.write("new")
        assert out.read() == "new"
