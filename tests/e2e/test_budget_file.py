# Looks at what is counted, and lets a clock jump.
# pyright: reportPrivateUsage=false
"""A budget in a file: what may happen to files and folders, and gates that share one.

Each gate is like a process.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from katapult_async import Client
from katapult_async.budget import BudgetError, FileBudget, SharedGate, State, StoreUnavailable
from katapult_async.budget import file as file_module
from katapult_async.observer import BudgetEvent
from katapult_async.ratelimit import Permit, Priority, read_evidence
from tests.signs import until

PERIOD = 60.0


def gate_of(
    folder: Path, *, period: float = PERIOD, limit: int | None = 1000, timeout: float = 5.0
) -> SharedGate:
    return SharedGate(FileBudget(folder).store("key"), period=period, limit=limit, timeout=timeout)


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("*.budget")
    return path


async def state_of(folder: Path) -> State:
    store = FileBudget(folder).store("key")
    state, _ = await store.read()
    await store.aclose()
    assert state is not None
    return state


async def send(gate: SharedGate, requests: int) -> None:
    """Requests that are answered at once, without headers."""
    for _ in range(requests):
        gate.answered(await gate.take(), read_evidence(200, {}))


def remove_folder(path: Path) -> None:
    path.unlink()
    path.parent.rmdir()


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scribble(path: Path) -> None:
    path.write_bytes(b"rubbish " * 1000)


def scribble_in_the_body(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[100:200] = b"x" * 100
    path.write_bytes(data)


@pytest.mark.parametrize("harm", [remove_folder, remove, truncate, cut, scribble, scribble_in_the_body])
async def test_a_file_that_is_lost_is_written_again_from_what_is_known(
    tmp_path: Path, harm: object, caplog: pytest.LogCaptureFixture, no_tasks_left: None
) -> None:
    """S4: nobody notices."""
    folder = tmp_path / "budget"
    one, other = gate_of(folder), gate_of(folder)
    await send(one, 30)
    await send(other, 10)
    assert callable(harm)
    harm(the_file(folder))
    await send(one, 1)
    await send(other, 1)
    await one.aclose()
    await other.aclose()
    state = await state_of(folder)
    assert state.leases == {}
    assert state.window.in_flight == 0
    # 42 requests were sent; what was known of them is still counted, in one way or the other.
    assert 42 <= state.window._trailing.admissions.total <= 42 + 12
    assert caplog.text == ""


async def test_a_file_of_another_version_is_left_alone_as_long_as_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    one = gate_of(tmp_path)
    await send(one, 1)
    path = the_file(tmp_path)
    data = path.read_bytes()
    body = data[file_module.HEAD :].replace(b"katapult-budget 2", b"katapult-budget 9", 1)
    import zlib

    length = int.from_bytes(data[8:12], "little")
    checksum = zlib.crc32(body[:length]).to_bytes(4, "little")
    path.write_bytes(data[:12] + checksum + data[16 : file_module.HEAD] + body)
    await send(one, 3)
    assert caplog.text.count("another version of katapult-async has written it") == 1
    assert b"katapult-budget 9" in path.read_bytes()
    os.utime(path, (0, 0))  # nobody has used it for long
    await until(lambda: "is available again" in caplog.text)
    assert b"katapult-budget 2" in path.read_bytes()
    await one.aclose()


async def test_a_full_disk_costs_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A limit on the size of files stands for it: the file cannot grow."""
    caplog.set_level(logging.INFO)
    script = f"""
import asyncio, logging, resource, signal, sys
from pathlib import Path
logging.basicConfig(level=logging.INFO, format="%(message)s")
from tests.e2e.test_budget_file import gate_of, send
async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    gate = gate_of(Path({str(tmp_path)!r}))
    await send(gate, 5)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    while gate._alone is not None:
        await asyncio.sleep(0.01)
    await send(gate, 5)
    await gate.aclose()
asyncio.run(main())
"""
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("continues without it") == 1
    assert done.stderr.count("is available again") == 1
    assert (await state_of(tmp_path)).window.in_flight == 0


async def test_a_process_that_is_suspended_with_the_lock_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(file_module, "PATIENCE", 0.2)
    gate = gate_of(tmp_path)
    await send(gate, 1)
    with the_file(tmp_path).open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        await send(gate, 5)
    await until(lambda: "is available again" in caplog.text)
    assert caplog.text.count("continues without it") == 1
    assert "another process keeps" in caplog.text
    await gate.aclose()


async def test_a_folder_that_cannot_be_used_is_an_error_at_once(tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o777)
    with pytest.raises(BudgetError, match=r"other users can write to .*loose: run chmod 700"):
        async with Client("token", budget=FileBudget(loose)):
            pass
    plain = tmp_path / "plain"
    plain.write_text("")
    with pytest.raises(BudgetError, match="is not a folder"):
        await FileBudget(plain).check()
    with pytest.raises(BudgetError, match="cannot be created"):
        await FileBudget("/proc/nothing/budget").check()
    if os.getuid() == 0:
        os.chown(loose, 12345, -1)
        with pytest.raises(BudgetError, match="belongs to another user"):
            await FileBudget(loose).check()


async def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "budget"
    await FileBudget(folder).check()
    gate = gate_of(folder)
    await send(gate, 1)
    await gate.aclose()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert the_file(folder).stat().st_mode & 0o777 == 0o600
    assert b"token" not in the_file(folder).read_bytes()


async def test_a_symbolic_link_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    gate = gate_of(tmp_path)
    await send(gate, 1)
    await gate.aclose()
    path = the_file(tmp_path)
    path.unlink()
    precious = tmp_path / "precious"
    precious.write_text("mine")
    path.symlink_to(precious)
    store = FileBudget(tmp_path).store("key")
    with pytest.raises(StoreUnavailable):
        await store.read()
    assert precious.read_text() == "mine"


def test_a_user_without_a_home_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    with pytest.raises(BudgetError, match="has no home folder"):
        Client("token", budget="file")


def test_a_terminal_and_a_cron_job_use_the_same_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    terminal = repr(FileBudget())
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert repr(FileBudget()) == terminal


# -- gates that share a file -----------------------------------------------------------------------


async def test_a_request_that_is_cancelled_leaves_no_place(tmp_path: Path) -> None:
    one, other = gate_of(tmp_path, limit=1), gate_of(tmp_path, limit=1)
    permit = await one.take()
    waiting = [asyncio.create_task(other.take()) for _ in range(5)]
    await until_places(tmp_path, 1)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    await until_places(tmp_path, 0)
    one.unused(permit)
    await one.aclose()
    await other.aclose()
    state = await state_of(tmp_path)
    assert (state.window.in_flight, state.leases, state.places, state.members) == (0, {}, [], {})


async def until_places(folder: Path, places: int) -> None:
    while len((await state_of(folder)).places) != places:
        await asyncio.sleep(0.005)


async def test_cancelling_at_any_moment_leaks_nothing(tmp_path: Path) -> None:
    gate = gate_of(tmp_path)

    async def one() -> None:
        permit = await gate.take()
        try:
            await asyncio.sleep(0.001)
        finally:
            gate.lost(permit)

    for delay in range(60):
        tasks = [asyncio.create_task(one()) for _ in range(4)]
        await asyncio.sleep(delay / 5000)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await gate.aclose()
    state = await state_of(tmp_path)
    assert (state.window.in_flight, state.leases, state.places) == (0, {}, [])


async def test_closing_ends_requests_that_wait(tmp_path: Path) -> None:
    gate = gate_of(tmp_path, limit=1)
    permit = await gate.take()
    waiting = asyncio.create_task(gate.take())
    await until_places(tmp_path, 1)
    gate.answered(permit, read_evidence(200, {}))
    await gate.aclose()
    with pytest.raises(BudgetError, match="the client is closed"):
        await waiting
    with pytest.raises(BudgetError, match="the client is closed"):
        await gate.take()


async def test_another_length_of_the_window_is_refused_while_somebody_uses_the_first(tmp_path: Path) -> None:
    one, other = gate_of(tmp_path, period=60.0), gate_of(tmp_path, period=6.0)
    await send(one, 1)
    with pytest.raises(BudgetError, match=r"rate_window=6 contradicts the 60 seconds of process \d+ on "):
        await other.take()
    await one.aclose()
    await until_length(other)
    await other.aclose()


async def until_length(gate: SharedGate) -> None:
    """The first process is gone: the second one's length counts."""
    await send(gate, 1)
    assert gate.window.period == 6.0


async def test_a_given_limit_is_adopted_while_none_is_known(tmp_path: Path) -> None:
    one, other = gate_of(tmp_path, limit=None), gate_of(tmp_path, limit=70)
    await send(one, 1)
    await send(other, 1)
    await send(one, 1)
    assert one.limit == 70
    await one.aclose()
    await other.aclose()


async def test_polling_does_not_go_before_the_work_of_another_process(tmp_path: Path) -> None:
    """The first request of all is one that everything else waits for."""
    one, other = gate_of(tmp_path, limit=1), gate_of(tmp_path, limit=1)
    held = await one.take()
    order: list[str] = []

    async def take(gate: SharedGate, priority: Priority) -> None:
        permit = await gate.take(priority)
        order.append(priority.name)
        gate.unused(permit)

    polls = asyncio.create_task(take(one, Priority.LOW))
    await until_places(tmp_path, 1)
    works = asyncio.create_task(take(other, Priority.NORMAL))
    await until_places(tmp_path, 2)
    one.unused(held)
    await asyncio.gather(polls, works)
    assert order == ["NORMAL", "LOW"]
    await one.aclose()
    await other.aclose()


async def test_a_store_that_breaks_its_word_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A budget of somebody else may raise anything."""

    class Broken:
        async def exchange(self, _look: object) -> object:
            raise LookupError("no such table")

        async def read(self) -> tuple[State | None, float]:
            return None, 0.0

        async def changed(self) -> None:
            return

        async def aclose(self) -> None:
            return

    gate = SharedGate(Broken(), period=PERIOD, limit=10, timeout=1.0)  # type: ignore[arg-type]  # that is the test  # pyright: ignore[reportArgumentType]
    await send(gate, 3)
    assert "LookupError('no such table')" in caplog.text
    await gate.aclose()


async def test_a_process_that_was_suspended_sends_nothing_on_an_old_permit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = gate_of(tmp_path)
    await send(gate, 1)
    loop = asyncio.get_running_loop()
    taken: list[Permit] = []

    async def take() -> None:
        taken.append(await gate.take())

    task = asyncio.create_task(take())
    look = gate._take_over

    def stopped(*args: object) -> None:
        look(*args)  # type: ignore[arg-type]  # as it was called
        gate._shift += 3600  # as if an hour had passed between the permit and the request
        monkeypatch.setattr(gate, "_take_over", look)

    monkeypatch.setattr(gate, "_take_over", stopped)
    await task
    assert loop.time() - (taken[0].sent - gate._shift) < 5
    gate.unused(taken[0])
    await gate.aclose()
    assert (await state_of(tmp_path)).window.in_flight == 0


async def test_who_watches_sees_the_other_processes_come_and_go(tmp_path: Path) -> None:
    one, other = gate_of(tmp_path), gate_of(tmp_path)
    events: list[BudgetEvent] = []
    unwatch = one.watchers.add(events.append)
    await send(one, 1)
    assert (events[-1].place, events[-1].reachable, events[-1].limit) == (str(tmp_path), True, 1000)
    assert events[-1].others == ()
    held = await other.take()
    await send(one, 1)
    assert len(events[-1].others) == 1
    process = events[-1].others[0]
    assert process.name.startswith(f"process {os.getpid()} on ")
    other.unused(held)
    await other.aclose()
    await send(one, 1)
    assert events[-1].others == ()
    unwatch()
    seen = len(events)
    one.watchers.add(lambda _: None)
    await send(one, 1)
    assert len(events) == seen
    await one.aclose()


async def test_a_store_that_is_gone_is_reported(tmp_path: Path) -> None:
    folder = tmp_path / "budget"
    gate = gate_of(folder)
    events: list[BudgetEvent] = []
    gate.watchers.add(events.append)
    await send(gate, 1)
    remove_folder(the_file(folder))
    folder.write_text("not a folder")
    await send(gate, 1)
    await until(lambda: not events[-1].reachable)
    folder.unlink()
    await until(lambda: events[-1].reachable)
    await gate.aclose()
