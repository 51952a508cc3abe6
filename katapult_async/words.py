"""Numbers, durations and times as text for people. Screens and pages use these, so that they agree.

Files for programs (CSV, JSON) use plain numbers and UTC instead.
"""

from __future__ import annotations

from datetime import datetime


def count(number: int) -> str:
    """Return a number with separators: `2,000`."""
    return f"{number:,}"


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    Args:
        number: How many.
        noun: The noun for one.
        plural: The noun for several. By default the noun with an s.

    Returns:
        `1 disk`, `2,000 disks`.
    """
    return f"{count(number)} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `0.4 s`, `1 min 36 s`, `3 d 4 h`.

    Args:
        seconds: The duration. A negative one (a clock was set back) counts as zero.
    """
    seconds = max(seconds, 0.0)
    if round(seconds, 1) < 10 and round(seconds, 1) != round(seconds):
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, smaller_size, smaller in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if whole >= size:
            large, rest = divmod(whole, size)
            small = rest // smaller_size
            return f"{count(large)} {unit} {small} {smaller}" if small else f"{count(large)} {unit}"
    return f"{whole} s"


def local_time(at: float) -> str:
    """Return date, time and zone of this machine: `2026-11-24 15:13:05 UTC`.

    Args:
        at: Unix time in seconds.
    """
    return _local(at).strftime("%Y-%m-%d %H:%M:%S %Z")


def clock_time(at: float, now: float) -> str:
    """Return time and zone of this machine, with the date if it is another day: `15:13:05 UTC`.

    Args:
        at: Unix time in seconds.
        now: Unix time in seconds, to decide about the date.
    """
    moment = _local(at)
    return moment.strftime("%H:%M:%S %Z") if moment.date() == _local(now).date() else local_time(at)


def _local(at: float) -> datetime:
    return datetime.fromtimestamp(at).astimezone()


def milliseconds(seconds: float) -> str:
    """Return a short duration with its first digits: `8.2 ms`, `52 ms`, `1.2 s`, `1 min 36 s`.

    Args:
        seconds: The duration. A negative one counts as zero.
    """
    seconds = max(seconds, 0.0)
    if seconds < 0.9995:
        thousandths = seconds * 1000
        return f"{thousandths:.1f} ms" if 0 < thousandths < 9.95 else f"{thousandths:.0f} ms"
    return duration(seconds)
