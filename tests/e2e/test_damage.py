"""Every command refuses a damaged journal, or everything that the journal says is still true.

The long form: KATAPULT_DAMAGES=400 python -m pytest tests/e2e/test_damage.py
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from katapult_async.jobs import (
    Journal,
    JournalError,
    JournalRecordsLost,
    LineState,
    LineStatus,
    Manifest,
    Run,
)
from katapult_async.jobs.journal.file import side_file

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("journal_child.py")
DAMAGES = int(os.environ.get("KATAPULT_DAMAGES", "30"))
#: The long form: KATAPULT_KILLS=60
KILLS = int(os.environ.get("KATAPULT_KILLS", "8"))
READS = 20 * KILLS
LINES = 100
NAME = "plan.run"
Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    return {file.name: file.read_bytes() for file in folder.iterdir() if not file.name.endswith(".lock")}


def put(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / NAME


class Killed(NamedTuple):
    """The files of a run that was killed, at its end and at an earlier moment."""

    files: Files
    early: Files


def killed_run(folder: Path, lines: int, *, cycles: bool = False) -> Killed:
    """cycles: let the write-ahead log begin anew some times, as it does in a long run."""
    folder.mkdir()
    path = folder / NAME
    items = [(f"disk_{number:016d}", f"vm_{number % 9:016d}") for number in range(lines)]
    with Manifest.from_items(items) as manifest:
        Run.create(path, manifest).close()
    process = subprocess.Popen(  # noqa: S603 - our own child
        [sys.executable, "-W", "error", str(CHILD), str(path), str(lines)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    early: Files = {}
    try:
        while (said := process.stdout.readline()) != f"{last_of(lines)}\n".encode():
            assert said, "the child has died"
            if not early and int(said) > lines * 3 // 4:
                early = files_of(folder)
            if cycles and int(said) % 3 == 0:
                with sqlite3.connect(path) as connection:
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
                connection.close()
            process.stdin.write(b"\n")
            process.stdin.flush()
        process.kill()
        process.wait()
    finally:
        process.kill()
        process.communicate()
    return Killed(files_of(folder), early)


def last_of(lines: int) -> int:
    return range(1, lines + 1, 7)[-1]


@pytest.fixture(scope="module", params=["one cycle", "cycles"])
def killed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("killed")
    return killed_run(folder / "run", LINES, cycles=request.param == "cycles")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return killed_run(tmp_path_factory.mktemp("other") / "run", LINES).files


def said_by(journal: Journal) -> list[object]:
    """All that a journal says."""
    with journal.snapshot():
        return [
            journal.info(),
            msgspec.structs.replace(journal.summary(), locked_by=None),
            list(journal.lines()),
            journal.timeline(),
            journal.waits(),
            journal.sessions(),
        ]


def check(folder: Path, files: Files, truth: list[object]) -> bool:
    """Whether damaged files are refused. Raises AssertionError if something untrue is said."""
    before = dict(files)
    path = put(folder, files)
    try:
        with Journal.read(path) as journal:
            refused = False
            assert said_by(journal) == truth
    except JournalError:
        refused = True
        left = {name: content for name, content in files_of(folder).items() if name in before}
        assert {**left, f"{NAME}-shm": b""} == {**before, f"{NAME}-shm": b""}, "a refused journal was changed"
    try:
        with Run.open(path) as run:
            assert said_by(run.journal) == truth
            assert not refused, "opening accepts what reading refuses"
    except JournalError:
        assert refused, "opening refuses what reading accepts"
    with Journal.read(path) if not refused else pytest.raises(JournalError):
        if refused:
            Journal.read(path)
    shutil.rmtree(folder)
    return refused


def test_a_journal_is_never_refused_because_its_process_was_killed(tmp_path: Path) -> None:
    """Also where that happens while it is opened, closed or checkpointed."""
    rng = random.Random(KILLS)
    path = tmp_path / NAME
    with Manifest.from_items((f"disk_{number}", "vm_1") for number in range(LINES)) as manifest:
        Run.create(path, manifest).close()
    sessions = 0
    for number in range(KILLS):
        process = subprocess.Popen(  # noqa: S603 - our own child
            [sys.executable, "-W", "error", str(CHILD), str(path), str(LINES), "again"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"recording\n"
        if number == 0:  # at least one session has been recorded then
            assert process.stdout.readline() == b"recorded\n"
        try:
            process.wait(rng.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
        assert process.wait() == -9
        process.stdout.close()
        with Journal.read(path) as journal:
            found = len(journal.sessions())
            assert found >= sessions
            sessions = found
        if rng.random() < 0.3:
            side_file(path, "-shm").unlink(missing_ok=True)  # as after a power cut, or when files are moved
            Journal.read(path).close()
    assert sessions > 0


def test_a_reader_never_takes_a_run_under_way_for_a_damaged_one(tmp_path: Path) -> None:
    """The run is opened, closed and opened again all the time."""
    path = tmp_path / NAME
    with Manifest.from_items((f"disk_{number}", "vm_1") for number in range(LINES)) as manifest:
        Run.create(path, manifest).close()
    process = subprocess.Popen(  # noqa: S603 - our own child
        [sys.executable, "-W", "error", str(CHILD), str(path), str(LINES), "again"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"recording\n"
    try:
        for _ in range(READS):
            with Journal.read(path) as journal:
                assert len(list(journal.lines())) == LINES
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_program_that_closes_nothing_leaves_a_whole_journal(tmp_path: Path) -> None:
    path = tmp_path / NAME
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest:
        Run.create(path, manifest).close()
    code = f"from katapult_async.jobs import Run; run = Run.open({str(path)!r}); run.confirm()"
    subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])}
    )
    Journal.read(path).close()
    assert sorted(file.name for file in tmp_path.iterdir()) == [NAME, f"{NAME}.lock"]


# -- random damage ---------------------------------------------------------------------------------

Damage = Callable[[random.Random, bytes], bytes]


def flip(rng: random.Random, content: bytes) -> bytes:
    place = rng.randrange(len(content) * 8)
    return flipped(content, place)


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def overwrite(rng: random.Random, content: bytes) -> bytes:
    size = rng.choice((1, 2, 8, 64, 512, 4096))
    start = rng.randrange(max(len(content) - size, 1))
    return content[:start] + rng.randbytes(size) + content[start + size :]


def erase(rng: random.Random, content: bytes) -> bytes:
    size = rng.choice((8, 512, 4096, 65536))
    start = rng.randrange(max(len(content) - size, 1)) // 512 * 512
    return content[:start] + bytes(min(size, len(content) - start)) + content[start + size :]


def repeat_a_page(rng: random.Random, content: bytes) -> bytes:
    one, two = (rng.randrange(len(content) // 4096) * 4096 for _ in range(2))
    return content[:one] + content[two : two + 4096] + content[one + 4096 :]


def cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content))]


def cut_at_a_frame(rng: random.Random, content: bytes) -> bytes:
    return content[: 32 + 4120 * rng.randrange((len(content) - 32) // 4120)]


IN_FILE: list[Damage] = [flip, flip, overwrite, erase, repeat_a_page, cut]
IN_LOG: list[Damage] = [flip, flip, overwrite, erase, cut, cut_at_a_frame]


def used(log: bytes) -> int:
    """Bytes of a log up to its last frame that is not empty."""
    return len(log.rstrip(b"\0"))


def truth_of(folder: Path, files: Files) -> list[object]:
    with Journal.read(put(folder, files)) as journal:
        truth = said_by(journal)
    shutil.rmtree(folder)
    return truth


@pytest.mark.parametrize("indexed", [True, False], ids=["with the index", "without the index"])
def test_damage_of_a_killed_run_is_refused_or_nothing_untrue_is_said(
    tmp_path: Path, killed: Killed, indexed: bool
) -> None:
    rng = random.Random(DAMAGES)
    files = {name: content for name, content in killed.files.items() if indexed or not name.endswith("-shm")}
    truth = truth_of(tmp_path / "truth", files)
    assert len([line for line in truth[2] if line.status.ok]) > LINES // 2  # type: ignore[attr-defined]
    refused = 0
    for number in range(DAMAGES):
        changed = dict(files)
        if number % 2:
            name, log = f"{NAME}-wal", files[f"{NAME}-wal"]
            # Most of the log is empty: damage hits what is used of it.
            size = used(log)
            head = rng.choice(IN_LOG)(rng, log[:size])
            changed[name] = head if len(head) < size else head + log[size:]
        else:
            changed[NAME] = rng.choice(IN_FILE)(rng, files[NAME])
        refused += check(tmp_path / "damaged", changed, truth)
    assert refused > DAMAGES // 3


def test_damage_of_a_closed_run_is_refused_or_nothing_untrue_is_said(tmp_path: Path, killed: Killed) -> None:
    rng = random.Random(DAMAGES)
    path = put(tmp_path / "closed", killed.files)
    Run.open(path).close()
    files = files_of(path.parent)
    assert list(files) == [NAME]
    truth = truth_of(tmp_path / "truth", files)
    refused = 0
    for _ in range(DAMAGES):
        changed = {NAME: rng.choice(IN_FILE)(rng, files[NAME])}
        refused += check(tmp_path / "damaged", changed, truth)
    assert refused > DAMAGES // 2


@pytest.mark.timeout(300)  # under a tracer the checksums in pure Python take minutes
def test_each_frame_of_the_log_matters(tmp_path: Path, killed: Killed) -> None:
    """One bit in each frame that is used, or in as many as the number of damages allows."""
    log = killed.files[f"{NAME}-wal"]
    truth = truth_of(tmp_path / "truth", killed.files)
    salt = log[16:24]
    frames = [at for at in range(32, used(log), 4120) if log[at + 8 : at + 16] == salt]
    assert len(frames) > 3
    rng = random.Random(1)
    for at in frames[:: len(frames) // DAMAGES + 1]:
        changed = {**killed.files, f"{NAME}-wal": flipped(log, at * 8 + rng.randrange(4120 * 8))}
        assert check(tmp_path / "damaged", changed, truth)


# -- files that are missing, or another's ----------------------------------------------------------


def lost(name: str) -> Callable[[Killed, Files], Files]:
    return lambda killed, _: {key: content for key, content in killed.files.items() if key != name}


SWAPS: dict[str, Callable[[Killed, Files], Files]] = {
    "the log is lost": lost(f"{NAME}-wal"),
    "the log is empty": lambda killed, _: {**killed.files, f"{NAME}-wal": b""},
    "the log has its header only": lambda killed, _: {
        **killed.files,
        f"{NAME}-wal": killed.files[f"{NAME}-wal"][:32],
    },
    "all but the file is lost": lambda killed, _: {NAME: killed.files[NAME]},
    "the log is another run's": lambda killed, other: {
        **killed.files,
        f"{NAME}-wal": other[f"{NAME}-wal"],
    },
    "the log and its index are another run's": lambda killed, other: {
        **other,
        NAME: killed.files[NAME],
    },
    "the log is from an earlier time": lambda killed, _: {
        **killed.files,
        f"{NAME}-wal": killed.early[f"{NAME}-wal"],
    },
}


@pytest.mark.parametrize("swap", SWAPS)
def test_a_log_that_is_not_the_file_s_is_refused(
    tmp_path: Path, killed: Killed, other: Files, swap: str
) -> None:
    truth = truth_of(tmp_path / "truth", killed.files)
    assert check(tmp_path / "damaged", SWAPS[swap](killed, other), truth)


def test_an_earlier_file_with_a_later_log_is_refused_or_true(tmp_path: Path, killed: Killed) -> None:
    truth = truth_of(tmp_path / "truth", killed.files)
    check(tmp_path / "damaged", {**killed.files, NAME: killed.early[NAME]}, truth)


# -- what somebody has changed with SQLite ---------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM line WHERE number % 2",
        "DELETE FROM second WHERE at % 2",
        "DELETE FROM session",
        "UPDATE line SET disk = 'disk_other' WHERE number = 5",
        "UPDATE line SET note = 'other' WHERE number = 5",
        "UPDATE line SET number = 100000 WHERE number = 5",
        "UPDATE tally SET lines = 5",
        "DROP TRIGGER line_changed",
        "DROP INDEX line_machine",
        "DELETE FROM tally",
        "DELETE FROM run",
        "DELETE FROM sharing",
    ],
)
def test_what_was_changed_behind_the_journal_s_back_is_refused(
    tmp_path: Path, killed: Killed, statement: str
) -> None:
    path = put(tmp_path / "run", killed.files)
    Run.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
    for opening in (Journal.read, Run.open):
        with pytest.raises(JournalError, match="damaged"):
            opening(path)


# -- the way out -----------------------------------------------------------------------------------


def test_a_run_whose_records_are_lost_is_resumed_by_reading_every_disk(
    tmp_path: Path, killed: Killed
) -> None:
    path = put(tmp_path / "run", {NAME: killed.files[NAME]})
    with pytest.raises(JournalRecordsLost, match="--records-lost"):
        Run.open(path)
    with Run.open(path, records_lost=True) as run:
        lines = list(run.journal.lines())
        assert len(lines) == LINES
        states = {line.state for line in lines if line.status is LineStatus.WAITING}
        assert states == {LineState.SENT}
    with Journal.read(path) as journal:  # it is whole again
        assert len(list(journal.lines())) == LINES


def test_a_run_whose_records_are_lost_stays_in_doubt_when_its_process_dies_at_once(
    tmp_path: Path, killed: Killed
) -> None:
    path = put(tmp_path / "run", {NAME: killed.files[NAME]})
    code = f"import os; from katapult_async.jobs import Run; Run.open({str(path)!r}, records_lost=True); os._exit(0)"
    subprocess.run(  # noqa: S603 - our own
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": str(CHILD.parents[2])}
    )
    with Journal.read(path) as journal:
        states = {line.state for line in journal.lines() if line.status is LineStatus.WAITING}
    assert states == {LineState.SENT}


def test_what_is_damaged_is_not_resumed_as_if_records_were_lost(tmp_path: Path, killed: Killed) -> None:
    page = killed.files[NAME].rindex(b"disk_0000000000000003")
    damaged = flipped(killed.files[NAME], page * 8 + 60)
    path = put(tmp_path / "run", {NAME: damaged})
    with pytest.raises(JournalError, match="damaged"):
        Run.open(path, records_lost=True)
