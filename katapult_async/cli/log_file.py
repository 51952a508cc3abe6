"""The file of `--log`. The run continues with one message if the log cannot be written."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path

from katapult_async import __version__

_FORMAT = "%(asctime)s %(levelname)s %(name)s run=%(run_id)s request=%(request_id)s %(message)s"


class LogFile(logging.FileHandler):
    """Writes records until the first error."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the name is logging's
        """Report the error once, and end the log."""
        del record
        logging.getLogger("katapult_async").removeHandler(self)
        reason = getattr(sys.exc_info()[1], "strerror", None) or "an error"
        print(
            f"katapult-async: cannot write the log {self.baseFilename}: {reason}. The run continues without a log.",
            file=sys.stderr,
        )
        # Its buffer cannot be flushed either. From Python 3.14 on, the interpreter reports that.
        with contextlib.suppress(OSError):
            self.close()


def log_to(file: Path) -> None:
    """Append all log records of the package to a file.

    Raises:
        OSError: If the file cannot be written.
    """
    with file.open("a", encoding="utf-8") as start:
        start.write(f"katapult-async {__version__}\n")
    handler = LogFile(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger = logging.getLogger("katapult_async")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
