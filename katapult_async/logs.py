"""Standard logging: one logger per package (`katapult_async.transport`, `katapult_async.jobs`, …).

Every record has `run_id` (the durable run that it belongs to) and `request_id` (the API's ID of the
request), each `-` if there is none. This module sets no handler and configures nothing: the
application does.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

#: The run that the current task works for. A task inherits it from the task that started it.
run_id: ContextVar[str] = ContextVar("katapult_async_run_id", default="-")

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # takes no type argument on Python 3.10


class PackageLogger(_Adapter):
    """Adds the two IDs to each record. Log methods also accept `request_id`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move the IDs to where logging expects them."""
        request_id = kwargs.pop("request_id", None)
        kwargs["extra"] = {"run_id": run_id.get(), "request_id": request_id or "-"}
        return msg, kwargs


def package_logger(package: str) -> PackageLogger:
    """Return the logger of a package."""
    return PackageLogger(logging.getLogger(f"katapult_async.{package}"), {})
