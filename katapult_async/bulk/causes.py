"""Prepare exceptions for a report or for the consumer of a run."""

from __future__ import annotations


def drop_tracebacks(error: BaseException | None) -> None:
    """Drop the tracebacks of an error and its causes. A report may keep thousands of errors."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def innermost(exc: BaseException) -> BaseException:
    """Return the first exception inside nested groups. Callers expect the input's own error."""
    while True:
        inner = getattr(exc, "exceptions", None)
        if not inner:
            return exc
        exc = inner[0]
