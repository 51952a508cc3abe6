"""The public face: complete, sorted, lazily imported, and the names that were promised."""

from __future__ import annotations

import importlib
import importlib.metadata
import subprocess
import sys

import pytest

import katapult_async
import katapult_async.errors

PUBLIC = [
    "katapult_async",
    "katapult_async.budget",
    "katapult_async.jobs",
    "katapult_async.load",
    "katapult_async.models",
    "katapult_async.otel",
    "katapult_async.ratelimit",
    "katapult_async.resources",
    "katapult_async.bulk",
    "katapult_async.testing",
    "katapult_async.transport",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_sorted_and_every_name_is_there(name: str) -> None:
    module = importlib.import_module(name)
    names: list[str] = module.__all__
    assert names == sorted(names)
    assert len(names) == len(set(names))
    for public in names:
        assert getattr(module, public) is not None


#: All that the top level promises, besides the errors.
PROMISED = {
    *("Client", "ClientSettings", "SessionPool", "RetryPolicy", "Timeout", "Operation"),
    *("Assignment", "Outcome", "OutcomeStatus", "Outcomes", "BulkReport", "BulkError"),
    *("Action", "read_with", "send_with"),
    *(
        "BudgetEvent",
        "BudgetProcess",
        "Observer",
        "OutcomeEvent",
        "RequestEvent",
        "RetryEvent",
        "StepEvent",
        "WaitEvent",
    ),
    *("Disk", "Task", "VirtualMachine"),
    "__version__",
}


def test_the_top_level_has_the_promised_names_and_all_errors() -> None:
    every_error = {
        name
        for name, value in vars(katapult_async.errors).items()
        if isinstance(value, type) and issubclass(value, katapult_async.KatapultError)
    }
    assert set(katapult_async.__all__) == PROMISED | every_error | {"BudgetError"}
    assert "RouteNotFound" in every_error
    assert set(katapult_async.__all__) <= set(dir(katapult_async))


OLD_NAMES_OF_JOBS = {
    "Found": "Finding",
    "FoundLine": "LineFinding",
    "Second": "TimelineSecond",
    "Session": "RunSession",
    "ToTakeBack": "RollbackScope",
    "Waited": "TimelineWait",
    "to_take_back": "rollback_scope",
}


def test_the_old_name_of_bulk_runs_warns_and_is_the_new_one() -> None:
    resources = importlib.import_module("katapult_async.resources")
    with pytest.warns(DeprecationWarning, match="Runs is called BulkRuns"):
        assert resources.Runs is resources.BulkRuns


@pytest.mark.parametrize(("old", "new"), OLD_NAMES_OF_JOBS.items())
def test_an_old_name_of_jobs_warns_and_is_the_new_one(old: str, new: str) -> None:
    jobs = importlib.import_module("katapult_async.jobs")
    with pytest.warns(DeprecationWarning, match=f"{old} is called {new}"):
        assert getattr(jobs, old) is getattr(jobs, new)


def test_the_old_place_of_preview_warns() -> None:
    plan = importlib.import_module("katapult_async.jobs.plan")
    with pytest.warns(DeprecationWarning, match="preview"):
        assert plan.plan is importlib.import_module("katapult_async.jobs").preview
    with pytest.raises(AttributeError, match="nonsense"):
        plan.nonsense  # noqa: B018


MOVED = {
    "ratelimit": ["Priority"],
    "observer": ["Observers"],
    "errors": ["Execution"],
    "bulk": ["Contradiction", "ReadBack", "Recorder", "Start", "Words"],
    "resources": ["DiskUpdate", "IOProfileChange", "Machine", "NewDisk", "Resize"],
    "models": [
        *("AttachedDisk", "AttachmentState", "BusType", "DataCenter", "DiskState", "FileSystem"),
        *("IOProfile", "ResizeMethod", "StorageSpeed", "TaskStatus", "TrashObject", "VirtualMachineDisk"),
        *("VirtualMachineReference", "VirtualMachineState"),
    ],
}


@pytest.mark.parametrize(("package", "name"), [(p, name) for p, names in MOVED.items() for name in names])
def test_a_name_that_has_moved_still_works_and_warns(package: str, name: str) -> None:
    assert name not in katapult_async.__all__
    with pytest.warns(DeprecationWarning, match=f"is now katapult_async.{package}.{name}"):
        found = getattr(katapult_async, name)
    module = importlib.import_module(f"katapult_async.{package}")
    assert found is getattr(module, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(katapult_async, "nonsense")  # noqa: B009
    with pytest.raises(AttributeError, match="nonsense"):
        getattr(importlib.import_module("katapult_async.jobs"), "nonsense")  # noqa: B009


def test_importing_the_package_loads_no_http_client() -> None:
    code = "import sys, katapult_async; assert 'aiohttp' not in sys.modules; katapult_async.Client"
    code += "; assert 'aiohttp' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603


def test_importing_load_and_the_command_line_loads_no_hdrhistogram() -> None:
    code = "import sys, katapult_async.load, katapult_async.cli.app, katapult_async.cli.load_run"
    code += "; assert not [name for name in sys.modules if name.split('.')[0] == 'hdrh']"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603


def test_the_version_is_that_of_the_installed_package() -> None:
    assert katapult_async.__version__ == importlib.metadata.version("katapult-async")


def test_making_a_client_reads_no_package_metadata() -> None:
    """Once, most of the time to make a client went into the search for the installed version."""
    code = (
        "import asyncio, sys\n"
        "from katapult_async import Client, SessionPool\n"
        "async def main():\n"
        "    async with SessionPool() as pool:\n"
        "        before = set(sys.modules)\n"
        "        Client('token', pool=pool)\n"
        "        assert 'importlib.metadata' not in set(sys.modules) - before\n"
        "asyncio.run(main())\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603
