"""What callers get wrong: each mistake is refused at once, in a sentence that says what to do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from katapult_async import (
    Assignment,
    BulkError,
    Client,
    Observer,
    RetryPolicy,
    SessionPool,
    Timeout,
)
from katapult_async.testing import KatapultEmulator
from tests.e2e.test_bulk import pairs

NAN, INFINITY = float("nan"), float("inf")


def test_a_name_that_a_client_does_not_have_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'Client' object has no attribute 'disk'"):
        getattr(Client("token"), "disk")  # noqa: B009
    assert not hasattr(Client("token"), "dsiks")


async def test_a_pool_is_entered_once_and_must_be_open() -> None:
    pool = SessionPool()
    with pytest.raises(RuntimeError, match="the SessionPool is not open: use it, and its clients, inside"):
        await Client("token", pool=pool).__aenter__()
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
        ("max_per_second", 1e-300, ValueError, "at least 1/86400, one request a day"),
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
    async with SessionPool() as pool:
        settings: dict[str, Any] = {setting: value}
        with pytest.raises(error, match="must be"):
            pool.session(
                "token", base_url="https://api.example", timeout=Timeout(), retry=RetryPolicy(), **settings
            )


class HalfAnObserver:
    def on_request(self, event: object) -> None: ...


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("timeout", 5, "timeout must be a Timeout, not 5: give Timeout(total=5)"),
        ("timeout", "5", "timeout must be a Timeout, not '5': give Timeout(total=60)"),
        ("timeout", Timeout, "timeout must be a Timeout, not Timeout: give Timeout(total=60)"),
        ("retry", 3, "retry must be a RetryPolicy, not 3: give RetryPolicy(attempts=3)"),
        ("retry", False, "retry must be a RetryPolicy, not False: give RetryPolicy(attempts=5)"),
        ("pool", "x", "pool must be a SessionPool, not 'x': give an open SessionPool"),
        ("observer", 3, "observer must be an Observer, not 3: subclass Observer"),
        ("observer", Observer, "observer must be an Observer, not the class Observer: pass Observer()"),
        ("base_url", None, "base_url must be text like https://api.katapult.io/core/v1, not None"),
        ("base_url", b"https://x", "base_url must be text like .*, not an object of type bytes"),
    ],
)
def test_a_setting_of_the_wrong_type_is_refused_when_the_client_is_made(
    setting: str, value: object, words: str
) -> None:
    pattern = words if ".*" in words else re.escape(words)
    with pytest.raises(TypeError, match=rf"^{pattern}$"):
        Client("token", **{setting: value})  # type: ignore[arg-type]


async def test_a_pool_and_a_session_refuse_settings_of_the_wrong_type() -> None:
    async with SessionPool() as pool:
        settings: dict[str, Any] = {
            "base_url": "https://api.example",
            "timeout": Timeout(),
            "retry": RetryPolicy(),
            "observer": None,
        }
        wrong: list[tuple[str, Any]] = [
            ("timeout", 5),
            ("retry", 3),
            ("observer", HalfAnObserver()),
            ("base_url", None),
        ]
        for setting, value in wrong:
            with pytest.raises(TypeError, match=f"^{setting} must be"):
                pool.session("token", **{**settings, setting: value})
        session = pool.session("token", **settings)
        with pytest.raises(TypeError, match=r"^observer must be"), session.watching(3):  # type: ignore[arg-type]
            pass


@pytest.mark.parametrize("token", [None, b"token", 7])
def test_a_token_that_is_no_text_is_refused_and_not_shown(token: Any) -> None:
    with pytest.raises(TypeError, match=r"^the API token must be text, not ") as caught:
        Client(token)
    assert "token'" not in str(caught.value)
    assert "7" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [
        ("attempts", 0, ValueError),
        ("attempts", 1.5, TypeError),
        ("attempts", "5", TypeError),
        ("attempts", True, TypeError),
        ("base", NAN, ValueError),
        ("base", -1, ValueError),
        ("cap", INFINITY, ValueError),
        ("cap", NAN, ValueError),
        ("total", INFINITY, ValueError),
        ("total", "120", TypeError),
        ("total", None, TypeError),
    ],
)
def test_a_retry_policy_that_makes_no_sense_is_refused(
    setting: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"^{setting} must be .*not {value!r}$"):
        RetryPolicy(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("setting", "value", "error"),
    [("total", 0, ValueError), ("total", "5", TypeError), ("connect", None, TypeError)],
)
def test_a_timeout_that_makes_no_sense_is_refused(
    setting: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error, match=f"^{setting} must be .*not {value!r}$"):
        Timeout(**{setting: value})  # type: ignore[arg-type]


def test_no_wait_between_tries_is_a_retry_policy() -> None:
    assert RetryPolicy(attempts=1, base=0, cap=0, total=0).attempts == 1


# -- items -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"disk": "disk_1", "virtual_machine": "vm_1"},
            "item 1: a mapping is not an item: give (row['disk'], row['virtual_machine'])",
        ),
        ({"disk_1", "vm_1"}, "item 1: a set is not an item: give (disk, virtual_machine)"),
        (None, "item 1: None is not an item: give (disk, virtual_machine)"),
        (7, "item 1: 7 is not an item: give (disk, virtual_machine)"),
        (b"disk_1", "item 1: an object of the type bytes is not an item: give (disk, virtual_machine)"),
        (("disk_1", "vm_1", "note"), "item 1: expected 2 fields (disk, virtual_machine), found 3"),
        ((), "item 1: expected 2 fields (disk, virtual_machine), found 0"),
        ("disk_1", "item 1: no virtual machine is given for disk_1"),
        (
            ("vm_1", "disk_1"),
            "item 1: vm_1 is a virtual machine, not a disk: give the disk first, then the virtual machine",
        ),
        (
            ["disk_1", "disk_2"],
            "item 1: disk_2 is a disk, not a virtual machine: give the disk first, then the virtual machine",
        ),
    ],
)
async def test_an_item_that_is_none_is_named_and_costs_no_request(item: Any, words: str) -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            with pytest.raises(BulkError) as caught:
                await client.disks.assign_many([item] * 3)
    assert str(caught.value.__cause__) == words
    assert emulator.ledger.total == 0


async def test_an_item_may_be_a_list() -> None:
    async with KatapultEmulator(disks=1, virtual_machines=1) as emulator:
        items: list[Any] = [[emulator.disk_ids[0], emulator.virtual_machine_ids[0]]]
        async with Client("token", base_url=emulator.url) as client:
            assert (await client.disks.assign_many(items)).ok
            assert (await client.disks.unassign_many([(emulator.disk_ids[0],)])).ok  # type: ignore[list-item]


async def test_a_mapping_for_an_action_that_needs_no_machine_says_so() -> None:
    async with KatapultEmulator(disks=1) as emulator, Client("token", base_url=emulator.url) as client:
        rows: list[Any] = [{"disk": "disk_1"}]
        with pytest.raises(BulkError, match=r"a mapping is not an item: give row\['disk'\]"):
            await client.disks.unassign_many(rows)


@pytest.mark.parametrize("prefix", ["vm", "task", "org", "diop", "loc", "dc", "trsh"])
def test_the_id_of_another_kind_is_not_a_disk(prefix: str) -> None:
    with pytest.raises(ValueError, match=f"^{prefix}_1 is an? .*, not a disk: give the disk first"):
        Assignment(f"{prefix}_1", "vm_1")


def test_the_name_of_a_machine_may_begin_like_the_id_of_a_disk() -> None:
    assert Assignment("disk_1", "disk_1.example").virtual_machine == "disk_1.example"


@pytest.mark.parametrize("items", ["disk_1", b"disk_1", None, 7, Assignment("disk_1", "vm_1")])
async def test_an_input_that_is_not_an_iterable_of_items_is_refused_at_once(items: Any) -> None:
    async with KatapultEmulator(disks=1) as emulator, Client("token", base_url=emulator.url) as client:
        with pytest.raises(TypeError, match=r"^expected an iterable of items, not .*: give for example \["):
            client.disks.assign_each(items)
        with pytest.raises(TypeError, match=r"^expected an iterable of items, not .*: give for example \["):
            await client.disks.unassign_many(items)


async def test_assigning_one_disk_needs_a_machine() -> None:
    async with KatapultEmulator(disks=1) as emulator, Client("token", base_url=emulator.url) as client:
        with pytest.raises(ValueError, match=r"^no virtual machine is given for disk_1$"):
            await client.disks.assign("disk_1", None)  # type: ignore[arg-type]
        assert client.disks.assign_each([]).pulled == 0
