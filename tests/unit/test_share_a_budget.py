"""What the page about shared budgets says is true, as far as a test can tell."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from katapult_async.budget.redis import RIGHTS

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "share-a-budget.md").read_text()


@pytest.mark.parametrize("example", re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
def test_its_examples_are_python(example: str) -> None:
    compile(example, "share-a-budget.md", "exec")


def test_it_names_the_rights_that_are_needed() -> None:
    assert RIGHTS in PAGE
