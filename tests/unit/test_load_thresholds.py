"""Thresholds of load tests: what they accept, and which results fail them."""

from __future__ import annotations

import pytest

from katapult_async.load import Threshold, failures
from tests.load_results import Made, result, steady


@pytest.mark.parametrize(
    ("text", "metric", "compare", "value"),
    [
        ("p99>300ms", "p99", ">", 0.3),
        ("p99.9 >= 1.5s", "p99.9", ">=", 1.5),
        ("max>2min", "max", ">", 120.0),
        ("mean>500us", "mean", ">", 0.0005),
        ("errors>1%", "errors", ">", 0.01),
        ("errors>0", "errors", ">", 0.0),
        ("429>5%", "429", ">", 0.05),
        ("achieved<95%", "achieved", "<", 0.95),
        ("achieved<450/s", "achieved", "<", 450.0),
        ("lag>20ms", "lag", ">", 0.02),
    ],
)
def test_a_condition_is_read(text: str, metric: str, compare: str, value: float) -> None:
    found = Threshold.parse(text)
    assert (found.metric, found.compare, found.operation) == (metric, compare, None)
    assert found.value == pytest.approx(value)


def test_a_condition_may_name_an_operation() -> None:
    found = Threshold.parse("assign:p95<=1s")
    assert (found.operation, found.metric, found.compare, found.value) == ("assign", "p95", "<=", 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a condition such as"),
        ("p99", "expected a condition such as"),
        ("p99=1s", "expected a condition such as"),
        ("p999>1s", "expected a condition such as"),
        ("p99>1", "needs a unit of time"),
        ("p99>1%", "needs a unit of time"),
        ("errors>1ms", "errors needs % or no unit"),
        ("achieved<95", "achieved needs % or /s"),
    ],
)
def test_a_wrong_condition_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Threshold.parse(text)


def failed(text: str, calls: list[Made]) -> list[str]:
    return failures(result(calls), [Threshold.parse(text)])


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("p50>9ms", "p50>9ms: it is 10 ms"),
        ("p99>11ms", None),
        ("max>=1s", "max>=1s: it is 1 s"),
        ("mean<1ms", None),
        ("errors>0.4%", "errors>0.4%: it is 0.50%"),
        ("errors>1", None),
        ("errors>0", "errors>0: it is 1"),
        ("assign:errors>0", "assign:errors>0: there was no call"),
        ("429>0", "429>0: it is 2"),
        ("429>1%", None),
        ("achieved<99%", None),
        ("achieved<30/s", "achieved<30/s: it is 20/s"),
        ("lag>1ms", None),
    ],
)
def test_a_result_fails_or_passes(text: str, failure: str | None) -> None:
    calls = steady(0.01)
    calls[3] = Made(calls[3].due, calls[3].due + 1.0, outcome="disk_not_found", rate_limited=2)
    assert failed(text, calls) == ([] if failure is None else [failure])


def test_a_test_without_calls_fails_every_threshold() -> None:
    assert failed("p99>1min", []) == ["p99>1min: there was no call"]
