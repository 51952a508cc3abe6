"""The tables of events and metrics, from the classes and the docstring that define them."""

from __future__ import annotations

import inspect
import re

import katapult_async.otel
from docs.site.markdown import cell, code, table
from katapult_async import observer

#: The methods of an observer, each with the event that it gets.
METHODS = {
    name: inspect.signature(method, eval_str=True).parameters["event"].annotation
    for name, method in vars(observer.Observer).items()
    if name.startswith("on_")
}


def events() -> str:
    """Return a table for each event, with its fields."""
    return "\n".join(_section(method, event) for method, event in METHODS.items())


def _section(method: str, event: type) -> str:
    text = inspect.getdoc(event) or ""
    before, _, arguments = text.partition("\nArgs:\n")
    fields = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", arguments, re.MULTILINE)
    rows = [(code(name), cell(meaning)) for name, meaning in fields]
    head = f"(event-{event.__name__})=\n## `{method}`: `{event.__name__}`\n"
    return f"{head}\n{cell(before)}\n\n{table(('field', 'meaning'), rows)}"


def metrics() -> str:
    """Return the table of metrics."""
    text = katapult_async.otel.__doc__ or ""
    lines = text.partition("Metrics:\n\n")[2].partition("\n\n")[0].splitlines()
    # The words of the first line say where the columns start.
    starts = [lines[0].index(word) for word in ("name", "kind", "attributes")]
    ends = [*starts[1:], None]
    head, *rows = [
        [line[start:end].strip() for start, end in zip(starts, ends, strict=True)] for line in lines
    ]
    return table(head, [(code(row[0]), cell(row[1]), cell(row[2])) for row in rows])
