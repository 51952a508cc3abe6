"""The emulator over real sockets: its responses, its faults, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp
import pytest

from katapult_async import Client, RetryPolicy, ServerError
from katapult_async.testing import Answers, Counting, FaultKind, Faults, KatapultEmulator, pytest_plugin
from tests.caller import MOMENT, ORGANIZATION, Answer, calling

# Known to pytest also where the package is imported without being installed.
katapult_emulator = pytest_plugin.katapult_emulator


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0)


async def test_assigning_over_the_wire() -> None:
    async with calling() as caller:
        answer = await caller.assign()
        disk = caller.emulator.world.disks[caller.emulator.disk_ids[0]]
        assert answer.status == 200
        assert answer.body["disk"]["id"] == disk.id
        assert disk.virtual_machine == caller.emulator.virtual_machine_ids[0]
        assert caller.emulator.ledger.applied_count(disk.id) == 1


async def test_every_answer_carries_its_headers() -> None:
    async with calling(limit=2) as caller:
        answers = [await caller.assign() for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 422, 429]
    assert [answer.headers["X-Ratelimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["X-Ratelimit-Permitted"] for answer in answers} == {"2"}
    assert [answer.headers.get("X-Api-Schema") for answer in answers] == [None, "json-error", "json-error"]
    assert all(re.fullmatch(r"[0-9a-f-]{36}", answer.headers["X-Request-Id"]) for answer in answers)
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 3
    assert parsedate_to_datetime(answers[0].headers["Date"]).timestamp() == MOMENT


async def test_the_date_follows_the_servers_clock() -> None:
    async with calling(clock_offset=7.9) as caller:
        dates = list[float]()
        for caller.time in (MOMENT, MOMENT + 0.05, MOMENT + 0.1):
            answer = await caller.assign()
            dates.append(parsedate_to_datetime(answer.headers["Date"]).timestamp() - MOMENT)
    assert dates == [7, 7, 8]


async def test_a_refusal_by_the_limiter() -> None:
    async with calling(limit=1) as caller:
        await caller.assign()
        answer = await caller.assign(1)
        assert (answer.status, answer.code) == (429, "rate_limit_reached")
        assert answer.body["error"]["detail"] == {"total_permitted": 1}
        assert "Retry-After" not in answer.headers
        assert caller.emulator.ledger.refusals == 1
        caller.time += 60.0
        assert (await caller.assign(1)).status == 200


async def test_options_of_refusals() -> None:
    form = Answers(
        headers_on_429=False,
        retry_after=True,
        absurd_429_details=[-1, "many", "missing"],
        description_null=True,
        flat_errors=True,
    )
    async with calling(limit=0, answers=form) as caller:
        answers = [await caller.assign() for _ in range(4)]
    details = [answer.body["detail"] for answer in answers]
    assert details == [{"total_permitted": -1}, {"total_permitted": "many"}, {}, {"total_permitted": -1}]
    assert all(answer.body["description"] is None for answer in answers)
    # Nothing is ever permitted, so there is no time to name.
    assert not {"X-Ratelimit-Remaining", "Retry-After"} & set(answers[0].headers)


async def test_retry_after_says_the_true_seconds_or_any_others() -> None:
    async with calling(limit=1, answers=Answers(retry_after=True)) as caller:
        await caller.assign()
        caller.time += 17.5
        assert (await caller.assign()).headers["Retry-After"] == "43"
        caller.emulator.form.retry_after = 5
        assert (await caller.assign()).headers["Retry-After"] == "5"


async def test_headers_can_be_kept_back() -> None:
    async with calling(answers=Answers(headers=False)) as caller:
        assert "X-Ratelimit-Remaining" not in (await caller.assign()).headers


async def test_each_token_has_a_counter_of_its_own() -> None:
    async with calling(limit=1, tokens=("one", "two")) as caller:
        statuses = [(await caller.assign(token=token)).status for token in ("one", "two", "one", "two")]
    assert statuses == [200, 422, 429, 429]


async def test_somebody_else_and_a_changed_limit_draw_on_the_same_counter() -> None:
    async with calling(limit=10) as caller:
        assert caller.emulator.foreign(12) == 10
        assert (await caller.assign()).status == 429
        caller.emulator.set_limit(12)
        answer = await caller.assign()
        assert (answer.status, answer.headers["X-Ratelimit-Remaining"]) == (200, "1")
        assert caller.emulator.limit == 12


async def test_types_of_requests_can_be_counted_apart() -> None:
    async with calling(counting=Counting(limit=1, per_type=True)) as caller:
        read = f"/disks/disk?disk[id]={caller.emulator.disk_ids[0]}"
        statuses = [(await caller.assign()).status, (await caller.assign()).status]
        statuses += [(await caller.ask("GET", read)).status, (await caller.ask("GET", read)).status]
        caller.emulator.set_limit(2)
        statuses.append((await caller.ask("GET", read)).status)
    assert statuses == [200, 429, 200, 429, 200]


async def test_tokens_and_what_they_may() -> None:
    async with calling() as caller:
        token = caller.emulator.tokens["token"]
        seen = list[tuple[int, str, Any]]()

        async def note(answer: Answer) -> None:
            seen.append((answer.status, answer.code, answer.body["error"]["detail"]))

        await note(await caller.assign(token=None))
        await note(await caller.assign(token="wrong"))
        token.scopes = frozenset({"disks:read"})
        await note(await caller.assign())
        token.scopes, token.refused_network = None, "192.0.2.1"
        await note(await caller.assign())
        token.refused_network = None
        caller.emulator.world.denied.add(caller.emulator.disk_ids[0])
        await note(await caller.assign())
        assert "token" not in repr(token).lower().removeprefix("token(")
    assert [entry[:2] for entry in seen] == [
        (400, "missing_api_token"),
        (403, "invalid_api_token"),
        (403, "scope_not_granted"),
        (403, "unauthorized_network_for_api_token"),
        (403, "permission_denied"),
    ]
    assert seen[2][2] == {"scopes": ["disks"]}
    assert seen[3][2] == {"ip_address": "192.0.2.1"}


async def test_requests_that_make_no_sense() -> None:
    async with calling() as caller:
        answers = [
            await caller.ask("GET", "/nowhere"),
            await caller.ask("POST", "/disks/disk/assign", b"{"),
            await caller.ask("POST", "/disks/disk/assign", b"[]"),
            await caller.ask("POST", "/disks/disk/assign", b"\xff"),
            await caller.ask("POST", "/disks/disk/assign"),
            await caller.ask("GET", "/disks/disk?disk=x&disk[id]=y"),
            await caller.ask("GET", "/../v2/disks"),
        ]
    assert [(answer.status, answer.code) for answer in answers] == [
        (404, "route_not_found"),
        (400, "invalid_json_body"),
        (400, "missing_required_argument"),
        (400, "invalid_json_body"),
        (400, "missing_required_argument"),
        (400, "invalid_argument"),
        (404, "route_not_found"),
    ]
    assert answers[4].body["error"]["detail"]["path"] == ["virtual_machine"]


async def test_pages() -> None:
    async with calling(disks=201) as caller:
        path = f"/organizations/organization/disks?{ORGANIZATION}"
        first = (await caller.ask("GET", path)).body
        last = (await caller.ask("GET", path + "&page=2&per_page=200")).body
    assert first["pagination"] == {
        "current_page": 1,
        "total_pages": 7,
        "total": 201,
        "per_page": 30,
        "large_set": False,
    }
    assert len(first["disk"]) == 30
    assert last["pagination"]["per_page"] == 200
    assert [disk["id"] for disk in last["disk"]] == caller.emulator.disk_ids[200:]


async def test_a_large_set_keeps_its_totals_to_itself() -> None:
    async with calling(disks=40, large_set=True) as caller:
        path = f"/organizations/organization/disks?{ORGANIZATION}&page=2"
        answer = await caller.ask("GET", path)
    assert answer.body["pagination"] == {
        "current_page": 2,
        "total_pages": None,
        "total": None,
        "per_page": 30,
        "large_set": True,
    }
    assert len(answer.body["disk"]) == 10


async def test_creating_is_answered_with_201() -> None:
    async with calling() as caller:
        properties = {"name": "x", "size_in_gb": 5, "data_center": {"permalink": "em-one-01"}}
        body = {"organization": {"sub_domain": "acme"}, "properties": properties}
        answer = await caller.ask("POST", "/organizations/organization/disks", body)
    assert (answer.status, answer.body["annotations"]) == (201, [])


@pytest.mark.parametrize(("kind", "applied"), [("reset_before", 0), ("reset_after", 1)])
async def test_resets(kind: str, applied: int) -> None:
    async with calling() as caller:
        caller.emulator.faults.next(kind)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.assign()
        ledger = caller.emulator.ledger
        assert ledger.applied_count(caller.emulator.disk_ids[0]) == applied
        assert ledger.by_fault == {kind: 1}
        assert ledger.arrivals[0].status is None
        assert (await caller.assign(1)).status == 200


@pytest.mark.parametrize(("kind", "applied"), [("timeout_before", 0), ("timeout_after", 1)])
async def test_requests_that_are_never_answered(kind: str, applied: int) -> None:
    async with calling() as caller:
        caller.emulator.faults.next(kind)
        hanging = asyncio.create_task(caller.assign())
        ledger = caller.emulator.ledger
        await until(lambda: ledger.in_flight == 1)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        # The client hung up, so the request is over for the server as well.
        await until(lambda: ledger.in_flight == 0)
        assert ledger.applied_count(caller.emulator.disk_ids[0]) == applied


async def test_a_request_that_hangs_is_cut_off_in_the_end() -> None:
    async with calling(faults=Faults(hang=0.01)) as caller:
        caller.emulator.faults.next(FaultKind.TIMEOUT_BEFORE)
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.assign()


@pytest.mark.parametrize("applies", [False, True])
@pytest.mark.parametrize(
    ("kind", "status"),
    [("bad_gateway", 502), ("empty_504", 504), ("server_error", 500)],
)
async def test_errors_that_do_not_say_whether_the_request_took_effect(
    kind: str, status: int, *, applies: bool
) -> None:
    async with calling() as caller:
        caller.emulator.faults.next(kind, applies=applies)
        answer = await caller.assign()
        assert answer.status == status
        assert "X-Request-Id" in answer.headers
        assert ("X-Ratelimit-Remaining" in answer.headers) is (kind == "server_error")
        assert caller.emulator.ledger.applied_count(caller.emulator.disk_ids[0]) == applies
    if kind == "bad_gateway":
        assert answer.headers["Content-Type"].startswith("text/html")
    elif kind == "empty_504":
        assert answer.body == ""
    else:
        assert (answer.code, answer.body["error"]["detail"]) == ("unhandled_exception", {})


async def test_unavailable_is_not_applied() -> None:
    async with calling() as caller:
        caller.emulator.faults.next("unavailable")
        answer = await caller.assign()
        assert (answer.status, answer.code) == (503, "service_unavailable")
        assert not caller.emulator.ledger.applied


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("truncated", aiohttp.ClientPayloadError),
        ("invalid_json", json.JSONDecodeError),
        ("non_utf8", UnicodeDecodeError),
    ],
)
async def test_answers_that_cannot_be_read_although_the_request_took_effect(
    kind: str, error: type[Exception]
) -> None:
    async with calling() as caller:
        caller.emulator.faults.next(kind)
        with pytest.raises(error):
            await caller.assign()
        assert caller.emulator.ledger.applied_count(caller.emulator.disk_ids[0]) == 1
        assert caller.emulator.ledger.by_status == {200: 1}


async def test_refusals_by_the_limiter_are_spared_by_faults() -> None:
    async with calling(limit=0, faults=Faults(reset_before=1.0)) as caller:
        assert (await caller.assign()).status == 429


async def test_a_client_that_hangs_up_does_not_take_its_request_back() -> None:
    async with calling(latency=3600.0) as caller:
        hanging = asyncio.create_task(caller.assign())
        ledger = caller.emulator.ledger
        await until(lambda: ledger.in_flight == 1)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await until(lambda: ledger.in_flight == 0)
        assert ledger.applied_count(caller.emulator.disk_ids[0]) == 1


async def test_latency_lets_requests_overlap() -> None:
    async with calling(latency=(0.01, 0.02)) as caller:
        await asyncio.gather(*(caller.assign(number, number % 2) for number in range(8)))
        ledger = caller.emulator.ledger
    assert (ledger.max_in_flight, ledger.max_in_flight_per_virtual_machine) == (8, 4)


async def test_requests_about_a_disk_are_in_flight_on_its_machine() -> None:
    async with calling() as caller:
        machine = caller.emulator.world.virtual_machines[caller.emulator.virtual_machine_ids[0]]
        disk = {"id": caller.emulator.disk_ids[0]}
        await caller.ask(
            "POST", "/disks/disk/assign", {"disk": disk, "virtual_machine": {"fqdn": machine.fqdn}}
        )
        await caller.ask("POST", "/disks/disk/attach", {"disk": disk})
        arrivals = caller.emulator.ledger.arrivals
    assert {arrival.virtual_machine for arrival in arrivals} == {machine.id}


async def test_stopping_is_prompt_while_requests_hang() -> None:
    loop = asyncio.get_running_loop()
    async with calling(latency=3600.0) as caller:
        requests = [asyncio.create_task(caller.assign(number)) for number in range(5)]
        await until(lambda: caller.emulator.ledger.in_flight == 5)
        began = loop.time()
        await caller.emulator.stop()
        assert loop.time() - began < 0.5
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert all(isinstance(result, aiohttp.ClientConnectionError) for result in results)
        assert caller.emulator.ledger.in_flight == 0
        assert not caller.emulator.ledger.applied


async def test_starting_and_stopping() -> None:
    emulator = KatapultEmulator()
    assert "stopped" in repr(emulator)
    await emulator.stop()
    async with emulator:
        assert str(emulator.port) in emulator.url
        assert str(emulator.port) in repr(emulator)
        with pytest.raises(RuntimeError):
            await emulator.start()
        second = KatapultEmulator(port=emulator.port)
        with pytest.raises(OSError, match=str(emulator.port)):
            await second.start()
    async with emulator:
        assert emulator.port


async def test_the_fixture_is_a_started_emulator(
    katapult_emulator: KatapultEmulator,
) -> None:
    assert katapult_emulator.port > 0


def test_the_plugin_costs_no_import_of_the_server() -> None:
    code = (
        "import sys, katapult_async.testing.pytest_plugin; "
        "assert 'aiohttp' not in sys.modules; "
        "from katapult_async.testing import KatapultEmulator"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code


def test_the_package_has_no_other_names() -> None:
    import katapult_async.testing as package

    assert sorted(package.__all__) == package.__all__
    assert all(getattr(package, name) is not None for name in package.__all__)
    with pytest.raises(AttributeError):
        package.nothing  # noqa: B018


async def test_an_error_in_a_script_of_faults_is_raised_at_the_end() -> None:
    """A client sees only a 500, which a test may expect for other reasons."""

    def mistyped(_: object) -> FaultKind:
        raise AttributeError("SERVICE_UNAVAILABLE")

    with pytest.raises(AttributeError, match="SERVICE_UNAVAILABLE"):
        async with KatapultEmulator() as emulator:
            emulator.faults.script(mistyped)
            async with Client("token", base_url=emulator.url, retry=RetryPolicy(attempts=1)) as client:
                with pytest.raises(ServerError):
                    await client.disks.get(emulator.disk_ids[0])
