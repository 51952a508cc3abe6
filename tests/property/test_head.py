"""What the fast path's reader of heads accepts, aiohttp's parser reads the same way."""

from __future__ import annotations

import asyncio
from unittest import mock

from aiohttp.client_proto import ResponseHandler
from hypothesis import example, given
from hypothesis import strategies as st

from katapult_async.transport.fast.response_head import LONGEST_HEAD, HeadReader, read_head

NAMES = [
    "Date", "Content-Type", "Content-Length", "content-length", "Transfer-Encoding", "Connection", "X-Request-Id",
    "Set-Cookie", "Upgrade", "Content-Encoding", "X_y", "X Y", "", "Trailer", "\u00e9",
]  # fmt: skip
VALUES = [
    "5",
    "05",
    "5, 5",
    "+5",
    "0x5",
    "5 ",
    "",
    "chunked",
    "close",
    "keep-alive",
    "a: b",
    "a\tb",
    "gzip",
    "\u0665",
]
FIELDS = st.tuples(
    st.sampled_from(NAMES), st.sampled_from([": ", ":", " : ", ":\t", ":  "]), st.sampled_from(VALUES)
)
STATUS = st.sampled_from([
    "HTTP/1.1 200 OK", "HTTP/1.1 404 Not Found", "HTTP/1.1 500 ", "HTTP/1.1 200", "HTTP/1.0 200 OK", "HTTP/1.1 204 No",
    "HTTP/1.1 99 X", "HTTP/1.1 1000 X", "HTTP/1.1 100 Continue", "HTTP/1.1  200 OK", "http/1.1 200 OK",
])  # fmt: skip
ENDS = st.sampled_from(["\r\n", "\r\n", "\r\n", "\n", "\r\n "])


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    head = draw(STATUS) + "\r\n"
    fields = draw(st.lists(FIELDS, max_size=5))
    if draw(st.booleans()):
        fields.append(("Content-Length", ": ", "5"))
    for name, colon, value in fields:
        head += name + colon + value + draw(ENDS)
    data = head.encode() + b"\r\n" + b"hello"
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.sampled_from([b"", b"", b"", b"\0", b" ", b"\r", b"\xff", b"5"])) + data[at:]


async def read_by_aiohttp(data: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    handler = ResponseHandler(asyncio.get_running_loop())
    handler.connection_made(mock.Mock(spec=asyncio.Transport))
    handler.set_response_params(read_until_eof=True, auto_decompress=False)
    handler.data_received(data)
    message, content = await handler.read()
    body = content.read_nowait(-1)
    assert content.is_eof()
    return message.code, list(message.headers.items()), body


@given(responses())
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
@example(b"HTTP/1.1 200 OK\r\nContent-Length: 05\r\nX: y z\r\nX: z\r\n\r\nhello")
def test_it_reads_a_head_as_aiohttp_does(data: bytes) -> None:
    read = read_head(data)
    if read is None:
        return
    if read.length != len(data) - read.start:
        return  # the fast path waits for more of the body
    assert asyncio.run(read_by_aiohttp(data)) == (read.status, list(read.headers.items()), data[read.start :])


def test_usual_responses_are_read_here() -> None:
    head = 'HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 5\r\nConnection: Keep-Alive\r\nETag: W/"a"\r\n\r\n'
    read = read_head(head.encode() + b"hello")
    assert read is not None
    assert (read.status, read.length, read.start) == (200, 5, len(head))
    assert read.headers["etag"] == 'W/"a"'


def test_a_long_head_is_left_to_aiohttp() -> None:
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
    fits = LONGEST_HEAD - len(short) - 4
    assert read_head(short + b"x" * fits + b"\r\n\r\n") is not None
    assert read_head(short + b"x" * (fits + 1) + b"\r\n\r\n") is None


@given(st.lists(responses(), min_size=3, max_size=8), st.data())
def test_known_shapes_do_not_change_the_result(heads: list[bytes], data: st.DataObject) -> None:
    reader = HeadReader()
    # It learns shapes from heads that repeat with other values.
    for number in range(12):
        head = data.draw(st.sampled_from(heads))
        for old, new in (
            (b"keep-alive", b"close"),
            (b"hello", b"HELLO"),
            (b": 5", b": %d" % (number % 3 + 4)),
        ):
            if data.draw(st.booleans()):
                head = head.replace(old, new, 1)
        assert_same(reader, head)


@given(st.lists(st.tuples(st.sampled_from(VALUES), st.sampled_from(VALUES)), min_size=6, max_size=12))
def test_fields_with_varying_values_are_learnt(values: list[tuple[str, str]]) -> None:
    reader = HeadReader()
    for date, other in values:
        head = f"HTTP/1.1 200 OK\r\nDate: {date}\r\nCF-Ray: {other}\r\nContent-Length: 5\r\n\r\nhello"
        assert_same(reader, head.encode())


def assert_same(reader: HeadReader, data: bytes) -> None:
    read, expected = reader.read(data), read_head(data)
    assert (read is None) == (expected is None)
    if read is None or expected is None:
        return
    assert (read.status, read.length, read.start) == (expected.status, expected.length, expected.start)
    for name in (*expected.headers, *NAMES, "content-length", "X-Nothing"):
        assert read.headers.get(name) == expected.headers.get(name)
        assert read.headers.get(name.upper(), "-") == expected.headers.get(name.upper(), "-")
        assert (name in read.headers) == (name in expected.headers)
    assert list(read.headers.items()) == list(expected.headers.items())
    assert len(read.headers) == len(expected.headers)


def test_a_server_with_ever_different_heads_adds_a_bounded_number_of_shapes() -> None:
    reader = HeadReader()
    for number in range(1000):
        names = [f"X-{(number // 2 + index) % 200}: {number}" for index in range(3)]
        head = "\r\n".join(["HTTP/1.1 200 OK", *names, "Content-Length: 0"]) + "\r\n\r\n"
        assert_same(reader, head.encode())
    assert len(reader._shapes) <= 4  # pyright: ignore[reportPrivateUsage]
    assert reader._learnt <= 64  # pyright: ignore[reportPrivateUsage]
