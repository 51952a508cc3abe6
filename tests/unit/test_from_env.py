"""`Client.from_env`: the environment applies where the code gives nothing."""

from __future__ import annotations

import pytest

from katapult_async import Client, SessionPool
from katapult_async.budget import BudgetError

TOKEN = "s3cret-token-9f8e7d"


@pytest.fixture(autouse=True)
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAPULT_API_KEY", TOKEN)
    for name in ("KATAPULT_BASE_URL", "KATAPULT_BUDGET"):
        monkeypatch.delenv(name, raising=False)


def test_the_base_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Client.from_env().base_url == "https://api.katapult.io/core/v1"
    monkeypatch.setenv("KATAPULT_BASE_URL", "https://variable.example/core/v1/")
    assert Client.from_env().base_url == "https://variable.example/core/v1"
    assert Client.from_env(base_url="https://code.example").base_url == "https://code.example"


def budget_of(client: Client) -> str:
    return repr(client._pool._budget)  # pyright: ignore[reportPrivateUsage] - it has no public face


def test_the_budget_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert budget_of(Client.from_env()) == "None"
    monkeypatch.setenv("KATAPULT_BUDGET", "file")
    assert budget_of(Client.from_env()).startswith("<FileBudget ")
    assert budget_of(Client.from_env(budget=None)) == "None"
    monkeypatch.setenv("KATAPULT_BUDGET", "none")
    assert budget_of(Client.from_env()) == "None"
    monkeypatch.setenv("KATAPULT_BUDGET", "redis://user:pa55word@host:1/0")
    assert budget_of(Client.from_env()) == "<RedisBudget redis://host:1/0>"
    assert budget_of(Client.from_env(budget="file")).startswith("<FileBudget ")


async def test_a_pool_has_its_own_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAPULT_BUDGET", "file")
    async with SessionPool() as pool:
        assert budget_of(Client.from_env(pool=pool)) == "None"


@pytest.mark.parametrize("name", ["KATAPULT_BASE_URL", "KATAPULT_BUDGET"])
def test_an_empty_variable_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, " ")
    with pytest.raises(ValueError, match=f"the environment variable {name} is empty"):
        Client.from_env()


def test_a_wrong_budget_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KATAPULT_BUDGET", "redis//:pa55word@host")
    with pytest.raises(ValueError, match="KATAPULT_BUDGET must be file, none, or redis://") as raised:
        Client.from_env()
    assert "pa55word" not in str(raised.value)
    monkeypatch.setenv("KATAPULT_BUDGET", "redis://user:pa55word@host:port")
    with pytest.raises(BudgetError) as failed:
        Client.from_env()
    assert "pa55word" not in str(failed.value)
