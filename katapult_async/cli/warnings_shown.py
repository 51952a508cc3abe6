"""Shows warnings of the package's loggers above the live display, which they would break."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator


class _Lines(logging.Handler):
    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._note = note

    def emit(self, record: logging.LogRecord) -> None:
        self._note(record.getMessage())


@contextlib.contextmanager
def warnings_shown(note: Callable[[str], None]) -> Iterator[None]:
    """Show warnings while the block runs.

    Args:
        note: Writes a line.
    """
    logger, handler = logging.getLogger("katapult_async"), _Lines(note)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
