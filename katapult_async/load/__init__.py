"""Load tests: send an action in an open or a closed loop, and measure latencies that are true.

    from katapult_async.load import FixedRate, LoadTest, OpenLoop, Plan, ReadDisk

    plan = Plan(schedule=OpenLoop(arrivals=FixedRate(500)), duration=60, warm_up=5)
    result = await LoadTest(ReadDisk(disks), plan).run("token", base_url="http://127.0.0.1:8080/core/v1")
    print(result.latency.p99, result.valid, result.problems)

Needs the extra `load` (the package hdrhistogram). docs/how-to/load-tests.md is the guide.
"""

from __future__ import annotations

from .actions import ListDisks, LoadAction, Mix, OwnAction, ReadDisk
from .arrivals import Arrivals, FixedRate, Part, Poisson, Ramp
from .assigning import AssignUnassign
from .call import Call
from .comparing import Difference, compare
from .errors import HostNotOwned, LoadError, MissingExtra
from .histogram import Histogram
from .hlog import write_hlog
from .load_test import LoadTest
from .merging import merge
from .page import write_comparison_page, write_page
from .response_times import ResponseTimes
from .result import (
    Distribution,
    LoadPart,
    LoadResult,
    LoadSecond,
    OperationResult,
    from_json,
    read_result,
    to_json,
)
from .schedule import ClosedLoop, OpenLoop, Plan, Schedule
from .text import comparison_table, result_table
from .thresholds import Threshold, failures

__all__ = [
    "Arrivals",
    "AssignUnassign",
    "Call",
    "ClosedLoop",
    "Difference",
    "Distribution",
    "FixedRate",
    "Histogram",
    "HostNotOwned",
    "ListDisks",
    "LoadAction",
    "LoadError",
    "LoadPart",
    "LoadResult",
    "LoadSecond",
    "LoadTest",
    "MissingExtra",
    "Mix",
    "OpenLoop",
    "OperationResult",
    "OwnAction",
    "Part",
    "Plan",
    "Poisson",
    "Ramp",
    "ReadDisk",
    "ResponseTimes",
    "Schedule",
    "Threshold",
    "compare",
    "comparison_table",
    "failures",
    "from_json",
    "merge",
    "read_result",
    "result_table",
    "to_json",
    "write_comparison_page",
    "write_hlog",
    "write_page",
]
