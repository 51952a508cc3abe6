"""Whether the server counts request types separately ("for this type of request").

With a single counter a request reads less than every request whose response arrived before it was
sent, no matter who else uses the token, as long as no window starts in between. So a higher reading
belongs to another counter. One more condition must hold before this is believed: a 429 for another
type, sent after that reading had arrived. This module compares readings. It creates no windows.
"""

from __future__ import annotations

import msgspec


class RequestTypes(msgspec.Struct):
    """The newest reading that cannot come from the counter read before, if there was one."""

    _kind: str | None = None
    _number: int = 0
    _remaining: int = 0
    _received: float = 0.0

    def note_higher_reading(self, kind: str, received: float, remaining: int, number: int) -> None:
        """Note a reading that is higher than an earlier one of the same window.

        Args:
            kind: The type of the request.
            received: When the response arrived, local time in seconds.
            remaining: The reading.
            number: The window.
        """
        self._kind, self._received, self._remaining, self._number = kind, received, remaining, number

    def confirmed_by(self, kind: str, sent: float, number: int, *, spare: int) -> bool:
        """Return whether a 429 shows that its request type has a counter of its own.

        Args:
            kind: The type of the refused request.
            sent: When it was sent, local time in seconds.
            number: The newest window at that time.
            spare: What requests in flight can have used up meanwhile.
        """
        return (
            self._kind not in (None, kind)
            and self._number == number
            and self._received <= sent
            and self._remaining > spare
        )
