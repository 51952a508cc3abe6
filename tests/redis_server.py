"""A redis-server that a test starts and kills itself.

It comes from Debian's package, or from elsewhere on PATH.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

#: Set to make tests fail, instead of being skipped, where there is no redis-server.
REQUIRED = "KATAPULT_REQUIRE_REDIS"


def need_redis() -> str:
    """The path of redis-server. Skips the test where there is none."""
    program = shutil.which("redis-server")
    if program is None:
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"redis-server is not on PATH, and {REQUIRED} is set")
        pytest.skip("redis-server is not on PATH")
    return program


def free_port() -> int:
    """Return a free port below those that a system gives to connections and to servers on port 0.

    Tests that run at the same time use those ports constantly. Another test could take such a port
    before a program listens on it.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


class RedisServer:
    """A server without persistence, on a free port of loopback and on a Unix socket.

    Args:
        folder: Where its socket goes.
        options: More options of its configuration.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._program = need_redis()
        self._options = options
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.socket = folder / f"redis-{self.port}.sock"
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        self._process = subprocess.Popen(  # noqa: S603 - a program of PATH
            [
                *(self._program, "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--unixsocket", str(self.socket), "--save", "", "--appendonly", "no"),
                *("--dir", str(self._folder), "--daemonize", "no", *self._options),
            ],
            stdout=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 10
        while self._ask("PING") is None:
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server does not answer"
            time.sleep(0.005)

    def kill(self) -> None:
        """Kill it with all it knows."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def suspend(self) -> None:
        """Let it answer nothing, while its connections stay open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """End what `suspend` began."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def do(self, *words: str) -> None:
        """Send one command, which must succeed."""
        answer = self._ask(*words)
        assert answer is not None, "redis-server cannot be reached"
        assert not answer.startswith(b"-"), answer

    def _ask(self, *words: str) -> bytes | None:
        parts = [word.encode() for word in words]
        request = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(5)
                connection.connect(str(self.socket))
                connection.sendall(request)
                return connection.recv(65536)
        except OSError:
            return None


@contextmanager
def redis_server(folder: Path, *options: str) -> Iterator[RedisServer]:
    """A server as long as the block lasts."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()
