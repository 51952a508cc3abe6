"""The words of all commands: `katapult_async.words`, which reports share."""

from __future__ import annotations

from katapult_async.words import clock_time, count, counted, duration, local_time

__all__ = ["clock_time", "count", "counted", "duration", "local_time"]
