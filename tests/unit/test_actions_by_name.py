"""The actions that durable runs find by name."""

from __future__ import annotations

import pytest

from katapult_async.resources.actions import ACTION_NAMES, action_named


def test_each_action_is_found_by_its_name() -> None:
    assert {action_named(name).name for name in ACTION_NAMES} == set(ACTION_NAMES)
    assert action_named("change-io-profile").name == "change_io_profile"


def test_each_run_that_creates_disks_has_an_action_of_its_own() -> None:
    assert action_named("create") is not action_named("create")


def test_an_unknown_action_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there is no action 'explode': choose one of unassign, attach"):
        action_named("explode")
