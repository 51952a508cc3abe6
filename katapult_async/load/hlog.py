"""Writes a load test as a histogram log (.hlog), which the tools of HdrHistogram read.

Each line has the latency of the calls of one operation that were due in one second.
"""

from __future__ import annotations

from datetime import datetime
from importlib import import_module
from typing import Any, TextIO, cast

from .histogram import Histogram, need_hdrhistogram
from .recording import COARSE
from .result import LoadResult


class _Tagged:
    """A file that writes the tag of a line before it. The package's writer knows no tags."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.tag = ""

    def write(self, text: str) -> None:
        self._out.write(f"Tag={self.tag},{text}" if self.tag else text)


def write_hlog(out: TextIO, result: LoadResult) -> None:
    """Write the log of a load test.

    Args:
        out: A text file, open for writing.
        result: The test.

    Raises:
        MissingExtra: If the package hdrhistogram is not installed.
        LoadError: If a histogram is damaged.
    """
    need_hdrhistogram()
    file = _Tagged(out)
    # The package has no types.
    writer = cast("Any", import_module("hdrh.log")).HistogramLogWriter(file)
    start = datetime.fromisoformat(result.started_at.replace("Z", "+00:00")).timestamp()
    writer.output_comment("[Latency and Interval_Max in microseconds, logged by katapult-async]")
    writer.output_log_format_version()
    # The writer's own output_start_time fails: it calls a method that datetime does not have.
    writer.output_comment(f"[StartTime: {start:f} (seconds since epoch), {result.started_at}]")
    writer.output_base_time(start * 1000)
    writer.output_legend()
    for second in result.timeline:
        for operation, text in second.latency.items():
            file.tag = _tag(operation)
            hdr = Histogram.decode(text, digits=COARSE).hdr()
            # A start of 0 would mean the time stamp of the histogram, which is 0, too.
            writer.output_interval_histogram(hdr, second.second, second.second + 1, max_value_unit_ratio=1.0)


def _tag(operation: str) -> str:
    # The format forbids commas, spaces and line breaks in a tag.
    return "".join("_" if character in ", \r\n" else character for character in operation)
