"""The Redis server of the measurements: its start, its counters, and a slow way to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

#: Commands that are one call of a client each.
CALLS = ("eval", "evalsha", "set")


@contextmanager
def redis_server(program: str | None) -> Iterator[str]:
    """Run a server until the block ends, and yield its URL.

    Args:
        program: The path of `redis-server`. Without one, nothing runs and the URL is empty.
    """
    if program is None:
        yield ""
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""], stdout=subprocess.DEVNULL
    )
    try:
        while not _answers(port):
            time.sleep(0.01)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def calls(url: str) -> int:
    """Calls of clients so far. Commands within scripts do not count. 0 without a URL."""
    stats = _info(url, "commandstats")
    counts = {name: int(value.partition("calls=")[2].partition(",")[0]) for name, value in stats.items()}
    return sum(counts.get(f"cmdstat_{name}", 0) for name in CALLS)


def cpu_seconds(url: str) -> float:
    """CPU seconds of the server so far. 0 without a URL."""
    used = _info(url, "cpu")
    return sum(float(used.get(name, 0)) for name in ("used_cpu_user", "used_cpu_sys"))


def _info(url: str, section: str) -> dict[str, str]:
    """Return a section of the server's INFO."""
    if not url:
        return {}
    with socket.create_connection(_address(url)) as connection:
        connection.sendall(f"INFO {section}\r\n".encode())
        text = connection.recv(1 << 16).decode()
    fields = (line.partition(":") for line in text.splitlines())
    return {name: value for name, separator, value in fields if separator}


def _address(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("redis://").partition("/")[0].partition(":")
    return host, int(port)


@asynccontextmanager
async def delayed(url: str, seconds: float) -> AsyncIterator[str]:
    """Run a proxy that delivers each response of the server so many seconds late.

    Requests pass at once. Responses do not wait for each other, as on a long line.

    Yields:
        The URL of the proxy.
    """
    pipes: set[asyncio.Task[None]] = set()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(*_address(url))
        for pipe in (_pipe(reader, to_server, 0.0), _pipe(from_server, writer, seconds)):
            task = asyncio.create_task(pipe)
            pipes.add(task)
            task.add_done_callback(pipes.discard)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    try:
        port: int = server.sockets[0].getsockname()[1]
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.close()
        for task in pipes:
            task.cancel()
        await asyncio.gather(*pipes, return_exceptions=True)
        await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what arrives, each piece so many seconds after its arrival."""
    clock = asyncio.get_running_loop().time
    arrived: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def receive() -> None:
        data = b"-"
        while data:
            data = await reader.read(1 << 16)
            arrived.put_nowait((clock() + seconds, data))

    receiving = asyncio.create_task(receive())
    try:
        with contextlib.suppress(OSError):
            while True:
                due, data = await arrived.get()
                await asyncio.sleep(due - clock())
                if not data:
                    return
                writer.write(data)
                await writer.drain()
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        writer.close()
