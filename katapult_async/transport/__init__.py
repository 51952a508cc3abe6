"""The transport: sends the request of one Operation and returns one decoded struct.

It is the only package that uses aiohttp's client. It knows nothing about bulk runs.
"""

from __future__ import annotations

from .address import DEFAULT_BASE_URL
from .machine_names import MachineNames, canonical
from .meter import Meter, RunStopped
from .operation import Operation
from .pool import SessionPool
from .retry import RetryPolicy, may_repeat
from .session import Query, Session
from .wire import Reply, Timeout

__all__ = [
    "DEFAULT_BASE_URL",
    "MachineNames",
    "Meter",
    "Operation",
    "Query",
    "Reply",
    "RetryPolicy",
    "RunStopped",
    "Session",
    "SessionPool",
    "Timeout",
    "canonical",
    "may_repeat",
]
