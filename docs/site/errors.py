"""The tables of errors: each code of the API, and each error without one, with what to do."""

from __future__ import annotations

import inspect

from docs.site.advice import ADVICE
from docs.site.markdown import cell, code, table
from katapult_async import errors
from katapult_async.errors import CODES, APIError, Execution, KatapultError

_AGAIN = {
    Execution.NOT_EXECUTED: "not executed",
    Execution.REFUSED: "refused",
    Execution.UNCLEAR: "unclear",
}


def error_codes() -> str:
    """Return a row for each error code of the API."""
    rows = [
        (
            code(name),
            ", ".join(map(str, kind.statuses)),
            f"{{py:class}}`~katapult_async.{kind.__name__}`, {_AGAIN[kind.execution]}",
            ADVICE[name],
        )
        for name, kind in CODES.items()
    ]
    return table(("code", "status", "class and execution", "what to do"), rows)


def other_errors() -> str:
    """Return a row for each error that is not a response of the API with a code."""
    coded = set(CODES.values())
    rows = [
        (
            f"{{py:class}}`~katapult_async.{kind.__name__}`, {_AGAIN[kind.execution]}",
            _first_line(kind),
            ADVICE[kind.__name__],
        )
        for kind in every_error()
        if kind not in coded and kind not in (KatapultError, APIError)
    ]
    return table(("class and execution", "what happened", "what to do"), rows)


def every_error() -> list[type[KatapultError]]:
    """Return all error classes of katapult_async.errors."""
    values = (getattr(errors, name) for name in errors.__all__)
    return [value for value in values if isinstance(value, type) and issubclass(value, KatapultError)]


def _first_line(kind: type) -> str:
    return cell((inspect.getdoc(kind) or "").partition("\n\n")[0])
