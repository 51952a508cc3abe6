"""Reads the head of a response of the usual shape, and leaves every other one to aiohttp's parser.

Most responses of the API look alike: HTTP/1.1, ASCII, one Content-Length, no encodings. One regular
expression recognizes them. What this module accepts, aiohttp's parser reads the same way
(tests/property/test_head.py compares the two).

Responses of one server also differ from each other in a few values only. HeadReader remembers their
shape as a second regular expression, which contains the rest of the head literally. It matches a
subset of what the first one matches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
from multidict import CIMultiDict

#: The longest head that is read here, in bytes: as much as aiohttp permits for a single field.
LONGEST_HEAD = 8190
#: The number of shapes in memory, and of shapes learnt in all. A server whose heads always differ
#: must not cost time.
MOST_SHAPES, MOST_LEARNT = 4, 64

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE = rb"[!-~](?:[ -~]*[!-~])?"
_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-5][0-9][0-9]) [ -~]*\r\n(" + _TOKEN + rb": " + _VALUE + rb"(?:\r\n" + _TOKEN + rb": " + _VALUE
    # No group may match the same text in two ways, so that a mismatch is found in linear time.
    + rb")*)\r\n\r\n"
)  # fmt: skip
_WITHOUT_BODY = frozenset({204, 205, 304})
#: Fields whose values differ between responses. Others are added when two responses show it.
_VARYING = frozenset(
    {b"date", b"content-length", b"x-request-id", b"x-ratelimit-permitted", b"x-ratelimit-remaining"}
)
#: Fields that define how a response is sent. A head with another value has another shape.
_DECISIVE = frozenset({b"connection", b"transfer-encoding", b"content-encoding", b"upgrade"})


class Head(msgspec.Struct, frozen=True):
    """A head of a response.

    Attributes:
        status: The HTTP status.
        headers: The fields.
        length: Length of the body, in bytes.
        start: Where the body begins.
    """

    status: int
    headers: Mapping[str, str]
    length: int
    start: int


def read_head(data: bytes) -> Head | None:
    """Read a head without a shape. Return None if aiohttp's parser must read it."""
    match = _HEAD.match(data, 0, LONGEST_HEAD)
    if match is None:
        return None
    fields = match[2].decode("ascii").split("\r\n")
    headers = CIMultiDict([(name, value) for name, _, value in [field.partition(": ") for field in fields]])
    length = headers.get("Content-Length", "")
    if not length.isdecimal() or len(length) > 9 or len(headers.getall("Content-Length")) > 1:
        return None
    if (
        "Transfer-Encoding" in headers
        or "Content-Encoding" in headers
        or "Upgrade" in headers
        or headers.get("Connection", "keep-alive").lower() != "keep-alive"
        or len(headers.getall("Connection", ())) > 1
    ):
        return None
    status = int(match[1])
    if status in _WITHOUT_BODY:
        return None
    return Head(status, headers, int(length), match.end())


class HeadReader:
    """Reads the heads of one server's responses."""

    __slots__ = ("_last", "_learnt", "_shapes")

    def __init__(self) -> None:
        self._shapes: list[_Shape] = []
        self._learnt = 0
        # The last head that matched no shape.
        self._last: _Fields | None = None

    def read(self, data: bytes) -> Head | None:
        """Read a head. Return None if aiohttp's parser must read it."""
        for shape in self._shapes:
            match = shape.pattern.match(data, 0, LONGEST_HEAD)
            if match is not None:
                return Head(shape.status, _Headers(shape, match), int(match[shape.length]), match.end())
        head = read_head(data)
        if head is not None and self._learnt < MOST_LEARNT:
            self._learn(_Fields.of(data, head.start), head.status)
        return head

    def _learn(self, fields: _Fields, status: int) -> None:
        """Remember the shape of a head after a second head of that shape."""
        last, self._last = self._last, fields
        if last is None or last.line != fields.line or last.names != fields.names:
            return
        varying = _VARYING | {
            name.lower()
            for name, old, new in zip(fields.names, last.values, fields.values, strict=True)
            if old != new
        }
        if varying & _DECISIVE:
            return
        self._learnt += 1
        known = [shape for shape in self._shapes if (shape.line, shape.names) == (fields.line, fields.names)]
        for shape in known:
            varying |= shape.varying
            self._shapes.remove(shape)
        self._shapes = [_Shape(fields, status, varying), *self._shapes[: MOST_SHAPES - 1]]


class _Fields(NamedTuple):
    """The parts of a head."""

    line: bytes
    names: tuple[bytes, ...]
    values: tuple[bytes, ...]

    @classmethod
    def of(cls, data: bytes, end: int) -> _Fields:
        line, *fields = data[: end - 4].split(b"\r\n")
        pairs = [field.split(b": ", 1) for field in fields]
        return cls(line, tuple(name for name, _ in pairs), tuple(value for _, value in pairs))


class _Shape:
    """Heads that differ only in the values of some fields."""

    __slots__ = ("_places", "groups", "length", "line", "names", "pattern", "status", "varying")

    def __init__(self, fields: _Fields, status: int, varying: frozenset[bytes] | set[bytes]) -> None:
        self.line = fields.line
        self.names = fields.names
        self.varying = frozenset(varying)
        self.status = status
        # Where to find a field: the number of a group, or the value if it never changes.
        self._places: dict[str, int | str] = {}
        #: The numbers of groups by the names that were looked up.
        self.groups: dict[str, int] = {}
        parts = [re.escape(fields.line)]
        groups = 0
        for name, value in zip(fields.names, fields.values, strict=True):
            text = name.decode("ascii")
            place: int | str = value.decode("ascii")
            part = re.escape(value)
            if name.lower() in self.varying:
                groups += 1
                place = groups
                part = b"(" + _VALUE + b")"
                if name.lower() == b"content-length":
                    self.length = groups
                    part = rb"([0-9]{1,9})"
            self._places.setdefault(text.lower(), place)
            parts.append(re.escape(name) + b": " + part)
        self.pattern = re.compile(b"\r\n".join(parts) + b"\r\n\r\n")

    def find(self, name: str) -> int | str | None:
        """Return the group or the value of the first field with this name, in any case."""
        place = self._places.get(name.lower())
        if isinstance(place, int):
            # Few names are ever looked up: those in the code.
            self.groups[name] = place
        return place


class _Headers(Mapping[str, str]):
    """The fields of a head with a known shape. They are decoded on demand."""

    __slots__ = ("_match", "_shape", "_whole")

    def __init__(self, shape: _Shape, match: re.Match[bytes]) -> None:
        self._shape = shape
        self._match = match
        self._whole: CIMultiDict[str] | None = None

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]
        group = self._shape.groups.get(name)
        if group is None:
            place = self._shape.find(name)
            if not isinstance(place, int):
                return place if place is not None else default
            group = place
        return self._match[group].decode("ascii")

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def _all(self) -> CIMultiDict[str]:
        if self._whole is None:
            head = read_head(self._match[0])
            assert head is not None  # noqa: S101 - a shape matches a part of what read_head accepts
            self._whole = CIMultiDict(head.headers)
        return self._whole
