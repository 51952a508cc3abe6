"""Standard logging: one logger for each room (`katapult_async.transport`, `katapult_async.jobs`, …).

Every record carries `run_id` (of the durable run that it belongs to) and `request_id` (the API's name for the request),
each `-` where there is none. No handler is set and nothing is configured: that is the application's.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

#: The run that the current task works for. Tasks inherit it from the one that started them.
run_id: ContextVar[str] = ContextVar("katapult_async_run_id", default="-")

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter  # takes no type argument on Python 3.10


class PackageLogger(_Adapter):
    """Adds the two ids to each record. Log methods take `request_id` beside logging's own arguments."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Move the ids to where logging expects them."""
        request_id = kwargs.pop("request_id", None)
        kwargs["extra"] = {"run_id": run_id.get(), "request_id": request_id or "-"}
        return msg, kwargs


def package_logger(room: str) -> PackageLogger:
    """The logger of a room."""
    return PackageLogger(logging.getLogger(f"katapult_async.{room}"), {})
