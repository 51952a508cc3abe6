"""`python -m benchmarks.tokens.server PORT LIMIT PERIOD`: counts the requests of each token.

It permits LIMIT requests in each window of PERIOD seconds of its clock, for each token, and answers
with the rate limit's headers. `GET /counts` says how many requests it has permitted and refused.
"""

from __future__ import annotations

import asyncio
import email.utils
import sys
import time

import msgspec

from benchmarks.bodies import assign_response

_BODY = assign_response(fqdn=None)


class Counts(msgspec.Struct):
    """Requests of all tokens."""

    tokens: int
    permitted: int
    refused: int


class Counter:
    """One window for each token."""

    def __init__(self, limit: int, period: float) -> None:
        self.limit = limit
        self.period = period
        self.counts = Counts(0, 0, 0)
        self._windows: dict[bytes, tuple[int, int]] = {}

    def answer(self, token: bytes) -> bytes:
        now = time.time()
        number = int(now // self.period)
        window, used = self._windows.get(token, (number, 0))
        if window != number:
            used = 0
        if used >= self.limit:
            self.counts.refused += 1
            details = b'{"error":{"code":"rate_limit_reached","detail":{"total_permitted":%d}}}' % self.limit
            return self._response(b"429 Too Many Requests", now, 0, details)
        self._windows[token] = (number, used + 1)
        self.counts.permitted += 1
        return self._response(b"200 OK", now, self.limit - used - 1, _BODY)

    def _response(self, status: bytes, now: float, remaining: int, body: bytes) -> bytes:
        date = email.utils.formatdate(int(now), usegmt=True).encode()
        return (
            b"HTTP/1.1 %b\r\nDate: %b\r\nContent-Type: application/json\r\nX-Ratelimit-Permitted: %d\r\n"
            b"X-Ratelimit-Remaining: %d\r\nContent-Length: %d\r\n\r\n%b"
        ) % (status, date, self.limit, remaining, len(body), body)

    def summary(self) -> bytes:
        self.counts.tokens = len(self._windows)
        body = msgspec.json.encode(self.counts)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Requests(asyncio.Protocol):
    """Answers each request once it is there as a whole."""

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end]
            length = int(_field(head, b"\r\nContent-Length: ") or b"0")
            if len(self._waiting) < end + 4 + length:
                return
            self._waiting = self._waiting[end + 4 + length :]
            counts = head.startswith(b"GET /counts")
            token = _field(head, b"\r\nAuthorization: ")
            self._transport.write(self._counter.summary() if counts else self._counter.answer(token))


def _field(head: bytes, name: bytes) -> bytes:
    at = head.find(name)
    return head[at + len(name) :].split(b"\r\n", 1)[0] if at >= 0 else b""


async def main(port: int, limit: int, period: float) -> None:
    counter = Counter(limit, period)
    server = await asyncio.get_running_loop().create_server(
        lambda: Requests(counter), "127.0.0.1", port, backlog=4096
    )
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
