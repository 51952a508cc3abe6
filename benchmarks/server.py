"""A server in a process of its own that answers every request at once.

It sends the assign response or a refusal. The server is nginx, so that it does not limit a client.
Where nginx is not installed, a small asyncio server of this module takes its place, and
`Server.name` says so. The benchmark may then measure that server instead of the client.

The responses show the virtual machine without its FQDN. So they fit every request that names a
machine by its FQDN.

    /core/v1           sends the rate limit's two headers, as the API does; always the same disk
    /bare/core/v1      sends no such headers
    /refusing/core/v1  finds no disk
    /echo/core/v1      shows the requested disk, which costs nginx a second request to itself
"""

from __future__ import annotations

import asyncio
import email.utils
import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import ClassVar, NamedTuple

from .bodies import assign_response, disk_not_found, disk_of

_A_DISK = re.compile(rb"disk_[A-Za-z0-9]+")
RATE_HEADERS = {"X-Ratelimit-Permitted": "1000000", "X-Ratelimit-Remaining": "999999"}
_CONFIG = """
worker_processes 1;
error_log stderr crit;
pid {directory}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  server_tokens off;
  default_type application/json;
  keepalive_timeout 600s;
  keepalive_requests 100000000;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_body_in_single_buffer on;
  map $http_x_asked $asked {{ ~(?<found>disk_[A-Za-z0-9]+) $found; }}
  upstream itself {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 100000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
{locations}
    location /echo/core/v1/ {{
      proxy_pass http://itself/echoed/;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Asked $request_body;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
  }}
}}
"""
_LOCATION = """
    location {path}/ {{
{headers}
      add_header X-Request-Id $request_id always;
      return {status} '{body}';
    }}
"""


class Place(NamedTuple):
    """Everything below a path is answered with the same."""

    path: str
    status: int
    body: bytes
    headers: dict[str, str]


#: The disk of every response, and the placeholder for it in a response that shows the requested
#: disk.
_RESPONSE = assign_response(fqdn=None)
DISK = disk_of(_RESPONSE)
_ASKED = "$asked"
PLACES = (
    Place("/core/v1", 200, _RESPONSE, RATE_HEADERS),
    Place("/echoed", 200, _RESPONSE.replace(DISK.encode(), _ASKED.encode()), RATE_HEADERS),
    Place("/bare/core/v1", 200, _RESPONSE, {}),
    Place("/refusing/core/v1", 404, disk_not_found(), RATE_HEADERS),
)


@dataclass(frozen=True)
class Server:
    """name: what it is, with its version."""

    name: str
    port: int
    pid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/core/v1"

    @property
    def bare_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/bare/core/v1"

    @property
    def echo_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/echo/core/v1"

    @property
    def refusing_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/refusing/core/v1"

    def cpu_seconds(self) -> float:
        """CPU time of the server and its children, from /proc, or 0.0 where there is no /proc."""
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            ticks = 0
            for pid in (str(self.pid), *children):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                ticks += int(fields[11]) + int(fields[12])
        except OSError:
            return 0.0
        return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def serve() -> Iterator[Server]:
    """A server that answers, until the block ends."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as directory:
        if nginx is None:
            command, name = [sys.executable, "-m", "benchmarks.server", str(port)], "asyncio (no nginx here)"
        else:
            config = Path(directory, "nginx.conf")
            config.write_text(_configuration(directory, port))
            command = [nginx, "-e", "stderr", "-p", directory, "-c", str(config), "-g", "daemon off;"]
            name = subprocess.run([nginx, "-v"], capture_output=True, text=True, check=True).stderr.strip()
            name = name.rpartition(": ")[2]
        process = subprocess.Popen(command, cwd=Path(__file__).parent.parent)
        try:
            _wait_for(port, process)
            yield Server(name, port, process.pid)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _configuration(directory: str, port: int) -> str:
    """Of nginx."""
    locations = [
        _LOCATION.format(
            path=place.path,
            status=place.status,
            body=place.body.decode(),
            headers="\n".join(
                f"      add_header {key} {value} always;" for key, value in place.headers.items()
            ),
        )
        for place in PLACES
    ]
    return _CONFIG.format(directory=directory, port=port, locations="".join(locations))


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not come up (exit code {process.poll()})")


class Answers:
    """The asyncio server's responses for one path.

    They are the same each time, except for the current `Date` (written once a second), the request
    ID, and what remains of the minute's limit. (nginx cannot count that down.)
    """

    _ids = itertools.count(1)

    def __init__(self, place: Place) -> None:
        self._asked = place.path == "/echoed"
        body = place.body.replace(_ASKED.encode(), DISK.encode())  # an id is as long as the other
        headers = dict(place.headers)
        self._limit = int(headers.pop("X-Ratelimit-Remaining", 0))
        self._remaining = self._limit
        fields = {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        lines = "".join(f"{key}: {value}\r\n" for key, value in fields.items())
        self._status = f"{place.status} {HTTPStatus(place.status).phrase}"
        self._rest = b"\r\n" + lines.encode() + b"\r\n" + body
        self._second = -1
        self._head = b""

    def next(self, now: float, request: bytes) -> bytes:
        """now: seconds since 1970. request: its body."""
        if int(now) != self._second:
            if now // 60 != self._second // 60:
                self._remaining = self._limit
            self._second = int(now)
            date = email.utils.formatdate(self._second, usegmt=True)
            self._head = f"HTTP/1.1 {self._status}\r\nDate: {date}\r\nX-Request-Id: ".encode()
        rest = self._rest
        if self._asked and (asked := _A_DISK.search(request)):
            rest = rest.replace(DISK.encode(), asked[0])
        if not self._limit:
            return b"%s%032x%s" % (self._head, next(self._ids), rest)
        self._remaining -= 1
        remaining = b"\r\nX-Ratelimit-Remaining: %d" % self._remaining
        return b"%s%032x%s%s" % (self._head, next(self._ids), remaining, rest)


class Static(asyncio.Protocol):
    """Answers each request once its headers and body are there.

    It understands only Content-Length.
    """

    _answers: ClassVar[dict[bytes, Answers]] = {
        f" {place.path.replace('/echoed', '/echo/core/v1')}/".encode(): Answers(place) for place in PLACES
    }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._waiting = b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end].lower()
            length = 0
            if (at := head.find(b"content-length:")) >= 0:
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
            if len(self._waiting) < end + 4 + length:
                return
            body = self._waiting[end + 4 : end + 4 + length]
            self._waiting = self._waiting[end + 4 + length :]
            answers = next(answers for path, answers in self._answers.items() if path in head)
            self._transport.write(answers.next(time.time(), body))


async def _serve_static(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Static, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_static(int(sys.argv[1])))
