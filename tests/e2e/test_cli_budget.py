"""The shared budget on the command line: two terminals just work.

`budget` shows which processes use the token.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import anyio
import msgspec
import pytest

from katapult_async.budget import BudgetError, Store, key_of
from katapult_async.cli.execute import carry_out
from katapult_async.cli.options import Screen
from katapult_async.client import ClientSettings
from katapult_async.jobs import Journal, Manifest, Run
from katapult_async.jobs.journal.records import RunSession
from katapult_async.jobs.report.command_documents import BudgetDocument, BudgetState
from katapult_async.testing import Counting, KatapultEmulator
from tests.command_line import PROGRAM, TOKEN, emulator_with, environment, on_terminal, plan, run
from tests.redis_server import free_port, need_redis
from tests.signs import until

PASSWORD = "pa55word-of-redis"
ASSIGN = ("--no-preflight", "--yes")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals go to the current folder, and budgets into one beside them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "katapult-async"


def environment_of(emulator: KatapultEmulator, **extra: str) -> dict[str, str]:
    return {"KATAPULT_API_KEY": TOKEN, "KATAPULT_BASE_URL": emulator.url, **extra}


def write_plan(name: str, emulator: KatapultEmulator, *, part: int = 0, parts: int = 1) -> None:
    header, *lines = plan(emulator).splitlines()
    Path(name).write_text("\n".join([header, *lines[part::parts]]) + "\n")


async def budget(*arguments: str, env: dict[str, str]) -> BudgetDocument:
    code, out, err = await run("budget", "--json", *arguments, env=env)
    assert (code, err) == (0, "")
    return msgspec.json.decode(out, type=BudgetDocument)


def sessions_of(name: str) -> tuple[str, RunSession]:
    """The ID of a run, and its only session."""
    with Journal.read(Path(f"{name}.csv.run")) as journal:
        (session,) = journal.sessions()
        return journal.info().run_id, session


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_two_terminals_meet_no_429_and_see_each_other(cache: Path) -> None:
    """Cold start, an aligned limit of 60 per window, and no option that mentions sharing."""
    period = 4.0
    counting = Counting(limit=60, period=period)
    async with emulator_with(disks=200, virtual_machines=200, counting=counting, latency=0.1) as emulator:
        env = environment_of(emulator)
        write_plan("one.csv", emulator, part=0, parts=2)
        write_plan("two.csv", emulator, part=1, parts=2)
        done: list[tuple[int, str, str]] = []
        seen: list[BudgetState] = []
        texts: list[str] = []

        async def assign(name: str) -> None:
            done.append(await run("assign", name, *ASSIGN, "--window", f"{period:g}", env=env))

        async def watch() -> None:
            while len(done) < 2:
                seen.extend((await budget(env=env)).budgets)

        async def read() -> None:
            while len(done) < 2:
                texts.append((await run("budget", env=env))[1])

        async with anyio.create_task_group() as group:
            group.start_soon(assign, "one.csv")
            group.start_soon(assign, "two.csv")
            group.start_soon(watch)
            group.start_soon(read)
        assert [code for code, _, _ in done] == [0, 0], done
        assert emulator.ledger.applied_total["assign"] == 200
        assert emulator.ledger.by_status[429] == 0
        both = [one for one in seen if len(one.members) == 2]
        assert both, seen
        busy = both[len(both) // 2]
        assert (busy.limit, busy.period) == (60, period)
        assert {member.host for member in busy.members} == {socket.gethostname()}
        assert len({member.process for member in busy.members}) == 2
        assert len({member.run for member in busy.members}) == 2
        assert max(one.waiting for one in both) > 32  # of both: one process alone has 32 at most
        assert any(one.next_window_at for one in both)
        assert all(one.used <= 60 for one in both)
        # The limit is known from the first response on.
        wanted = ("2 processes on this token.", "permitted per 4 s  60")
        text = next(text for text in texts if all(words in text for words in wanted))
        assert f"budget {key_of(TOKEN, emulator.url)} in {cache}" in text
        assert len([line for line in text.splitlines() if f"  {socket.gethostname()}  " in line]) == 2
        assert "No process is on this token now." in (await run("budget", env=env))[1]
        ids = {name: sessions_of(name)[0] for name in ("one", "two")}
        for name, other in (("one", "two"), ("two", "one")):
            session = sessions_of(name)[1]
            assert session.budget == str(cache)
            (process,) = session.shared_with
            assert process.endswith(f" on {socket.gethostname()} (run {ids[other]})")
            assert f"rate limit shared with  {process}" in (await run("report", f"{name}.csv.run", env={}))[1]


async def test_looking_changes_nothing_and_makes_nothing(cache: Path) -> None:
    async with emulator_with(disks=5) as emulator:
        env = environment_of(emulator)
        code, out, _ = await run("budget", env=env)
        assert code == 0
        assert "Nobody has used this token here lately." in out
        assert not cache.exists()
        write_plan("plan.csv", emulator)
        assert (await run("assign", "plan.csv", *ASSIGN, env=env))[0] == 0
        (file,) = cache.iterdir()
        before = file.read_bytes()
        (one,) = (await budget(env=env)).budgets
        assert (one.limit, one.members) == (1000, [])  # the run has said goodbye
        # Without a token: each budget by its hash.
        document = await budget("--all", env={})
        assert document.place == str(cache)
        assert [found.key for found in document.budgets] == [key_of(TOKEN, emulator.url)]
        assert file.stem.startswith(key_of(TOKEN, emulator.url))
        assert file.read_bytes() == before
        assert list(cache.iterdir()) == [file]
        # A damaged one counts as unused; it is replaced by the next run.
        damaged = before[:40] + bytes(len(before) - 40)
        file.write_bytes(damaged)
        assert "Nobody has used" in (await run("budget", env=env))[1]
        assert file.read_bytes() == damaged


async def test_no_budget_if_none_is_wanted(cache: Path) -> None:
    async with emulator_with(disks=2) as emulator:
        write_plan("plan.csv", emulator)
        for options, env in (
            (("--budget", "none"), environment_of(emulator)),
            ((), environment_of(emulator, KATAPULT_BUDGET="none")),
        ):
            assert (await run("assign", "plan.csv", *ASSIGN, *options, env=env))[0] == 0
            _, out, _ = await run("report", "plan.csv.run", env={})
            assert "rate limit shared with  nobody (no budget)\n" in out
            code, _, err = await run("budget", *options, env=env)
            assert code == 2
            assert "no budget is shared. Name one with --budget" in err
        assert not cache.exists()


async def test_a_default_budget_that_cannot_be_used_ends_no_run(cache: Path) -> None:
    """A home folder that cannot be written, as in many containers."""
    cache.parent.write_text("no folder")
    async with emulator_with(disks=2) as emulator:
        env = environment_of(emulator)
        write_plan("plan.csv", emulator)
        code, _, err = await run("assign", "plan.csv", *ASSIGN, "--budget", "file", env=env)
        assert code == 2
        assert err.startswith(f"katapult-async: --budget: the budget's folder {cache} cannot be created")
        assert emulator.ledger.by_path.total() == 0
        assert not Path("plan.csv.run").exists()
        code, out, err = await run("assign", "plan.csv", *ASSIGN, env=env)
        assert code == 0
        assert "Assigned 2 of 2 disks" in out
        assert "The rate limit is not shared with other processes" in err
        code, out, err = await run("budget", env=env)
        assert code == 0, err


async def test_wrong_usage_is_one_sentence() -> None:
    env = {"KATAPULT_API_KEY": TOKEN}
    for arguments, words in (
        (("--budget", "memcached://user:pa55word@host"), "expected file, none, or the URL of a Redis server"),
        (("--budget", ""), "expected file, none, or the URL of a Redis server"),
        (("--budget", f"redis://:{PASSWORD}@host:port"), "the budget's address must look like redis://"),
        (("--all", "--budget", "redis://localhost"), "--all lists budgets in files of this machine"),
        (("--budget", f"redis://:{PASSWORD}@no-such-host.invalid"), "the host is unknown"),
        (("--base-url", "nonsense"), "must look like"),
    ):
        code, out, err = await run("budget", *arguments, env=env)
        assert (code, out) == (2, ""), err
        assert words in err.replace("\n", " ")
        assert "pa55word" not in err
    code, _, err = await run("budget", env={})
    assert code == 2
    assert "KATAPULT_API_KEY is not set" in err


async def test_watching_a_budget_on_a_terminal() -> None:
    async with emulator_with(
        disks=12, counting=Counting(limit=4, period=5.0)
    ) as emulator:  # a run of some seconds
        env = environment_of(emulator)
        write_plan("plan.csv", emulator)
        async with (
            on_terminal("budget", "--watch", env={"KATAPULT_BASE_URL": emulator.url}) as terminal,
            anyio.create_task_group() as group,
        ):
            await terminal.sees("Nobody has used this token here lately.")
            group.start_soon(partial(run, "assign", "plan.csv", *ASSIGN, "--window", "5", env=env))
            await terminal.sees("1 process on this token.")
            await terminal.sees("No process is on this token now.")
            terminal.types("\x03")
            assert await terminal.ends() == 130


async def test_a_run_with_another_window_than_its_neighbour_says_whose_fault_it_is() -> None:
    # The neighbour would need minutes, so it works until it is interrupted.
    async with emulator_with(disks=200, counting=Counting(limit=4, period=5.0)) as emulator:
        env, base = environment_of(emulator), {"KATAPULT_BASE_URL": emulator.url}
        write_plan("plan.csv", emulator)
        write_plan("other.csv", emulator)
        async with on_terminal("assign", "plan.csv", *ASSIGN, "--window", "5", env=base) as neighbour:
            await until(lambda: emulator.ledger.total > 3)
            code, out, _ = await run("assign", "other.csv", *ASSIGN, env=env)
            assert code == 3
            assert "The budget cannot be used: rate_window=60 contradicts the 5 seconds of process" in out
            assert "The API refused" not in out
            neighbour.types("\x03")
            assert await neighbour.ends() == 130


async def test_a_killed_load_test_is_named_and_has_ended() -> None:
    """It reads disks when it is killed, and is listed until its requests no longer count."""
    async with emulator_with(latency=0.05, limit=100_000) as emulator:
        env = environment_of(emulator)
        write_plan("plan.csv", emulator)
        words = ("load", "run", "disk", "--manifest", "plan.csv", "--rate", "20", "--for", "10min", "--yes")
        process = await asyncio.create_subprocess_exec(
            *(*PROGRAM, *words),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=environment(**env),
        )
        try:
            await until(lambda: emulator.ledger.total > 5)
            name = rf"{process.pid}  {re.escape(socket.gethostname())} +load test"
            _, text, _ = await run("budget", env=env)
            assert re.search(name, text), text
            assert "has ended" not in text
        finally:
            process.kill()
            await process.wait()
        with anyio.fail_after(60):
            while "has ended" not in text:
                text = (await run("budget", env=env))[1]
        assert re.search(rf"{name} .* \d+(\.\d)? s ago, has ended\n", text), text


@pytest.fixture
async def redis_port(tmp_path: Path, anyio_backend: str) -> AsyncIterator[int]:
    """A Redis server of this test, with a password."""
    program, port = need_redis(), free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--requirepass", PASSWORD, "--save", "")
    process = await asyncio.create_subprocess_exec(
        *(program, *options, "--dir", str(tmp_path)), stdout=asyncio.subprocess.DEVNULL
    )
    try:
        with anyio.fail_after(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await anyio.sleep(0.05)
                    continue
                writer.close()
                await writer.wait_closed()
                break
        yield port
    finally:
        process.terminate()
        await process.wait()


async def test_a_budget_in_redis_and_its_password(redis_port: int, cache: Path) -> None:
    async with emulator_with(disks=4) as emulator:
        write_plan("plan.csv", emulator)
        url = f"redis://:{PASSWORD}@127.0.0.1:{redis_port}/0"
        env = environment_of(emulator, KATAPULT_BUDGET=url)
        shown: list[str] = []
        code, out, err = await run("assign", "plan.csv", *ASSIGN, "-v", "--log", "log.txt", env=env)
        assert code == 0, err
        shown += [out, err, Path("log.txt").read_text()]
        assert not cache.exists()
        code, out, err = await run("budget", env=env)
        assert code == 0
        assert f"in redis://127.0.0.1:{redis_port}/0" in out
        assert "permitted per minute  1,000" in out
        shown += [out, err]
        document = await budget(env=env)
        assert document.place == f"redis://127.0.0.1:{redis_port}/0"
        assert document.budgets[0].limit == 1000
        shown.append(str(document))
        # A wrong password: nothing is sent, and no journal is left.
        requests = emulator.ledger.by_path.total()
        Path("plan.csv.run").unlink()
        wrong = {**env, "KATAPULT_BUDGET": url.replace(PASSWORD, f"wrong-{PASSWORD}")}
        for command in (("assign", "plan.csv", *ASSIGN), ("budget",)):
            code, out, err = await run(*command, env=wrong)
            assert (code, out) == (2, ""), err
            assert err.startswith("katapult-async: KATAPULT_BUDGET: the budget at redis://127.0.0.1")
            assert err.count("\n") == 1
            shown.append(err)
        assert emulator.ledger.by_path.total() == requests
        assert not Path("plan.csv.run").exists()
        assert PASSWORD not in "".join(shown)


async def test_a_redis_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        env = {"KATAPULT_API_KEY": TOKEN, "KATAPULT_BUDGET": f"redis://:{PASSWORD}@127.0.0.1:{port}"}
        code, out, err = await run("budget", env=env)
        assert code == 3
        assert "cannot read the budget: redis://127.0.0.1" in err
        assert PASSWORD not in out + err
        code, out, _ = await run("budget", "--json", env=env)
        assert code == 3
        problem = msgspec.json.decode(out, type=BudgetDocument).budgets[0].problem
        assert problem is not None
        assert PASSWORD not in problem
    assert list(tmp_path.iterdir()) == []


class Broken:
    """A budget whose password was changed after the command had checked it."""

    async def check(self) -> None:
        raise BudgetError("the budget at redis://host cannot be used: wrong password")

    def store(self, key: str) -> Store:
        raise NotImplementedError


async def test_a_budget_that_breaks_before_the_rest_of_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    """`assign --canary` opens a client for the rest: the run can be resumed."""
    async with emulator_with(disks=2) as emulator:
        with (
            Manifest.from_items(
                (disk, emulator.virtual_machine_ids[0]) for disk in emulator.disk_ids
            ) as manifest,
            Run.create("a.run", manifest, base_url=emulator.url) as durable,
        ):
            settings: ClientSettings = {"base_url": emulator.url, "budget": Broken()}
            code = await carry_out(durable, TOKEN, settings, screen=Screen(), task_timeout=60.0)
        assert code == 1
        assert capsys.readouterr().err == (
            "katapult-async: the budget at redis://host cannot be used: wrong password. When it can be used again: "
            f"katapult-async resume a.run --base-url {emulator.url}\n"
        )
        assert emulator.ledger.by_path.total() == 0
