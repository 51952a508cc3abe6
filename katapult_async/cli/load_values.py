"""Parsers of the options of load tests: durations, rates, shares and start times."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta

import typer

from katapult_async.load import Part, Ramp, Threshold

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, None: 1.0}
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:/\s*(s|min))?")
_HOURS = re.compile(r"\d{1,2}:\d\d(?::\d\d)?")
#: The longest duration in seconds: one day.
_LONGEST = 86_400.0


def parse_duration(value: str | float) -> float:
    """Return a duration in seconds: `60`, `300ms`, `5min`."""
    found = _DURATION.fullmatch(str(value).strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else -1.0
    if not 0 <= seconds <= _LONGEST:
        raise typer.BadParameter(
            f"expected a duration of at most one day, such as 60s or 300ms, found {value!r}"
        )
    return seconds


def parse_rate(value: str | float) -> float:
    """Return a rate per second: `500`, `500/s`, `30/min`."""
    found = _RATE.fullmatch(str(value).strip())
    rate = float(found[1]) / _SECONDS[found[2]] if found else 0.0
    if not rate > 0:
        raise typer.BadParameter(f"expected a rate above 0, such as 500, 500/s or 30/min, found {value!r}")
    return rate


def parse_ramp(value: str | Ramp) -> Ramp:
    """Return a ramp: `10:500`, in calls per second."""
    if isinstance(value, Ramp):
        return value
    start, _, end = value.partition(":")
    try:
        return Ramp(float(start), float(end))  # "" is no number
    except ValueError:
        raise typer.BadParameter(f"expected two rates per second, such as 10:500, found {value!r}") from None


def parse_part(value: str | Part) -> Part:
    """Return the share of one process: `2/4`."""
    if isinstance(value, Part):
        return value
    number, _, of = value.partition("/")
    try:
        return Part(int(number), int(of))
    except ValueError:
        raise typer.BadParameter(f"expected a share such as 1/4, up to 4/4, found {value!r}") from None


def parse_threshold(value: str | Threshold) -> Threshold:
    """Return a threshold: `p99>300ms`."""
    if isinstance(value, Threshold):
        return value
    try:
        return Threshold.parse(value)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from None


def parse_start(value: str | float) -> float:
    """Return a start time in Unix seconds: `15:30`, `15:30:00`, or ISO 8601 with a zone."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        if _HOURS.fullmatch(text):
            return _next(text)
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise typer.BadParameter(
            f"expected a time of this machine such as 15:30:00, or one with a zone such as"
            f" 2026-11-24T15:30:00Z, found {value!r}"
        )
    return moment.timestamp()


def _next(hours: str) -> float:
    """Return when a clock of this machine shows this time next."""
    parts = [int(part) for part in hours.split(":")]
    now = datetime.fromtimestamp(time.time()).astimezone()
    moment = now.replace(
        hour=parts[0], minute=parts[1], second=parts[2] if len(parts) > 2 else 0, microsecond=0
    )
    return (moment if moment > now else moment + timedelta(days=1)).timestamp()
