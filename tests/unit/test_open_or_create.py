"""Which run of a manifest is opened, and which is made anew, for programs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from katapult_async.jobs import (
    JournalExists,
    JournalLocked,
    JournalMismatch,
    Manifest,
    ManifestError,
    Run,
)
from katapult_async.jobs.location import location_for_rollback
from tests.unit.test_run_state import ASSIGNED, BEGUN, change


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.csv"
    path.write_text("disk,virtual_machine\ndisk_1,vm_1\n")
    return path


def test_a_new_run_lies_beside_its_manifest(plan: Path) -> None:
    with Run.open_or_create(plan, organization="acme", preflight=True, confirmed=False) as run:
        assert run.journal.path == plan.with_name("plan.csv.run")
        assert not run.resumed
        assert run.needs_preflight
        assert run.needs_confirmation
        assert run.info.organization == "acme"


def test_an_unfinished_run_is_opened_and_a_finished_one_is_left(plan: Path) -> None:
    first = plan.with_name("plan.csv.run")
    Run.open_or_create(plan).close()
    change(first, BEGUN)
    with Run.open_or_create(str(plan)) as run:
        assert run.resumed
        assert run.journal.path == first
    change(first, ASSIGNED)
    with Run.open_or_create(plan) as run:
        assert not run.resumed
        assert run.journal.path == plan.with_name("plan.csv.2.run")
    with pytest.raises(JournalExists, match="finished run"):
        Run.open_or_create(plan, run=first)


def test_a_run_from_which_nothing_was_sent_is_replaced(plan: Path) -> None:
    with Run.open_or_create(plan) as run:
        before = run.info.run_id
    with Run.open_or_create(plan, attach=True) as run:
        assert run.info.run_id != before
        assert run.info.attach


def test_an_open_manifest_and_a_named_journal(plan: Path, tmp_path: Path) -> None:
    with Manifest.from_items([("disk_1", "vm_1")]) as manifest:
        with Run.open_or_create(manifest, run=tmp_path / "named.run") as run:
            assert run.journal.path == tmp_path / "named.run"
        change(tmp_path / "named.run", BEGUN)
        with Run.open_or_create(manifest, run=tmp_path / "named.run") as run:
            assert run.resumed
        with pytest.raises(JournalMismatch, match="made without --attach"):
            Run.open_or_create(manifest, run=tmp_path / "named.run", attach=True)


def test_a_manifest_with_a_mistake_makes_no_run(plan: Path) -> None:
    plan.write_text("disk,virtual_machine\nvm_1,disk_1\n")
    with pytest.raises(ManifestError, match=r"plan\.csv:2: "):
        Run.open_or_create(plan)
    assert [path.name for path in plan.parent.iterdir()] == ["plan.csv"]


def test_a_run_that_is_being_executed_is_not_counted_for_a_rollback(plan: Path, tmp_path: Path) -> None:
    path = plan.with_name("plan.csv.run")
    with Run.open_or_create(plan):
        with pytest.raises(JournalLocked, match=r"process .* is executing .*Stop it there, then roll it"):
            location_for_rollback(path)
        with pytest.raises(JournalLocked):
            Run.open_or_create(plan)


def test_the_module_of_the_old_name_is_a_module() -> None:
    code = (
        "import katapult_async.jobs.plan, types; assert isinstance(katapult_async.jobs.plan, types.ModuleType);"
        "from katapult_async.jobs.plan import plan; from katapult_async.jobs import preview; assert plan is preview"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own
