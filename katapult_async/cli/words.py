"""Numbers, times and durations for people, as in reports."""

from __future__ import annotations

from katapult_async.words import clock_time, count, counted, duration, local_time

__all__ = ["clock_time", "count", "counted", "duration", "local_time"]
