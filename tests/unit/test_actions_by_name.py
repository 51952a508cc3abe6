"""The actions that durable runs find by name."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from katapult_async.bulk import Action
from katapult_async.jobs.manifest.item_rows import ItemRows
from katapult_async.resources import actions
from katapult_async.resources.actions import ACTION_NAMES, action_named, by_name


def test_each_action_is_found_by_its_name() -> None:
    assert {action_named(name).name for name in ACTION_NAMES} == set(ACTION_NAMES)
    assert action_named("change-io-profile").name == "change_io_profile"


def test_each_run_that_creates_disks_has_an_action_of_its_own() -> None:
    assert action_named("create") is not action_named("create")


def test_an_unknown_action_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there is no action 'explode': choose one of unassign, attach"):
        action_named("explode")


def test_two_actions_with_one_name_are_an_error() -> None:
    action = action_named("delete")
    with pytest.raises(ValueError, match="two actions have the name delete"):
        by_name([action, action])


def test_a_machine_is_what_a_line_is_about_also_where_its_item_has_a_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two machines may get the same name."""

    @dataclass(frozen=True)
    class Rename:
        virtual_machine: str
        name: str

    async def send(_session: object, item: Rename, _meter: object) -> tuple[Rename, None]:
        return item, None

    monkeypatch.setattr(actions, "_KNOWN", {"rename": Action("rename", Rename, send)})
    line = ItemRows("rename").line_of(2, {"virtual_machine": "vm_1", "name": "same"})
    assert (line.disk, line.virtual_machine) == ("", "vm_1")
