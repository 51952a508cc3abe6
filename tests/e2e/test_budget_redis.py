"""A budget in Redis: its addresses, what it refuses at once, and troubles that lose no item."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trustme
from redis import asyncio as aioredis
from redis.exceptions import ResponseError

from katapult_async import BulkReport, Client, OutcomeStatus, SessionPool, Timeout
from katapult_async.budget import BudgetError, RedisBudget, SharedGate, as_budget, key_of
from katapult_async.budget.redis import RIGHTS, _lasting  # pyright: ignore[reportPrivateUsage]
from katapult_async.testing import Counting, KatapultEmulator
from tests.redis_server import RedisServer, free_port, redis_server
from tests.signs import until

PERIOD = 2.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A server that no test harms."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as server:
        yield server


def gate_of(budget: RedisBudget, key: str, *, period: float = PERIOD, timeout: float = 5.0) -> SharedGate:
    return SharedGate(budget.store(key), period=period, limit=None, timeout=timeout)


async def works(budget: RedisBudget) -> None:
    """It can be checked, a permit can be had, and the state is in the server."""
    await budget.check()
    gate = gate_of(budget, "works")
    gate.unused(await gate.take())
    await gate.aclose()
    store = budget.store("works")
    state, _ = await store.read()
    await store.aclose()
    assert state is not None
    assert state.permits > 0
    assert state.window.in_flight == 0


async def test_a_unix_socket_is_an_address(shared: RedisServer) -> None:
    await works(RedisBudget(f"unix://{shared.socket}"))


async def test_a_client_that_decodes_what_it_reads_is_used_and_left_open(shared: RedisServer) -> None:
    client = aioredis.Redis(port=shared.port, decode_responses=True)
    await works(RedisBudget(client))
    assert await client.get("x") is None
    await client.aclose()


async def test_tls_with_a_private_authority(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    key, chain, ca = tmp_path / "key.pem", tmp_path / "chain.pem", tmp_path / "ca.pem"
    certificate.private_key_pem.write_to_path(str(key))
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    authority.cert_pem.write_to_path(str(ca))
    with redis_server(tmp_path) as server:
        tls = free_port()
        for option, value in [
            ("tls-cert-file", str(chain)), ("tls-key-file", str(key)), ("tls-ca-cert-file", str(ca)),
            ("tls-auth-clients", "no"), ("tls-port", str(tls)),
        ]:  # fmt: skip
            server.do("CONFIG", "SET", option, value)
        await works(RedisBudget(f"rediss://127.0.0.1:{tls}/0?ssl_ca_certs={ca}"))
        with pytest.raises(BudgetError, match=r"rediss://127\.0\.0\.1:\d+/0 cannot be used: its certificate"):
            await RedisBudget(f"rediss://127.0.0.1:{tls}/0").check()


def user(server: RedisServer, name: str, *rights: str) -> str:
    server.do("ACL", "SETUSER", name, "reset", "on", ">s3cret", *rights)
    return f"redis://{name}:s3cret@127.0.0.1:{server.port}/0"


async def test_a_user_with_the_documented_rights_can_do_all_that_is_needed(
    shared: RedisServer, no_tasks_left: None
) -> None:
    budget = RedisBudget(user(shared, "enough", *RIGHTS.split()))
    await works(budget)
    listener, store = budget.store("changes"), budget.store("changes")
    one, other = (SharedGate(it, period=60.0, limit=1, timeout=5.0) for it in (listener, store))
    permit = await one.take()
    waiting = asyncio.create_task(other.take())
    await until(lambda: store._listener is not None)  # pyright: ignore[reportPrivateUsage]
    one.unused(permit)
    other.unused(await waiting)
    await one.aclose()
    await other.aclose()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        # Redis up to 7 and Redis 8 have different messages.
        ("+hset", "can't run this command|no permissions to run the 'hset' command"),
        ("+pexpire", "can't run this command|no permissions to run the 'pexpire' command"),
        ("+eval", "no permissions to run the 'eval' command"),
        ("&katapult:budget:*", "can't publish to the channel|No permissions to access a channel"),
        ("~katapult:budget:*", "no permissions to access one of the keys|No permissions to access a key"),
    ],
)
async def test_a_missing_right_is_an_error_at_once(shared: RedisServer, missing: str, said: str) -> None:
    rights = [right for right in RIGHTS.split() if right != missing]
    budget = RedisBudget(user(shared, "lacks", "resetchannels", *rights))
    with pytest.raises(BudgetError, match=said) as caught:
        await budget.check()
    assert "needs these rights: ~katapult:budget:* " in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        # Redis 7, Redis 8 and Valkey 9.
        (
            "The user executing the script can't run this command or subcommand script: 5f, on @user_script:3.",
            "The user executing the script can't run this command or subcommand",
        ),
        (
            "ACL failure in script: User u has no permissions to run the 'hset' command script: 5f, on @u:3.",
            "User u has no permissions to run the 'hset' command",
        ),
        (
            "ACL failure in script: No permissions to access a channel script: on @user_script:3.",
            "No permissions to access a channel",
        ),
    ],
)
def test_each_servers_message_for_a_missing_right_is_known(message: str, said: str) -> None:
    assert _lasting(ResponseError(message)) == f"{said}. Its user needs these rights: {RIGHTS}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://enough:wr0ng@127.0.0.1:{port}/0", "invalid username-password pair"),
        ("redis://x:wr0ng@no-such-host.invalid/0", "the host is unknown"),
        ("redis://127.0.0.1:{port}/99", "DB index is out of range"),
        ("redis://x:wr0ng/@host:1/0", "must look like redis://user:password@host"),
        ("redis://x:wr0ng@host:port/0", "must look like redis://user:password@host"),
    ],
)
async def test_a_wrong_address_is_an_error_at_once_without_its_password(
    shared: RedisServer, url: str, said: str
) -> None:
    with pytest.raises(BudgetError, match=said) as caught:
        async with Client("token", budget=url.format(port=shared.port)):
            pass
    assert "wr0ng" not in str(caught.value)
    assert "Traceback" not in str(caught.value)


async def test_a_missing_password_is_an_error_at_once(tmp_path: Path) -> None:
    with redis_server(tmp_path) as server:
        server.do("CONFIG", "SET", "requirepass", "pw")
        with pytest.raises(BudgetError, match="it asks for a password"):
            await RedisBudget(server.url).check()


@pytest.mark.parametrize(
    ("budget", "error", "said"),
    [
        ("memcached://h", ValueError, "not memcached://…"),
        ("http://user:pw@h", ValueError, "not http://…"),
        ("filé", ValueError, "not 'filé'"),
        ("", ValueError, "not ''"),
        (7, TypeError, "not 7"),
        (b"file", TypeError, "not b'file'"),
        (RedisBudget, TypeError, "not <class"),
    ],
)
def test_what_is_no_budget_is_refused(budget: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=r"budget must be 'file', redis://…, a Budget or None") as caught:
        SessionPool(budget=budget)
    assert said in str(caught.value)
    assert "pw" not in str(caught.value)


def test_schemes_have_no_case() -> None:
    assert repr(as_budget("Redis://h:1/0")) == "<RedisBudget redis://h:1/0>"


def test_without_redis_py_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    monkeypatch.delitem(sys.modules, "katapult_async.budget.redis")
    with pytest.raises(BudgetError, match=r"pip install 'katapult-async\[redis\]'"):
        Client("token", budget="redis://h")


#: The long form: KATAPULT_RESTARTS=10
RESTARTS = int(os.environ.get("KATAPULT_RESTARTS", "1"))

# -- troubles that pass ----------------------------------------------------------------------------


def kill_and_restart(server: RedisServer) -> Callable[[], None]:
    server.kill()
    return server.start


def suspend(server: RedisServer) -> Callable[[], None]:
    server.suspend()
    return server.resume


def fill(server: RedisServer) -> Callable[[], None]:
    server.do("CONFIG", "SET", "maxmemory", "1")
    return lambda: server.do("CONFIG", "SET", "maxmemory", "0")


def degrade(server: RedisServer) -> Callable[[], None]:
    server.do("REPLICAOF", "127.0.0.1", "1")
    return lambda: server.do("REPLICAOF", "NO", "ONE")


TROUBLES = [kill_and_restart, suspend, fill, degrade]


async def test_a_server_in_trouble_costs_no_item_and_one_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """S4. All troubles at the same time, each with a server and an emulator of its own."""
    caplog.set_level(logging.INFO)
    with ExitStack() as servers:
        await asyncio.gather(
            *(
                share_through(trouble, servers.enter_context(redis_server(tmp_path)), caplog)
                for trouble in TROUBLES
            )
        )


async def share_through(
    trouble: Callable[[RedisServer], Callable[[], None]],
    server: RedisServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def said(words: str) -> int:
        return sum(words in line.message and f":{server.port}" in line.message for line in caplog.records)

    async with KatapultEmulator(
        disks=10, counting=Counting(limit=80, period=PERIOD), latency=0.002
    ) as emulator:
        work = Work(emulator, server)
        async with work.done_by(2):
            await work.more(50)
            repair = trouble(server)
            await until(lambda: said("continues without it") == 2)
            await work.more(20)
            repair()
            await until(lambda: said("is available again") == 2)
            await work.more(100)
        assert said("continues without it") == said("is available again") == 2
        assert emulator.ledger.refusals <= 0.02 * emulator.ledger.total
        store = RedisBudget(server.url).store(key_of("token", emulator.url))
        state, _ = await store.read()
        await store.aclose()
        assert state is not None
        assert state.members == {}
        assert state.leases == {}
        assert state.window.in_flight == 0


async def test_a_run_survives_a_server_that_is_killed_again_and_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Two processes share the work.

    Each logs the loss of the server once, and its return once.
    """
    caplog.set_level(logging.INFO, "katapult_async.budget")
    disks = 500 * RESTARTS

    def said(words: str, times: int) -> bool:
        return sum(words in line.message for line in caplog.records) == times

    def assigned(number: int) -> bool:
        return emulator.ledger.applied_total["assign"] >= number

    async with AsyncExitStack() as stack:
        server = stack.enter_context(redis_server(tmp_path))
        counting = Counting(limit=200, period=1.0)
        emulator = await stack.enter_async_context(
            KatapultEmulator(disks=disks, virtual_machines=64, counting=counting, latency=0.002)
        )
        machines = emulator.virtual_machine_ids
        items = [(disk, machines[number % 64]) for number, disk in enumerate(emulator.disk_ids)]

        async def assign(part: int) -> BulkReport:
            async with Client("token", base_url=emulator.url, rate_window=1.0, budget=server.url) as client:
                return await client.disks.assign_many(items[part::2])

        runs = [asyncio.create_task(assign(part)) for part in range(2)]
        for number in range(1, RESTARTS + 1):
            await until(partial(assigned, disks * number // (RESTARTS + 2)))
            server.kill()
            await until(partial(said, "continues without it", 2 * number))
            server.start()
            await until(partial(said, "is available again", 2 * number))
        reports = await asyncio.gather(*runs)
        assert [report.counts for report in reports] == [{OutcomeStatus.ASSIGNED: disks // 2}] * 2
        assert emulator.ledger.applied_more_than_once() == []
        assert emulator.ledger.refusals <= 0.02 * emulator.ledger.total, emulator.ledger
        assert len(caplog.records) == 4 * RESTARTS, caplog.text


class Work:
    """Reads disks without end, like several processes.

    The clients have pools of their own, so they share nothing but the budget.
    """

    def __init__(self, emulator: KatapultEmulator, server: RedisServer) -> None:
        self._emulator = emulator
        self._budget = server.url
        self._stop = False
        self.done = 0

    async def more(self, requests: int) -> None:
        """Wait until so many more are done."""
        wanted = self.done + requests
        await until(lambda: self.done >= wanted)

    @asynccontextmanager
    async def done_by(self, clients: int) -> AsyncIterator[None]:
        """As long as the block lasts. No request may fail."""
        timeout, url = Timeout(total=1), self._emulator.url
        async with AsyncExitStack() as stack:
            tasks: list[asyncio.Task[None]] = []
            for _ in range(clients):
                client = await stack.enter_async_context(
                    Client("token", base_url=url, rate_window=PERIOD, budget=self._budget, timeout=timeout)
                )
                tasks += [asyncio.create_task(self._read(client)) for _ in range(4)]
            yield
            self._stop = True
            await asyncio.gather(*tasks)

    async def _read(self, client: Client) -> None:
        while not self._stop:
            await client.disks.get(self._emulator.disk_ids[0])
            self.done += 1


async def test_closing_takes_a_few_seconds_although_the_server_does_not_answer(server: RedisServer) -> None:
    loop = asyncio.get_running_loop()
    gate = gate_of(RedisBudget(server.url), "closing")
    permit = await gate.take()
    waiting = asyncio.create_task(gate.take())
    server.suspend()
    gate.lost(permit)
    began = loop.time()
    await gate.aclose()
    assert loop.time() - began < 3.5
    with pytest.raises(BudgetError, match="closed"):
        gate.unused(await waiting)
        await gate.take()
    server.resume()


async def test_a_server_that_is_not_there_yet_is_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server = RedisServer(tmp_path)
    try:
        budget = RedisBudget(server.url)
        await budget.check()
        gate = gate_of(budget, "later")
        gate.unused(await gate.take())
        server.start()
        await until(lambda: "is available again" in caplog.text)
        assert caplog.text.count("continues without it") == 1
        await gate.aclose()
    finally:
        server.kill()
