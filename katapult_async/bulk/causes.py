"""Exceptions that a run keeps in its report or hands to its consumer, made fit for that."""

from __future__ import annotations


def let_go_of_frames(error: BaseException | None) -> None:
    """Errors are kept in reports, by the thousand: without the frames, and all their variables, that raised them."""
    while error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def innermost(exc: BaseException) -> BaseException:
    """The exception inside groups of one: callers wait for the input's own error, not for a group."""
    while True:
        inner = getattr(exc, "exceptions", None)
        if not inner:
            return exc
        exc = inner[0]
