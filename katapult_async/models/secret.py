"""Texts that must not be shown: passwords and tokens.

`Secret` is an enumeration, because msgspec decodes an enumeration from a text and encodes its
value, both without a hook. So every decoder accepts a Secret, and no encoder reveals it.
"""

from __future__ import annotations

import enum
import hmac
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on


@final
class Secret(enum.Enum):
    """A text that shows as `***`. `reveal()` returns the text.

    This holds for `repr`, `str`, format strings, logs, tracebacks with local variables, and JSON.
    A copy is the same object. JSON and pickles contain only `***` and decode to `Secret.MASKED`:
    the text is lost. Two secrets are equal if their texts are, compared in constant time. A secret
    never equals a text.

    Args:
        text: The text.
    """

    __slots__ = ("_text",)
    _text: str

    #: A secret that was encoded or pickled, or that the API itself has masked.
    MASKED = "***"

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        # Called for each decoded text, so it must be fast.
        if type(value) is not str:
            return None
        secret = object.__new__(cls)
        secret._text = value
        return secret

    def reveal(self) -> str:
        """Return the text.

        Raises:
            ValueError: If the text was lost in a pickle or an encoding.
        """
        text = _text_of(self)
        if text is None:
            raise ValueError("the text of this secret is lost: JSON and pickles contain *** in its place")
        return text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return format("***", format_spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return False
        mine, theirs = _text_of(self), _text_of(other)
        if mine is None or theirs is None:
            return mine is theirs
        return hmac.compare_digest(_bytes(mine), _bytes(theirs))

    def __hash__(self) -> int:
        return hash((Secret, _text_of(self)))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, proto: object) -> tuple[type[Secret], tuple[str]]:
        return Secret, ("***",)


def _text_of(secret: Secret) -> str | None:
    """Return the text; None for `MASKED`."""
    text: str | None = getattr(secret, "_text", None)
    return text


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# Every secret has the name and the value of MASKED: encoders and `vars` find nothing else.
type.__setattr__(Secret, "_value_", "***")
type.__setattr__(Secret, "_name_", "***")
