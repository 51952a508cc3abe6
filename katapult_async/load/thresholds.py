"""Thresholds of a load test for CI: `p99>300ms`, `errors>1%`, `assign:p95>=1s`. Pure."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping

import msgspec

from katapult_async.words import milliseconds

from .histogram import Histogram
from .result import LoadResult

_FORM = re.compile(
    r"(?:(?P<operation>[^:<>=\s]+):)?(?P<metric>p\d{1,2}(?:\.\d+)?|p100|max|mean|errors|429|achieved|lag)"
    r"\s*(?P<compare>>=|<=|>|<)\s*(?P<value>\d+(?:\.\d+)?)\s*(?P<unit>ms|us|µs|s|min|%|/s)?"
)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_SECONDS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
#: The units of metrics that are no durations.
_UNITS = {"errors": ("%", None), "429": ("%", None), "achieved": ("%", "/s")}
EXAMPLES = "p99>300ms, errors>1%, 429>0, achieved<95%, assign:p95>1s"


class Threshold(msgspec.Struct, frozen=True):
    """A condition under which a load test counts as failed.

    Args:
        text: The condition as it was given.
        operation: The operation that it is about. None for all.
        metric: p50, p99.9, max, mean, errors, 429, achieved or lag.
        compare: >, >=, < or <=.
        value: The bound: seconds, a number, or a part of the calls from 0 to 1.
        unit: The unit: s, % or /s. None for a number.
    """

    text: str
    operation: str | None
    metric: str
    compare: str
    value: float
    unit: str | None

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Return the threshold that a text describes.

        Args:
            text: For example p99>300ms.

        Raises:
            ValueError: If the text describes none.
        """
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise ValueError(f"expected a condition such as {EXAMPLES}, found {text!r}")
        metric, unit, value = found["metric"], found["unit"], float(found["value"])
        if metric in _UNITS:
            if unit not in _UNITS[metric]:
                units = " or ".join("no unit" if one is None else one for one in _UNITS[metric])
                raise ValueError(f"{metric} needs {units}, found {text!r}")
            value = value / 100 if unit == "%" else value
        elif unit not in _SECONDS:
            raise ValueError(f"{metric} needs a unit of time, for example {metric}>300ms, found {text!r}")
        else:
            value, unit = value * _SECONDS[unit], "s"
        return cls(text.strip(), found["operation"], metric, found["compare"], value, unit)

    def failure(self, result: LoadResult) -> str | None:
        """Return why a result fails this threshold, in words. None if it does not.

        An operation with no call fails: a test that sent nothing must not pass.

        Args:
            result: The result.
        """
        measured = self._measure(result)
        if measured is None:
            return f"{self.text}: there was no call"
        if not _COMPARE[self.compare](measured, self.value):
            return None
        return f"{self.text}: it is {self._shown(measured)}"

    def _measure(self, result: LoadResult) -> float | None:
        calls = [one for one in result.operations if self.operation in (None, one.operation)]
        number = sum(one.latency.count for one in calls)
        if not number:
            return None
        if self.metric == "errors":
            failed = sum(one.latency.count for one in calls if one.outcome != "ok")
            return failed / number if self.unit == "%" else float(failed)
        if self.metric == "429":
            return result.rate_limited / max(result.requests, 1) if self.unit == "%" else result.rate_limited
        if self.metric == "achieved":
            return result.achieved / result.offered if self.unit == "%" else result.achieved_per_second
        if self.metric == "lag":
            return result.lag.p99
        return _duration(result.histogram(self.operation), self.metric)

    def _shown(self, value: float) -> str:
        if self.unit == "s":
            return milliseconds(value)
        if self.unit == "%":
            return f"{value:.2%}"
        return f"{value:g}" + (self.unit or "")


def _duration(latency: Histogram, metric: str) -> float:
    if metric == "max":
        return latency.max
    if metric == "mean":
        return latency.mean
    return latency.percentile(float(metric[1:]))


def failures(result: LoadResult, thresholds: list[Threshold]) -> list[str]:
    """Return the thresholds that a result fails, in words."""
    return [failure for one in thresholds if (failure := one.failure(result)) is not None]
