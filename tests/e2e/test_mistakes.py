"""What callers get wrong: each mistake is refused at once, in a sentence that says what to do."""

from __future__ import annotations

from typing import Any

import pytest

from katapult_async import Client, SessionPool
from katapult_async.testing import KatapultEmulator
from tests.e2e.test_bulk import pairs

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize("endpoint", ["disks", "virtual_machines", "tasks", "io_profiles", "session"])
def test_a_client_that_is_not_open_says_to_use_async_with(endpoint: str) -> None:
    with pytest.raises(RuntimeError, match=r"^the Client is not open: use it inside 'async with'$"):
        getattr(Client("token"), endpoint)


def test_a_name_that_a_client_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Client' object has no attribute 'disk'"):
        getattr(Client("token"), "disk")  # noqa: B009
    assert not hasattr(Client("token"), "dsiks")


async def test_a_client_is_entered_once_at_a_time() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        async with SessionPool() as pool:
            alone = Client("token", base_url=emulator.url)
            for client in (alone, Client("token", base_url=emulator.url, pool=pool)):
                for _ in range(2):
                    async with client:
                        with pytest.raises(RuntimeError, match="this Client is already open: enter it once"):
                            await client.__aenter__()
                        assert (await client.disks.get(emulator.disk_ids[0])).id == emulator.disk_ids[0]


async def test_a_pool_is_entered_once_and_must_be_open() -> None:
    pool = SessionPool()
    with pytest.raises(RuntimeError, match="the SessionPool is not open: use it, and its clients, inside"):
        Client("token", pool=pool)
    async with pool:
        with pytest.raises(RuntimeError, match="this SessionPool is already open: enter it once"):
            await pool.__aenter__()


@pytest.mark.parametrize("make", [lambda: Client("token"), SessionPool])
def test_another_event_loop_than_asyncios_is_refused(make: Any) -> None:
    """No event loop of asyncio runs here, as under trio."""
    entering = make().__aenter__()
    with pytest.raises(RuntimeError, match=r"^katapult_async needs asyncio: it does not run on trio"):
        entering.send(None)


async def test_a_run_is_iterated_inside_its_block() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            run = client.disks.assign_each(pairs(emulator))
            with pytest.raises(RuntimeError, match=r"the run has not started: iterate inside 'async with"):
                async for _ in run:
                    pass
            with pytest.raises(RuntimeError, match="the run has not started: stop it inside"):
                run.stop()
            assert emulator.ledger.total == 0
            async with run as outcomes:
                assert [outcome.ok async for outcome in outcomes] == [True]
                assert [outcome.ok async for outcome in outcomes] == []
            with pytest.raises(
                RuntimeError, match="the run has ended: iterate inside its 'async with' block"
            ):
                await anext(run)
            with pytest.raises(RuntimeError, match="a run can be entered only once: make another one"):
                async with run:
                    pass
            assert run.report.ok


@pytest.mark.parametrize(
    ("setting", "value", "error", "words"),
    [
        ("max_per_second", INFINITY, ValueError, "positive and finite"),
        ("max_per_second", NAN, ValueError, "positive and finite"),
        ("max_per_second", 0, ValueError, "positive and finite"),
        ("max_per_second", "10", TypeError, "number of requests per second"),
        ("rate_window", NAN, ValueError, "positive and finite"),
        ("rate_window", INFINITY, ValueError, "positive and finite"),
        ("rate_window", 0, ValueError, "positive and finite"),
        ("rate_window", -60, ValueError, "positive and finite"),
        ("rate_window", "60", TypeError, "number of seconds"),
        ("rate_window", None, TypeError, "number of seconds"),
        ("total_permitted", True, TypeError, "integer"),
        ("total_permitted", 1000.0, TypeError, "integer"),
        ("total_permitted", "1000", TypeError, "integer"),
        ("total_permitted", 0, ValueError, "at least 1"),
        ("concurrency", 2.5, TypeError, "integer"),
        ("concurrency", True, TypeError, "integer"),
        ("concurrency", "32", TypeError, "integer"),
        ("concurrency", 0, ValueError, "at least 1"),
        ("per_virtual_machine", 1.0, TypeError, "integer"),
        ("per_virtual_machine", 0, ValueError, "at least 1"),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused_when_the_client_is_made(
    setting: str, value: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=f"^{setting} must be .*{words}.*not {value!r}"):
        Client("token", **{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("period", NAN, ValueError),
        ("total_permitted", 1.5, TypeError),
        ("total_permitted", 0, ValueError),
        ("max_per_second", INFINITY, ValueError),
    ],
)
async def test_a_pool_refuses_the_same_settings(setting: str, value: object, error: type[Exception]) -> None:
    from katapult_async import RetryPolicy, Timeout

    async with SessionPool() as pool:
        settings: dict[str, Any] = {setting: value}
        with pytest.raises(error, match="must be"):
            pool.session(
                "token", base_url="https://api.example", timeout=Timeout(), retry=RetryPolicy(), **settings
            )
