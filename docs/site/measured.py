"""Rows of the scheduling benchmark, from the results in benchmarks/README.md."""

from __future__ import annotations

import re
from pathlib import Path

from docs.site.markdown import table

_RESULTS = Path(__file__).parents[2] / "benchmarks" / "README.md"
_HEAD = "**Alone, L = 100, 20 L requests**"
#: The rows that are shown, each with its name on the page.
_ROWS = {
    "katapult_async, headers": "katapult_async",
    "AsyncLimiter(L, 60)": "`AsyncLimiter(L, 60)`",
    "AsyncLimiter + back-off": "`AsyncLimiter` and back-off",
    "back-off, for ever": "back-off without a limit of attempts",
}


def asynclimiter() -> str:
    """Return the rows of clients alone on a token, with windows of the server's clock."""
    text = _RESULTS.read_text("utf-8").partition(_HEAD)[2].partition("**")[0]
    found: list[tuple[str, ...]] = []
    for line in text.splitlines():
        name, _, cells = line.strip("| ").partition(" | ")
        if name in _ROWS:
            aligned = cells.split(" | ", maxsplit=1)[0]
            numbers = [re.sub(r"\.\.", " to ", part.strip("() ")) for part in aligned.split(" / ")]
            found.append((_ROWS[name], *numbers))
    if len(found) != len(_ROWS):
        raise ValueError(f"{_RESULTS} has only the rows {[row[0] for row in found]}")
    return table(("", "time", "429s", "failed items"), found)
