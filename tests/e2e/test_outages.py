"""Nobody answers, or somebody who is not the API: over real sockets."""

from __future__ import annotations

import asyncio
import time
from collections import Counter

import anyio
import pytest

from katapult_async import Assignment, Client, NoAnswer, OutcomeStatus, Timeout
from katapult_async.testing import FaultKind, KatapultEmulator
from tests.e2e.test_bulk import QUICK, assert_each_applied_once, client_for, pairs
from tests.raw_server import http, raw_server, read_request

ITEMS = [Assignment(f"disk_{number}", f"vm_{number % 500}") for number in range(1000)]


async def until_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
    with anyio.fail_after(10):
        while not any("in a row got no answer" in record.getMessage() for record in caplog.records):
            await asyncio.sleep(0.01)


async def test_a_server_that_is_restarted_costs_no_item(caplog: pytest.LogCaptureFixture) -> None:
    async with KatapultEmulator(disks=400, virtual_machines=50, limit=100_000, latency=0.01) as emulator:
        items = pairs(emulator)
        async with client_for(emulator, concurrency=16) as client:
            run = asyncio.create_task(client.disks.assign_many(items))
            while len(emulator.ledger.applied) < 50:
                await asyncio.sleep(0.001)
            await emulator.stop()
            await until_nobody_answers(caplog)
            await asyncio.sleep(1.2)  # longer than the first pause: a probe fails, too
            await emulator.start()
            back = time.monotonic()
            report = await run
        assert time.monotonic() - back < 4
        assert report.ok, str(report)
        assert report.counts == {OutcomeStatus.ASSIGNED: 400}
        assert_each_applied_once(emulator, items)


@pytest.mark.parametrize("kind", [FaultKind.BAD_GATEWAY, FaultKind.UNAVAILABLE, FaultKind.RESET_BEFORE])
async def test_a_proxy_or_an_api_that_is_not_available_costs_no_item(
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


NOT_THE_API = {
    "HTML": http(b"<html>hello</html>", "Content-Type: text/html"),
    "JSON of somebody else": http(b'{"status": "ok"}', "Content-Type: application/json"),
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
async def test_a_wrong_address_costs_at_most_twice_as_many_requests_as_are_in_flight(what: str) -> None:
    requests = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        while True:
            await read_request(reader)
            requests += 1
            writer.write(NOT_THE_API[what])

    # A 429 is answered by a pause, whoever sends it.
    concurrency = 4 if what == "HTML 429" else 32
    async with (
        raw_server(handler) as url,
        Client("token", base_url=url, retry=QUICK, rate_window=0.2, concurrency=concurrency) as client,
    ):
        with anyio.fail_after(30):
            report = await client.disks.assign_many(ITEMS)
    assert requests <= 2 * concurrency
    assert isinstance(report.stopped_by, NoAnswer)
    assert f"no answer of the API at {url}: check the base URL; the last one: " in str(report.stopped_by)
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


async def test_stop_ends_a_run_at_once_while_nobody_answers(caplog: pytest.LogCaptureFixture) -> None:
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
            with anyio.fail_after(0.5):
                rest = await taking
            assert client.session.gate.window.in_flight == 0
        assert outcomes.report.stopped_by is None
        assert rest[OutcomeStatus.FAILED] == 0


async def _statuses(outcomes: object) -> Counter[OutcomeStatus]:
    return Counter([outcome.status async for outcome in outcomes])  # type: ignore[attr-defined]


async def test_too_few_items_to_open_the_breaker_still_say_that_nobody_answered() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        url = emulator.url
    async with Client("token", base_url=url, retry=QUICK) as client:
        report = await client.disks.assign_many(ITEMS[:1])
    assert report.counts == {OutcomeStatus.FAILED: 1}
    assert str(report.stopped_by).startswith("5 requests in a row got no answer of the API at ")
    assert isinstance(report.stopped_by, NoAnswer)
    assert "no connection" in str(report.stopped_by.__cause__)


@pytest.mark.parametrize("patience", [-1.0, float("nan")])
def test_a_patience_that_makes_no_sense_is_refused(patience: float) -> None:
    with pytest.raises(ValueError, match="patience must not be negative"):
        Client("token", patience=patience)
