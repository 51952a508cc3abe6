"""The base of all errors, and what is known about a request that failed.

A message says what was requested, what came back and what to do. It never contains the token or
a body. This package does not decide whether to retry: `execution` says what is known, and the bulk
run and the retry policy decide.
"""

from __future__ import annotations

import enum


class Execution(enum.Enum):
    """Whether the server executed the request."""

    NOT_EXECUTED = "not executed: it may be sent again"
    REFUSED = "refused: the API would refuse it again"
    UNCLEAR = "unclear: it may have been executed"


class KatapultError(Exception):
    """The base class of all errors of this package, except for wrong arguments.

    Args:
        message: What happened, without the operation.
        operation: What was requested, for example "POST /disks/disk/assign".
        request_id: The API's ID of the request. Its support asks for it.

    Attributes:
        execution: Whether the server executed the request.
        stops_run: True if no other request of the same client can succeed either, so a bulk run
            ends.
        elapsed: Seconds from sending the request to its failure, without waits for the rate limit.
            0 if nothing was sent.
    """

    execution: Execution = Execution.UNCLEAR
    stops_run: bool = False
    elapsed: float = 0.0

    def __init__(self, message: str, *, operation: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.operation = operation
        self.request_id = request_id

    def __str__(self) -> str:
        text = f"{self.operation}: {self.message}" if self.operation else self.message
        return f"{text} (request ID {self.request_id})" if self.request_id else text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions are pickled by their arguments. These have different constructors, and all
        # their state is in __dict__.
        return _restore, (type(self), self.args, self.__dict__.copy())


def _restore(kind: type[KatapultError], args: tuple[object, ...], state: dict[str, object]) -> KatapultError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
