"""Outages over real sockets: no response at all, or responses that are not the API's."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter

import anyio
import pytest

from katapult_async import Assignment, Client, NoAnswer, OutcomeStatus, RetryPolicy, Timeout
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.e2e.test_bulk import QUICK, assert_each_applied_once, client_for, pairs
from tests.raw_server import http, raw_server, read_request

JSON = "Content-Type: application/json"
NOT_AVAILABLE = http(
    b'{"error":{"code":"service_unavailable","description":"","detail":{}}}', JSON, status="503 Unavailable"
)
MISSING = http(
    b'{"error":{"code":"missing_required_argument","description":"","detail":{}}}',
    JSON,
    status="400 Bad Request",
)
ITEMS = [Assignment(f"disk_{number}", f"vm_{number % 500}") for number in range(1000)]


async def until_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(10):
        while not any("in a row got no response" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)


async def test_a_server_restart_costs_no_item(caplog: pytest.LogCaptureFixture) -> None:
    async with KatapultEmulator(disks=400, virtual_machines=50, limit=100_000, latency=0.01) as emulator:
        items = pairs(emulator)
        async with client_for(emulator, concurrency=16) as client:
            run = asyncio.create_task(client.disks.assign_many(items))
            while len(emulator.ledger.applied) < 50:
                await asyncio.sleep(0.001)
            await emulator.stop()
            await until_nobody_answers(caplog)
            await asyncio.sleep(1.2)  # longer than the first pause, so a probe fails, too
            await emulator.start()
            back = time.monotonic()
            report = await run
        assert time.monotonic() - back < 4
        assert report.ok, str(report)
        assert report.counts == {OutcomeStatus.ASSIGNED: 400}
        assert_each_applied_once(emulator, items)


@pytest.mark.parametrize("kind", [FaultKind.BAD_GATEWAY, FaultKind.UNAVAILABLE, FaultKind.RESET_BEFORE])
async def test_an_unavailable_proxy_or_api_costs_no_item(
    kind: FaultKind, caplog: pytest.LogCaptureFixture
) -> None:
    async with KatapultEmulator(disks=200, virtual_machines=50, limit=100_000, latency=0.002) as emulator:
        items = pairs(emulator)
        async with client_for(emulator, concurrency=8) as client:
            run = asyncio.create_task(client.disks.assign_many(items))
            while len(emulator.ledger.applied) < 50:
                await asyncio.sleep(0.001)
            emulator.faults.script(lambda _arrival: kind)
            await until_nobody_answers(caplog)
            opened = emulator.ledger.total
            while emulator.ledger.total == opened:
                await asyncio.sleep(0.01)
            emulator.faults.script(lambda _arrival: None)
            report = await run
        assert report.ok, str(report)
        assert_each_applied_once(emulator, items)


# -- one bad item while the API responds -----------------------------------------------------------

BAD = {
    "a proxy's 504": (FaultKind.EMPTY_504, OutcomeStatus.UNKNOWN),
    "the API's 503": (FaultKind.UNAVAILABLE, OutcomeStatus.FAILED),
    "an unreadable 200": (FaultKind.INVALID_JSON, OutcomeStatus.UNKNOWN),
}


@pytest.mark.parametrize("what", list(BAD))
@pytest.mark.parametrize("number", [0, 4, 9])
@pytest.mark.parametrize(("concurrency", "machines"), [(1, 10), (32, 10), (32, 1)])
async def test_one_bad_item_does_not_stop_the_others(
    what: str, number: int, concurrency: int, machines: int
) -> None:
    kind, status = BAD[what]
    async with KatapultEmulator(disks=10, virtual_machines=machines) as emulator:
        items = pairs(emulator)
        bad = items[number].disk
        emulator.faults.script(lambda arrival: kind if arrival.disk == bad else None)
        async with client_for(emulator, concurrency=concurrency, patience=5) as client:
            with anyio.fail_after(5):
                report = await client.disks.assign_many(items)
        assert report.stopped_by is None
        assert report.counts == {OutcomeStatus.ASSIGNED: 9, status: 1}
        assert report.failures[0].assignment.disk == bad
        sent = sum(arrival.disk == bad for arrival in emulator.ledger.arrivals)
        assert sent <= QUICK.attempts + 1
        assert report.requests == emulator.ledger.total


@pytest.mark.parametrize("attempts", [1, 2])
async def test_an_outage_costs_no_item_even_with_few_attempts(attempts: int) -> None:
    async with KatapultEmulator(disks=300, virtual_machines=300, limit=100_000, latency=0.005) as emulator:
        items = pairs(emulator)
        retry = RetryPolicy(attempts=attempts, base=0.01, cap=0.05)
        async with client_for(emulator, concurrency=16, retry=retry) as client:
            run = asyncio.create_task(client.disks.assign_many(items))
            while len(emulator.ledger.applied) < 50:
                await asyncio.sleep(0.001)
            emulator.faults.script(lambda _arrival: FaultKind.UNAVAILABLE)
            await asyncio.sleep(0.5)
            emulator.faults.script(lambda _arrival: None)
            with anyio.fail_after(10):
                report = await run
        assert report.ok, str(report)
        assert_each_applied_once(emulator, items)


async def test_an_outage_in_which_most_requests_hang_costs_no_item() -> None:
    """One connection in eight is refused at once. All others hang."""
    connections = 0
    down = asyncio.Event()
    where: dict[str, str] = {}

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        quick = connections % 8 == 0
        while True:
            request = await read_request(reader)
            if down.is_set() and not quick:
                await asyncio.sleep(3600)
            if down.is_set():
                writer.write(NOT_AVAILABLE)
                continue
            await asyncio.sleep(0.005)
            head, _, body = request.partition(b"\r\n\r\n")
            if body:
                asked = json.loads(body)
                disk = asked["disk"]["id"]
                where[disk] = asked["virtual_machine"]["id"]
            elif b"=" in head.split()[1]:
                disk = head.split()[1].partition(b"=")[2].decode()
            else:
                writer.write(MISSING)
                continue
            bond = {"virtual_machine": {"id": where[disk]}} if disk in where else None
            shown = json.dumps({"disk": {"id": disk, "virtual_machine_disk": bond}})
            writer.write(http(shown.encode(), "Content-Type: application/json"))

    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, retry=QUICK, timeout=Timeout(total=0.6), concurrency=32) as client,
    ):
        run = asyncio.create_task(client.disks.assign_many(ITEMS))
        while len(where) < 100:
            await asyncio.sleep(0.001)
        down.set()
        await asyncio.sleep(2)
        down.clear()
        with anyio.fail_after(20):
            report = await run
    assert report.ok, (str(report), report.failures[:1])


async def test_foreign_429s_end_the_run() -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            writer.write(NOT_THE_API["HTML 429"])

    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, rate_window=0.2, concurrency=32) as client,
    ):
        with anyio.fail_after(5):
            report = await client.disks.assign_many(ITEMS)
    assert isinstance(report.stopped_by, NoAnswer)
    assert requests <= 8
    assert report.rate_limited == report.requests == requests


async def test_stop_ends_a_run_during_a_hanging_probe() -> None:
    """`stop` cancels the probe, and nothing stays in flight."""
    hanging = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            if request.startswith(b"GET /core/v1/disks/disk HTTP"):
                hanging.set()
                await asyncio.sleep(3600)
            writer.write(NOT_AVAILABLE)

    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, retry=QUICK, concurrency=4) as client,
        client.disks.assign_each(ITEMS) as outcomes,
    ):
        taking = asyncio.create_task(_statuses(outcomes))
        await hanging.wait()
        outcomes.stop()
        with anyio.fail_after(5):
            rest = await taking
        assert client.session.gate.window.in_flight == 0
        assert set(rest) == {OutcomeStatus.NOT_ATTEMPTED}


# -- responses that are not the API's --------------------------------------------------------------

NOT_THE_API = {
    "HTML": http(b"<html>hello</html>", "Content-Type: text/html"),
    "foreign JSON": http(b'{"status": "ok"}', "Content-Type: application/json"),
    "HTML 404": http(b"<html>not found</html>", "Content-Type: text/html", status="404 Not Found"),
    "JSON 404 of another API": http(
        b'{"error":{"code":"ResourceNotFound","message":"The resource was not found."}}',
        "Content-Type: application/json",
        status="404 Not Found",
    ),
    "HTML 429": http(b"<html>slow down</html>", "Content-Type: text/html", status="429 Too Many Requests"),
    "a redirect": http(b"", "Location: /login", status="302 Found"),
}


@pytest.mark.parametrize("what", list(NOT_THE_API))
async def test_a_wrong_address_costs_at_most_twice_the_concurrency_in_requests(what: str) -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            writer.write(NOT_THE_API[what])

    # A pause follows each 429, from any sender.
    concurrency = 4 if what == "HTML 429" else 32
    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, retry=QUICK, rate_window=0.2, concurrency=concurrency) as client,
    ):
        with anyio.fail_after(30):
            report = await client.disks.assign_many(ITEMS)
    assert requests <= 2 * concurrency
    assert isinstance(report.stopped_by, NoAnswer)
    said = str(report.stopped_by)
    assert said.startswith(f"the API at {url} has answered none of ")
    assert " requests: check the base URL. The last one: " in said
    assert not report.complete
    assert report.total <= 2 * concurrency


async def test_a_silent_server_ends_the_run() -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1

    timeout = Timeout(total=0.2)
    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, retry=QUICK, timeout=timeout) as client,
    ):
        with anyio.fail_after(5):
            report = await client.disks.assign_many(ITEMS[:40])
    assert isinstance(report.stopped_by, NoAnswer)
    assert requests <= 40
    assert set(report.counts) <= {OutcomeStatus.UNKNOWN, OutcomeStatus.NOT_ATTEMPTED}
    assert report.requests == requests


async def test_a_run_gives_up_after_its_patience() -> None:
    async with KatapultEmulator(disks=400, virtual_machines=50, limit=100_000) as emulator:
        async with (
            client_for(emulator, concurrency=8, patience=1.5) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await anext(outcomes)
            await emulator.stop()
            began = time.monotonic()
            rest = Counter([outcome.status async for outcome in outcomes])
            assert 1.5 <= time.monotonic() - began < 4
        assert isinstance(outcomes.report.stopped_by, NoAnswer)
        assert "has not answered for 1.5 s" in str(outcomes.report.stopped_by)
        assert rest[OutcomeStatus.FAILED] == 0
        assert rest[OutcomeStatus.NOT_ATTEMPTED] > 0


async def test_stop_ends_a_run_at_once_during_an_outage(caplog: pytest.LogCaptureFixture) -> None:
    async with KatapultEmulator(disks=400, virtual_machines=50, limit=100_000) as emulator:
        async with (
            client_for(emulator, concurrency=8) as client,
            client.disks.assign_each(pairs(emulator)) as outcomes,
        ):
            await anext(outcomes)
            await emulator.stop()
            taking = asyncio.create_task(_statuses(outcomes))
            await until_nobody_answers(caplog)
            outcomes.stop()
            with anyio.fail_after(5):
                rest = await taking
            assert client.session.gate.window.in_flight == 0
        assert outcomes.report.stopped_by is None
        assert rest[OutcomeStatus.FAILED] == 0


async def _statuses(outcomes: object) -> Counter[OutcomeStatus]:
    return Counter([outcome.status async for outcome in outcomes])  # type: ignore[attr-defined]


async def test_a_run_with_few_items_also_reports_that_nothing_responded() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        url = emulator.url
    async with Client("token", base_url=url, retry=QUICK) as client:
        report = await client.disks.assign_many(ITEMS[:1])
    assert report.counts == {OutcomeStatus.NOT_ATTEMPTED: 1}
    assert " has answered none of 6 requests: check the base URL. The last one: " in str(report.stopped_by)
    assert isinstance(report.stopped_by, NoAnswer)
    assert "no connection" in str(report.stopped_by.__cause__)


@pytest.mark.parametrize("patience", [-1.0, float("nan")])
def test_a_patience_that_makes_no_sense_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience must not be negative"):
        Client("token", patience=patience)


# -- lost first responses, and probes with an error ------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.RESET_AFTER, FaultKind.BAD_GATEWAY])
async def test_lost_responses_to_the_first_requests_cost_no_item(kind: FaultKind) -> None:
    """All requests in flight are lost. A probe reaches the API, and the disks are read back."""
    async with KatapultEmulator(disks=20, virtual_machines=20, limit=100_000) as emulator:
        items = pairs(emulator)
        emulator.faults.next(kind, 4, applies=True)
        async with client_for(emulator, concurrency=4) as client:
            report = await client.disks.assign_many(items)
        assert report.stopped_by is None
        assert report.counts == {OutcomeStatus.ASSIGNED: 20}
        assert_each_applied_once(emulator, items)


@pytest.mark.parametrize("code", ["invalid_api_token", "unauthorized_network_for_api_token"])
async def test_a_probe_with_a_refused_token_ends_the_run(code: str) -> None:
    refusal = json.dumps({"error": {"code": code, "description": "", "detail": {}}}).encode()
    bad = http(b"<html>", "Content-Type: text/html", status="502 Bad Gateway")

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            probe = request.startswith(b"GET /core/v1/disks/disk HTTP")
            writer.write(http(refusal, JSON, status="403 Forbidden") if probe else bad)
            await writer.drain()

    async with raw_server(handler) as url, Client("t", base_url=url, concurrency=4, retry=QUICK) as client:
        report = await client.disks.assign_many(ITEMS)
    assert report.stopped_by is not None
    assert getattr(report.stopped_by, "code", None) == code
    assert report.requests <= 8
