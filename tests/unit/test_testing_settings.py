"""The settings of the emulator: groups, and the old keyword arguments."""

from __future__ import annotations

from typing import Any

import pytest

from katapult_async.testing import Answers, Counting, KatapultEmulator, Token, WireForm, World
from katapult_async.testing.settings import group

OLD: dict[str, tuple[Any, str]] = {
    "limiter": ("bucket", "counting=Counting(limiter=…)"),
    "period": (2.0, "counting=Counting(period=…)"),
    "burst": (3, "counting=Counting(burst=…)"),
    "count_refused": (True, "counting=Counting(count_refused=…)"),
    "limits_per_type": (True, "counting=Counting(per_type=…)"),
    "headers": (False, "answers=Answers(headers=…)"),
    "headers_on_429": (False, "answers=Answers(headers_on_429=…)"),
    "retry_after": (True, "answers=Answers(retry_after=…)"),
    "absurd_429_details": ("missing", "answers=Answers(absurd_429_details=…)"),
    "description_null": (True, "answers=Answers(description_null=…)"),
    "flat_errors": (True, "answers=Answers(flat_errors=…)"),
}


@pytest.mark.parametrize("name", OLD)
def test_an_old_keyword_argument_warns_at_its_caller_and_works(name: str) -> None:
    value, new = OLD[name]
    with pytest.warns(DeprecationWarning, match="is now KatapultEmulator") as warned:
        KatapultEmulator(**{name: value})
    assert str(warned[0].message) == f"KatapultEmulator({name}=…) is now KatapultEmulator({new})"
    assert warned[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="is now"):
        counting, answers = group(7, None, None, **{name: value})
    assert value in (*vars(counting).values(), *vars(answers).values())
    assert counting.limit == 7


def test_old_keyword_arguments_are_merged_into_a_group() -> None:
    with pytest.warns(DeprecationWarning, match="period"):
        counting, answers = group(None, Counting(limit=5), Answers(headers=False), period=9.0)
    assert (counting, answers) == (Counting(limit=5, period=9.0), Answers(headers=False))


def test_a_limit_is_given_once() -> None:
    assert KatapultEmulator(limit=0).limit == KatapultEmulator(counting=Counting(limit=0)).limit == 0
    assert KatapultEmulator().limit == 1000
    with pytest.raises(TypeError, match="give the limit in counting"):
        KatapultEmulator(limit=5, counting=Counting())


def test_an_unknown_keyword_argument_is_refused() -> None:
    wrong: dict[str, Any] = {"disk": 5}
    with pytest.raises(TypeError, match="KatapultEmulator has no keyword argument 'disk'"):
        KatapultEmulator(**wrong)


def test_the_parts_that_tests_change_are_public() -> None:
    emulator = KatapultEmulator(tokens=("a",), answers=Answers(retry_after=3))
    assert isinstance(emulator.world, World)
    assert isinstance(emulator.form, WireForm)
    assert isinstance(emulator.tokens["a"], Token)
    assert emulator.form.retry_after == 3
