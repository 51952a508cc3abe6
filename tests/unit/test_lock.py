"""The lock of a run: only the process that holds it takes its file away."""

from __future__ import annotations

from pathlib import Path

import pytest

from katapult_async.jobs import JournalLocked
from katapult_async.jobs.journal.lock import RunLock, held_by, lock_path


def test_releasing_leaves_the_lock_file_of_another_holder(tmp_path: Path) -> None:
    journal = tmp_path / "a.run"
    first, second, third = RunLock(journal), RunLock(journal), RunLock(journal)
    first.acquire()
    lock_path(journal).unlink()  # by somebody who took it for a leftover
    second.acquire()
    first.release()
    assert held_by(journal) is not None
    with pytest.raises(JournalLocked, match="is executing the run"):
        third.acquire()
    second.release()
    assert not lock_path(journal).exists()
