"""A bulk run in OpenTelemetry: each request has a span under the caller's, and no secret leaks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator

import pytest
from opentelemetry.trace import StatusCode

from katapult_async import Client, NotFound, RetryPolicy
from katapult_async.testing import Counting, Fault, FaultKind, KatapultEmulator
from tests.telemetry import Telemetry, attributes_of

TOKEN = "s3cret-token-of-the-tests"


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    telemetry = Telemetry()
    yield telemetry
    telemetry.close()


def client_for(emulator: KatapultEmulator, telemetry: Telemetry) -> Client:
    return Client(
        TOKEN,
        base_url=emulator.url,
        retry=RetryPolicy(base=0.001, cap=0.01),
        observer=telemetry.observer,
        rate_window=1.0,
    )


async def test_a_bulk_run_with_a_429_a_500_a_reset_and_retries(telemetry: Telemetry) -> None:
    async with KatapultEmulator(
        disks=12,
        virtual_machines=4,
        tokens=[TOKEN],
        counting=Counting(limit=100, period=1.0, limiter="fixed"),
    ) as emulator:
        machines = emulator.virtual_machine_ids
        pairs = [(disk, machines[number % 4]) for number, disk in enumerate(emulator.disk_ids)]
        emulator.foreign(100)  # the window is used up without the client's knowledge
        once = {
            emulator.disk_ids[0]: Fault(FaultKind.SERVER_ERROR, applies=False),
            emulator.disk_ids[5]: Fault(FaultKind.RESET_BEFORE, applies=False),
            emulator.disk_ids[11]: Fault(FaultKind.UNAVAILABLE, applies=False),
        }
        emulator.faults.script(lambda arrival: once.pop(arrival.disk or "", None))
        async with client_for(emulator, telemetry) as client:
            with telemetry.tracer.start_as_current_span("my run"):
                report = await client.disks.assign_many([*pairs, ("disk_none", machines[0])])
    assert len(report.failures) == 1
    assert report.rate_limited >= 1
    assert not once

    spans = telemetry.requests
    assert len(spans) == emulator.ledger.total == report.requests
    assert telemetry.under("my run") == spans
    types = Counter(attributes_of(span).get("error.type") for span in spans)
    assert types["429"] == report.rate_limited
    assert (types["500"], types["503"], types["ConnectionLost"], types["404"]) == (1, 1, 1, 1)
    for span in spans:
        attributes = attributes_of(span)
        assert span.name in {"POST /disks/disk/assign", "GET /disks/disk"}
        assert (span.status.status_code is StatusCode.ERROR) == ("error.type" in attributes)
        assert (attributes["server.address"], attributes["server.port"]) == ("127.0.0.1", emulator.port)
        assert ("katapult.request_id" in attributes) == ("http.response.status_code" in attributes)
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time < span.end_time
    assert {attributes_of(span).get("katapult.error_code") for span in spans} == {
        None,
        "rate_limit_reached",
        "unhandled_exception",
        "service_unavailable",
        "disk_not_found",
    }

    metrics = telemetry.metrics()
    assert sum(point.count for _, point in metrics["http.client.request.duration"]) == len(spans)
    assert 0 < sum(point.sum for _, point in metrics["katapult.client.rate_limit.waits"]) < 5
    ((_, remaining),) = metrics["katapult.client.rate_limit.remaining"]
    assert 0 <= remaining.value < 100
    retries = {a["katapult.error_code"]: (a, p) for a, p in metrics["katapult.client.retries"]}
    assert {code: point.value for code, (_, point) in retries.items()} == {
        "unhandled_exception": 1,
        "service_unavailable": 1,
        "ConnectionLost": 1,
    }
    assert {attributes["katapult.operation"] for attributes, _ in retries.values()} == {"assign"}
    assert {a["katapult.status"]: p.value for a, p in metrics["katapult.client.outcomes"]} == {
        "assigned": 12,
        "failed": 1,
    }
    assert TOKEN not in telemetry.everything()


async def test_the_parent_of_a_request_is_the_span_of_its_call(telemetry: Telemetry) -> None:
    async with KatapultEmulator(disks=4, virtual_machines=2, tokens=[TOKEN]) as emulator:
        here = emulator.virtual_machine_ids[0]
        one, two, three, four = emulator.disk_ids

        async def assign_under(name: str, disk: str) -> None:
            with telemetry.tracer.start_as_current_span(name):
                await client.disks.assign(disk, here)

        async with client_for(emulator, telemetry) as client:
            await asyncio.gather(assign_under("one", one), assign_under("two", two))
            with telemetry.tracer.start_as_current_span("entered"):
                run = client.disks.assign_each([(three, here), (four, here)])
                async with run:
                    with telemetry.tracer.start_as_current_span("read"):
                        assert [outcome.ok async for outcome in run] == [True, True]
            with pytest.raises(NotFound):
                await client.disks.get("disk_none")
    assert [len(telemetry.under(name)) for name in ("one", "two", "entered", "read")] == [1, 1, 2, 0]
    assert [span.name for span in telemetry.requests if span.parent is None] == ["GET /disks/disk"]


async def test_neither_the_query_nor_a_body_is_in_an_attribute(telemetry: Telemetry) -> None:
    async with KatapultEmulator(disks=1, tokens=[TOKEN]) as emulator:
        async with client_for(emulator, telemetry) as client:
            with pytest.raises(NotFound):
                _ = [disk async for disk in client.disks.list(organization="nobody-knows")]
            await client.disks.update(emulator.disk_ids[0], name="only-we-know")
    listed, updated = telemetry.requests
    assert attributes_of(listed)["url.full"] == f"{emulator.url}/organizations/organization/disks"
    assert attributes_of(updated)["url.full"] == f"{emulator.url}/disks/disk"
    for secret in ("nobody-knows", "only-we-know", emulator.disk_ids[0], TOKEN):
        assert secret not in telemetry.everything()
