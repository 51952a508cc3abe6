"""Whether the server counts types of requests apart ("for this type of request"), or all of them together.

With one counter a request reads less than every request that was answered before it was sent, whoever else is on the
token, as long as no window begins between them. So a higher reading is one of another counter. It is believed once a
429 for another type, sent after that reading had arrived, confirms it.
"""

from __future__ import annotations

import msgspec


class RequestTypes(msgspec.Struct):
    """The newest reading that cannot come from the counter that was seen before, if there was one."""

    _kind: str | None = None
    _number: int = 0
    _remaining: int = 0
    _received: float = 0.0

    def too_high(self, kind: str, received: float, remaining: int, number: int) -> None:
        """A reading of a request of this type was higher than one of the same window that was there before."""
        self._kind, self._received, self._remaining, self._number = kind, received, remaining, number

    def explain(self, kind: str, sent: float, number: int, *, spare: int) -> bool:
        """Whether a refused request shows that its type is counted apart.

        Args:
            kind: Its type.
            sent: When it was sent.
            number: The window that was the newest then.
            spare: What requests in flight can have used up meanwhile.
        """
        return (
            self._kind not in (None, kind)
            and self._number == number
            and self._received <= sent
            and self._remaining > spare
        )
