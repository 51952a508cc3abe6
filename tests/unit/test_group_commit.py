"""The thread of group commits and its connection, when the task around them is cancelled often."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from katapult_async.jobs import Journal, RunKind
from katapult_async.jobs.journal import NewLine, new_info
from katapult_async.jobs.journal.group_commit import Writer
from katapult_async.jobs.journal.statements import BatchStatement


class Detail(msgspec.Struct, array_like=True):
    """A row of UPDATE."""

    detail: str
    number: int


UPDATE = BatchStatement(Detail, "UPDATE line SET detail = {detail} FROM {rows} WHERE number = {number}")


async def test_a_second_cancellation_does_not_leave_the_thread_with_a_closed_journal(tmp_path: Path) -> None:
    reached, free = threading.Event(), threading.Event()
    line = NewLine(number=1, disk="disk_1", virtual_machine="vm_1", step="assign")

    def block(db: sqlite3.Connection) -> None:
        reached.set()
        free.wait()
        db.execute("SELECT count(*) FROM line").fetchall()

    async def record() -> None:
        async with Writer(journal) as writer:
            task = asyncio.ensure_future(writer.call(block))
            await asyncio.sleep(0)
            writer.note(UPDATE, Detail("recorded", 1))
            try:
                await asyncio.Event().wait()
            finally:
                task.cancel()

    with Journal.create(tmp_path / "a.run", new_info(RunKind.ASSIGN, "plan.csv", "0", 1), [line]) as journal:
        recording = asyncio.ensure_future(record())
        await asyncio.to_thread(reached.wait)
        for _ in range(5):
            recording.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        early = recording.done()
        free.set()
        with pytest.raises(asyncio.CancelledError):
            await recording
        assert not early
        assert not any(thread.name == "katapult-journal" for thread in threading.enumerate())
        assert [line.detail for line in journal.lines()] == ["recorded"]
