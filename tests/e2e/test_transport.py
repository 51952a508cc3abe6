"""The transport over real sockets: requests, responses, and messages without the token."""

from __future__ import annotations

import asyncio
import logging
import ssl
import traceback

import pytest
import trustme

from katapult_async import (
    AuthenticationError,
    Client,
    ConnectError,
    ConnectionLost,
    ConnectTimeout,
    KatapultError,
    NotFound,
    Observer,
    ProtocolError,
    RequestEvent,
    RequestTimeout,
    RetryEvent,
    RetryPolicy,
    SessionPool,
    Timeout,
    TransportError,
    WaitEvent,
)
from katapult_async.testing import Counting, FaultKind, KatapultEmulator
from tests.opened import opened
from tests.raw_server import DISK, answering, http, raw_server, read_request

TOKEN = "s3cret-token-of-the-tests"
ONCE = RetryPolicy(attempts=1)


#: Both wires keep every promise.
pytestmark = pytest.mark.usefixtures("way")


@pytest.mark.parametrize(
    ("response", "error", "words"),
    [
        (http(DISK[:10], length=500), ConnectionLost, "middle of the response"),
        (b"", ConnectionLost, "closed the connection"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", ProtocolError, "not valid HTTP"),
        (
            http(b"<html>hi</html>", "Content-Type: text/html"),
            ProtocolError,
            "does not have the documented form",
        ),
        (http(b""), ProtocolError, "0 bytes"),
        (http(b'{"disk":{}}'), ProtocolError, "does not have the documented form"),
        (http(b"\xff\xfe\xfd"), ProtocolError, "3 bytes"),
        (http(b"x" * 3000), ProtocolError, "larger than 2000 bytes"),
        (http(DISK, "Content-Encoding: gzip"), ProtocolError, "encoding 'gzip'"),
        (
            http(b"", "Location: http://elsewhere/", status="302 Found"),
            ProtocolError,
            "redirects are not followed",
        ),
    ],
)
async def test_unusable_responses(response: bytes, error: type[KatapultError], words: str) -> None:
    async with raw_server(answering(response)) as url, SessionPool(max_body=2000) as pool:
        client = await opened(Client(TOKEN, base_url=url, pool=pool, retry=ONCE))
        with pytest.raises(error, match=words) as caught:
            await client.disks.get("disk_1")
    assert caught.value.operation == "GET /disks/disk"
    assert_secret_kept(caught.value)


async def test_an_endless_chunked_body_is_cut_at_max_body() -> None:
    sent = 0

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
            sent += 1024
            await writer.drain()

    async with raw_server(endless) as url, SessionPool(max_body=100_000) as pool:
        client = await opened(Client(TOKEN, base_url=url, pool=pool, retry=ONCE))
        with pytest.raises(ProtocolError, match="larger than 100000 bytes"):
            await client.disks.get("disk_1")
    assert sent < 20_000_000


async def test_a_chunked_body_is_read_whole() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunked += b"".join(b"1\r\n" + DISK[i : i + 1] + b"\r\n" for i in range(len(DISK))) + b"0\r\n\r\n"
    async with raw_server(answering(chunked, http(DISK))) as url, Client(TOKEN, base_url=url) as client:
        assert (await client.disks.get("disk_1")).id == "disk_1"
        assert (await client.disks.get("disk_1")).id == "disk_1"


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_nothing_is_sent_twice_on_a_stale_connection(method: str) -> None:
    """The server reads a second request on a kept connection and hangs up."""
    requests: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await read_request(reader))
        writer.write(http(DISK))
        await writer.drain()
        requests.append(await read_request(reader))

    async with raw_server(handler) as url, Client(TOKEN, base_url=url, retry=ONCE) as client:
        await client.disks.get("disk_1")
        with pytest.raises(KatapultError):
            if method == "GET":
                await client.disks.get("disk_1")
            elif method == "DELETE":
                await client.disks.delete("disk_1")
            else:
                await client.disks.update("disk_1", name="x")
    assert len(requests) == 2


async def test_an_unclear_write_is_not_repeated_and_an_unclear_read_is() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        disk = emulator.disk_ids[0]
        retry = RetryPolicy(base=0.001)
        async with Client("token", base_url=emulator.url, retry=retry) as client:
            emulator.faults.next("reset_after")
            with pytest.raises(ConnectionLost):
                await client.disks.update(disk, name="new")
            assert emulator.ledger.total == 1
            emulator.faults.next("bad_gateway", times=3)
            assert (await client.disks.get(disk)).name == "new"
            assert emulator.ledger.total == 5
            emulator.faults.next("unavailable", times=2)
            assert (await client.disks.update(disk, name="newer")).name == "newer"


async def test_errors_distinguish_the_time_outs() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with raw_server(silent) as url:
        async with Client(TOKEN, base_url=url, retry=ONCE, timeout=Timeout(total=0.1)) as client:
            with pytest.raises(RequestTimeout, match=r"within 0\.1 s") as caught:
                await client.disks.get("disk_1")
            assert_secret_kept(caught.value)
        # The TLS handshake gets no response: no connection in time, and nothing was sent.
        secure = url.replace("http:", "https:")
        async with Client(TOKEN, base_url=secure, retry=ONCE, timeout=Timeout(connect=0.1)) as client:
            with pytest.raises(ConnectTimeout, match=r"within 0\.1 s"):
                await client.disks.get("disk_1")


async def test_waits_for_a_permit_do_not_count_as_time_out() -> None:
    async with KatapultEmulator(disks=1, counting=Counting(limit=2, period=1.0)) as emulator:
        settings = {"timeout": Timeout(total=0.3), "rate_window": 1.0}
        async with Client("token", base_url=emulator.url, **settings) as client:  # type: ignore[arg-type]
            for _ in range(5):
                await client.disks.get(emulator.disk_ids[0])


async def test_unknown_host_closed_port_and_untrusted_certificate() -> None:
    async with KatapultEmulator(disks=1) as emulator:
        url = emulator.url
    async with Client(TOKEN, base_url=url, retry=ONCE) as client:
        with pytest.raises(ConnectError, match="no connection to 127"):
            await client.disks.get("disk_1")
    async with Client(TOKEN, base_url="https://nowhere.invalid/core/v1", retry=ONCE) as client:
        with pytest.raises(ConnectError, match="looked up") as caught:
            await client.disks.get("disk_1")
        assert_secret_kept(caught.value)


async def test_tls_with_a_private_authority_and_without_trust() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)  # pyright: ignore[reportUnknownMemberType]
    async with KatapultEmulator(disks=1, ssl_context=server) as emulator:
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)  # pyright: ignore[reportUnknownMemberType]
        async with SessionPool(ssl_context=trusting) as pool:
            client = await opened(Client("token", base_url=emulator.url, pool=pool))
            assert (await client.disks.get(emulator.disk_ids[0])).id == emulator.disk_ids[0]
        async with Client("token", base_url=emulator.url, retry=ONCE) as client:
            with pytest.raises(ConnectError, match="no secure connection"):
                await client.disks.get(emulator.disk_ids[0])
        assert emulator.ledger.total == 1


async def test_the_request_contains_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[bytes] = []

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            heard.append(await read_request(reader))
            writer.write(http(b'{"disk":{"id":"disk_1"}}', "Set-Cookie: a=b; Path=/"))
            await writer.drain()

    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("NETRC", "/dev/null")
    async with raw_server(handler) as url, Client(TOKEN, base_url=url) as client:
        await client.disks.get("disk_1")
        await client.disks.get("disk_1")
        await client.disks.assign("disk_1", "web.example")
    get, _, post = [request.decode() for request in heard[:3]]
    assert (
        get.startswith("GET /core/v1/disks/disk?disk[id]=disk_1 HTTP/1.1\r\n") or "disk%5Bid%5D=disk_1" in get
    )
    assert f"Authorization: Bearer {TOKEN}\r\n" in get
    assert "Accept: application/json\r\n" in get
    assert "cookie" not in (get + post).lower()
    assert "Content-Type: application/json\r\n" in post
    assert post.endswith('{"disk":{"id":"disk_1"},"virtual_machine":{"fqdn":"web.example"}}')


async def test_the_token_is_in_no_repr_no_log_and_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with KatapultEmulator(disks=1, tokens=("other",)) as emulator:
        async with Client(TOKEN, base_url=emulator.url) as client:
            with pytest.raises(AuthenticationError) as caught:
                await client.disks.get("disk_1")
            shown = [repr(client), repr(client.session), repr(client.session.gate), repr(client.disks)]
            shown.append(repr(vars(client)))
    assert_secret_kept(caught.value)
    assert TOKEN not in "".join(shown) + caplog.text
    with pytest.raises(ValueError, match="white space at position 5") as refused:
        Client("four five")
    assert "four" not in str(refused.value)


def assert_secret_kept(error: BaseException) -> None:
    text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert TOKEN not in text + repr(error) + str(vars(error))


#: Each makes a request fail. The last one has the token in its body, in the place of a password.
FAILING = {
    "closed": b"",
    "cut": b"HTTP/1.1 200 OK\r\n",
    "not HTTP": b"nonsense\r\n\r\n",
    "late": None,
    "malformed": http(b'{"disk":{"id":7,"password":"%s"}}' % TOKEN.encode()),
}


@pytest.mark.parametrize("name", FAILING)
async def test_no_traceback_with_locals_shows_the_token_or_the_body(name: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        if (answer := FAILING[name]) is None:
            await reader.read()  # until the client gives up
        else:
            writer.write(answer)

    async with raw_server(handler) as url, SessionPool() as pool:
        client = await opened(Client(TOKEN, base_url=url, pool=pool, retry=ONCE, timeout=Timeout(total=0.3)))
        with pytest.raises(TransportError) as caught:
            await client.disks.get("disk_1")
    assert_secret_kept(caught.value)


async def test_no_traceback_of_a_refused_connection_shows_the_token() -> None:
    async with Client(TOKEN, base_url="http://127.0.0.1:9/core/v1", retry=ONCE) as client:
        with pytest.raises(ConnectError) as caught:
            await client.disks.get("disk_1")
    assert_secret_kept(caught.value)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "a\r\nX: y", "tök", "a\x7f"])
def test_invalid_tokens_are_refused_before_anything_is_sent(token: str) -> None:
    with pytest.raises(ValueError, match="API token"):
        Client(token)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://api.example/core/v1", "clear text"),
        ("ftp://api.example", "must look like"),
        ("api.example/core/v1", "must look like"),
        ("https://user:pass@api.example/", "user name"),
        ("https://api.example/?x=1", "must not contain '\\?'"),
        ("", "must look like"),
        ("https://two..dots", "must look like"),
        ("https://" + "a" * 64 + ".example", "must look like"),
        ("https://a blank.example", "must look like"),
        ("https://api.example:0", "must look like"),
        ("https://api.example:99999", "must look like"),
    ],
)
def test_invalid_base_urls_are_refused(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Client("token", base_url=url)


def test_clear_text_must_be_allowed_explicitly() -> None:
    Client("token", base_url="http://api.example/core/v1", allow_http=True)
    Client("token", base_url="http://localhost:8080/core/v1")
    Client("token", base_url="http://[::1]:8080/core/v1")


def test_invalid_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Client("token", concurrency=0)
    for seconds in (0, -1, float("inf"), float("nan")):
        for setting in ("connect", "total"):
            with pytest.raises(ValueError, match="positive and finite"):
                Timeout(**{setting: seconds})
    with pytest.raises(ValueError, match="attempt"):
        RetryPolicy(attempts=0)


async def test_from_env(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KATAPULT_API_KEY", raising=False)
    with pytest.raises(ValueError, match="KATAPULT_API_KEY"):
        Client.from_env()
    monkeypatch.setenv("KATAPULT_API_KEY", "token")
    async with KatapultEmulator(disks=1) as emulator, Client.from_env(base_url=emulator.url) as client:
        assert (await client.disks.get(emulator.disk_ids[0])).id


async def test_a_client_that_is_not_open_raises_an_error() -> None:
    client = Client("token")
    with pytest.raises(RuntimeError, match="async with"):
        _ = client.session
    with pytest.raises(RuntimeError, match="async with"):
        await opened(Client("token", pool=SessionPool()))


class Watcher(Observer):
    def __init__(self) -> None:
        self.requests: list[RequestEvent] = []
        self.waits: list[WaitEvent] = []
        self.retries: list[RetryEvent] = []

    def on_request(self, event: RequestEvent) -> None:
        self.requests.append(event)

    def on_wait(self, event: WaitEvent) -> None:
        self.waits.append(event)

    def on_retry(self, event: RetryEvent) -> None:
        self.retries.append(event)


async def test_an_observer_gets_every_request_wait_and_retry() -> None:
    watcher = Watcher()
    async with KatapultEmulator(disks=1, counting=Counting(limit=4, period=1.0)) as emulator:
        settings = {"observer": watcher, "rate_window": 1.0, "retry": RetryPolicy(base=0.001)}
        async with Client("token", base_url=emulator.url, **settings) as client:  # type: ignore[arg-type]
            emulator.faults.next("unavailable")
            emulator.faults.next("reset_before")
            await client.disks.get(emulator.disk_ids[0])
            with pytest.raises(NotFound):
                await client.disks.get("disk_none")
            await client.disks.get(emulator.disk_ids[0])
            reported = len(watcher.requests)
            # Five requests may lie on both sides of a window's boundary. Nine cannot.
            for _ in range(4):
                await client.disks.get(emulator.disk_ids[0])
    assert reported == 5
    assert [(event.status, event.code, event.failure) for event in watcher.requests[:reported]] == [
        (503, "service_unavailable", None),
        (None, None, "ConnectionLost"),
        (200, None, None),
        (404, "disk_not_found", None),
        (200, None, None),
    ]
    assert all(event.ended_at >= event.sent_at for event in watcher.requests)
    assert watcher.requests[0].permitted == 4
    assert not any(event.rate_limited for event in watcher.requests)
    assert [event.attempt for event in watcher.retries] == [1, 2]
    assert any(event.until is not None for event in watcher.waits)


async def test_lists_fetch_all_pages() -> None:
    async with KatapultEmulator(disks=450, virtual_machines=35) as emulator:
        async with Client("token", base_url=emulator.url) as client:
            ids = [disk.id async for disk in client.disks.list(organization="acme")]
            assert sorted(ids) == sorted(emulator.disk_ids)
            assert emulator.ledger.total == 3
            machines = [vm.id async for vm in client.virtual_machines.list(organization="acme", per_page=10)]
            assert sorted(machines) == sorted(emulator.virtual_machine_ids)
            emulator.world.large_set = True
            again = [disk.id async for disk in client.disks.list(organization="acme", per_page=150)]
            assert sorted(again) == sorted(ids)
            profiles = [profile.permalink async for profile in client.io_profiles.list(organization="acme")]
            assert "unrestricted" in profiles
            with pytest.raises(NotFound):
                _ = [disk async for disk in client.disks.list(organization="nobody")]
            with pytest.raises(ValueError, match="per_page"):
                _ = [disk async for disk in client.disks.list(organization="acme", per_page=500)]


async def test_the_life_cycle_of_one_disk() -> None:
    async with KatapultEmulator(disks=0, virtual_machines=1, task_duration=0.01) as emulator:
        machine = emulator.virtual_machine_ids[0]
        async with Client("token", base_url=emulator.url) as client:
            disk, task = await client.disks.create(
                organization="acme", name="new", data_center="em-one-01", size_in_gb=10
            )
            assert (await client.tasks.wait(task.id, interval=0.01)).status == "completed"
            assert (await client.disks.update(disk.id, name="newer")).name == "newer"
            task = await client.disks.resize(disk.id, 20)
            assert (await client.tasks.wait(task.id, interval=0.01)).status == "completed"
            task = await client.disks.change_io_profile(disk.id, "unrestricted")
            await client.tasks.wait(task.id, interval=0.01)
            assert (await client.disks.assign(disk.id, machine)).virtual_machine_disk
            assert [entry.disk.id async for entry in client.virtual_machines.disks(machine)] == [disk.id]
            assert (await client.virtual_machines.get(machine)).state == "started"
            attached = await client.disks.attach(disk.id)
            assert attached is not None
            await client.tasks.wait(attached.id, interval=0.01)
            detached = await client.disks.detach(disk.id)
            assert detached is not None
            await client.tasks.wait(detached.id, interval=0.01)
            assert (await client.disks.unassign(disk.id)).virtual_machine_disk is None
            assert (await client.disks.delete(disk.id)).object_id == disk.id


@pytest.mark.parametrize("kind", [FaultKind.BAD_GATEWAY, FaultKind.EMPTY_504, FaultKind.SERVER_ERROR])
async def test_server_errors_have_a_clear_message(kind: FaultKind) -> None:
    async with KatapultEmulator(disks=1) as emulator:
        emulator.faults.next(kind)
        async with Client("token", base_url=emulator.url, retry=ONCE) as client:
            with pytest.raises(KatapultError, match=r"GET /disks/disk: .*50\d") as caught:
                await client.disks.get(emulator.disk_ids[0])
    assert "<html" not in str(caught.value)
    assert caught.value.request_id
